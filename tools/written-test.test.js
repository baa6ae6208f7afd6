import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const virq = join(root, "bin/virq.js");
const project = mkdtempSync(join(tmpdir(), "virq-written-"));
afterAll(() => rmSync(project, { recursive: true, force: true }));

// A project that has virq and vitest installed.
mkdirSync(join(project, "node_modules"));
symlinkSync(root, join(project, "node_modules/virq"));
symlinkSync(realpathSync(join(root, "node_modules/vitest")), join(project, "node_modules/vitest"));
writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", type: "module" }));

const vitest = () => spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "lost.test.js"], { cwd: project, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });

it("a written test fails with the violation, and passes once the rule is in force", () => {
  const { status, stdout } = spawnSync(process.execPath, [virq, "explore", "assign-against-signal", "--without", "sampleBeforeInsert", "--write-test", "lost.test.js"], { cwd: project, encoding: "utf8" });
  expect([status, stdout]).toEqual([1, expect.stringContaining("lost.test.js fails with it")]);
  const text = readFileSync(join(project, "lost.test.js"), "utf8");
  const failed = vitest();
  expect([failed.status, failed.stdout + failed.stderr]).toEqual([1, expect.stringMatching(/an event of eventfd \d+ was never injected as GSI 5/)]);
  writeFileSync(join(project, "lost.test.js"), text.replace('const off = ["sampleBeforeInsert"];', "const off = [];"));
  const passed = vitest();
  expect([passed.status, passed.stdout]).toEqual([0, expect.stringMatching(/1 passed/)]);
}, 120_000);

it("does not write over a file", () => {
  const { status, stderr } = spawnSync(process.execPath, [virq, "explore", "assign-against-signal", "--write-test", "lost.test.js"], { cwd: project, encoding: "utf8" });
  expect([status, stderr]).toEqual([2, "virq: --write-test lost.test.js: it exists: name another file, or remove it\n"]);
});
