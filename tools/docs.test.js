import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, it } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const page = readFileSync(join(root, "docs/explore.md"), "utf8");
// Below the package itself, whose own name then leads to it.
const folder = join(root, "dist", `docs-${process.pid}`);
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The page's blocks of one language. */
const blocks = (language) => [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) => text);

function written(name, text) {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function virq(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", join(root, "bin/virq.js"), ...args], { encoding: "utf8" });
  return { status, out: stdout, err: stderr };
}

const [protocol, counter] = blocks("ts");

it("docs/explore.md: the protocol of the page is free of violations, and its property is asked", () => {
  const module = written("two-deassigns.ts", protocol);
  expect(virq("explore", "two-deassigns", "--module", module, "--property", "freed-once", "--preemptions", "1")).toEqual({
    status: 0,
    out: expect.stringMatching(/^two-deassigns: Two threads.*asked too: freed-once\n\nNo violation in all [\d,]+ interleavings/s),
    err: "",
  });
});

it("docs/explore.md: with the rule off that the page names, its sentence is broken", () => {
  const module = written("without.ts", protocol);
  const { status, out } = virq("explore", "two-deassigns", "--module", module, "--without", "returnBeforeShutdown", "--property", "no-injection-after-deassign");
  expect([status, out]).toEqual([1, expect.stringMatching(/^VIOLATION: .* after /m)]);
});

it("docs/explore.md: the page's types are those of the library", () => {
  for (const [i, text] of blocks("ts").entries()) written(`typed-${i}.ts`, text);
  const options = { extends: join(root, "tsconfig.json"), compilerOptions: { noEmit: true, rootDir: folder, types: [] }, include: [join(folder, "typed-*.ts")] };
  const config = written("tsconfig.json", JSON.stringify(options));
  const { status, stdout } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", config], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, ""]);
}, 60_000);

it("docs/explore.md: the counter's access is a point", async () => {
  const { Counter } = await import(pathToFileURL(written("counter.ts", counter)).href);
  const { done, value } = new Counter().add().next();
  expect([done, value.field]).toEqual([false, "value"]);
});

it("docs/explore.md: the page's scenario is free of violations", () => {
  const [yaml] = blocks("yaml");
  expect(virq("explore", written("line.yaml", yaml))).toMatchObject({ status: 0, out: expect.stringContaining("No violation in all") });
});

it("docs/explore.md: the forms of a rule are those that are taken", async () => {
  const { RULE_FORMS } = await import("../dist/stepped/index.js");
  const named = [...page.matchAll(/^\| `((?:never|every|at) [^`]*)` \|/gm)].map(([, form]) => form);
  expect(named).toEqual([...RULE_FORMS]);
});
