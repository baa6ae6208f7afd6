import { readFileSync, readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { schemaTexts } from "./schemas.js";

const published = new URL("../schema/", import.meta.url);

it("each published schema is the one in force, and none is left over", async () => {
  const texts = await schemaTexts();
  expect(readdirSync(published).sort()).toEqual([...texts.keys()].sort());
  for (const [file, text] of texts) expect(readFileSync(new URL(file, published), "utf8"), file).toBe(text);
});
