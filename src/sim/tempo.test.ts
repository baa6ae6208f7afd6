import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { POINT_SITES } from "./point-sites.js";
import { STRAIGHT } from "./step.js";

const tree = fileURLToPath(new URL("../", import.meta.url));
const modules = readdirSync(tree, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".js") && !name.includes(".test."));

it("the straight build contains no yield and no generator, the stepped one both", () => {
  const generators = modules.filter((name) => /\byield\b|function\s*\*|^\s*(static\s+)?\*\s*\w+\s*\(/m.test(readFileSync(`${tree}${name}`, "utf8").replace(/\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|\/\/.*$/gm, "")));
  if (STRAIGHT) expect(generators).toEqual([]);
  else expect(generators).toContain("sim/lock.js");
});

it("the build numbers the points of the stepped tempo by their source lines", () => {
  if (STRAIGHT) expect(POINT_SITES).toEqual([""]);
  else expect(POINT_SITES).toContainEqual(expect.stringMatching(/^src\/sim\/lock\.ts:\d+$/));
});
