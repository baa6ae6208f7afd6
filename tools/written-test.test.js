import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

/** A module of a person's own, with a property of theirs, and a program that can be mended by halves. */
const MODULE = `import { Context, CoreStage, Raise, reads, shared, Sim, writes } from "virq/stepped";
class Cell { value = 0; }
shared(Cell, "value");
class Writer extends Context {
  constructor(cell) { super("writer", "user", 0); this.cell = cell; }
  *body() {
    for (const value of [1, 2]) { yield writes(this.cell, "value"); this.cell.value = value; }
  }
}
class Reader extends Context {
  seen = [];
  constructor(cell) { super("reader", "user", 0); this.cell = cell; }
  *body() {
    for (let i = 0; i < 2; i++) { yield reads(this.cell, "value"); this.seen.push(this.cell.value); }
  }
}
const isMended = ([first, second]) => first === second;
export const protocols = [
  {
    name: "halves", title: "Two reads of what is written twice.", source: "a test",
    program() {
      const cell = new Cell();
      const reader = new Reader(cell);
      return { sim: new Sim(), contexts: [reader, new Writer(cell)], check: () => null, end: () => (isMended(reader.seen) ? null : "the reads differ") };
    },
  },
  {
    name: "two-signals", title: "A device signals twice.", source: "a test",
    program(hazards) {
      const stage = new CoreStage(hazards);
      const fd = stage.eventfd();
      stage.assign(fd, 5);
      return stage.program([new Raise(stage.driver(fd)), new Raise(stage.driver(fd))]);
    },
  },
];
const made = () => ({ name: "silent", sentence: "", hears: ["irqfd_inject"], hear: () => "it injects" });
export const properties = [{ name: "silent", sentence: "Nothing is injected.", make: made }];
`;
writeFileSync(join(project, "mine.mjs"), MODULE);
cpSync(join(root, "examples/explore/first-event.yaml"), join(project, "first-event.yaml"));
cpSync(join(root, "examples/explore/midway-resample.yaml"), join(project, "midway-resample.yaml"));

const explored = (...args) => spawnSync(process.execPath, [virq, "explore", ...args], { cwd: project, encoding: "utf8" });
/** What a written test says that one should type. */
function typed(file) {
  const [, words] = /^\/\/ The same, hop by hop: virq (replay .*)$/m.exec(readFileSync(join(project, file), "utf8")) ?? [];
  return spawnSync(`"${process.execPath}" "${virq}" ${words}`, { cwd: project, encoding: "utf8", shell: true });
}
const vitest = (...files) => spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...files], { cwd: project, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });

/** What is explored, and what it finds, in order: the last has no rule that is switched off. */
const ROWS = [
  ["builtin", ["assign-against-signal", "--without", "sampleBeforeInsert"], /an event of eventfd \d+ was never injected as GSI 5/],
  ["file", ["first-event.yaml", "--without", "sampleBeforeInsert"], /at least 1 kvm_set_irq\(gsi=5, level=1\): there were 0/],
  ["machine", ["midway-resample.yaml", "--without", "unmaskByChip", "--property", "masks-balance"], /the interrupt of fff50000.ethernet 0 is masked, and nobody will unmask it/],
  ["drawn", ["assign-against-signal", "--without", "sampleBeforeInsert", "--strategy", "random", "--limit", "300", "--property", "never irqfd_free"], /an event of eventfd \d+ was never injected as GSI 5/],
  ["module", ["two-signals", "--module", "mine.mjs", "--property", "silent"], /it injects/],
];
const MENDED = ROWS.slice(0, -1);

it("a written test fails with the violation, whatever was explored, and passes once the rule is in force", () => {
  for (const [name, args, message] of ROWS) {
    const { status, stdout, stderr } = explored(...args, "--write-test", `${name}.test.js`);
    expect([name, status, stdout, stderr]).toEqual([name, 1, expect.stringContaining(`${name}.test.js fails with it`), ""]);
    expect(stdout).toMatch(message);
    const again = typed(`${name}.test.js`);
    expect([name, again.status, again.stdout]).toEqual([name, 1, expect.stringMatching(message)]);
  }
  const failed = vitest();
  expect([failed.status, failed.stdout]).toEqual([1, expect.stringMatching(new RegExp(`Tests +${ROWS.length} failed \\(${ROWS.length}\\)`))]);
  for (const [, , message] of ROWS) expect(failed.stdout + failed.stderr).toMatch(message);
  for (const [name] of MENDED) writeFileSync(join(project, `${name}.test.js`), readFileSync(join(project, `${name}.test.js`), "utf8").replace(/off: \[[^\]]*\]/, "off: []"));
  const passed = vitest(...MENDED.map(([name]) => `${name}.test.js`));
  expect([passed.status, passed.stdout]).toEqual([0, expect.stringMatching(new RegExp(`Tests +${MENDED.length} passed`))]);
}, 600_000);

it("a written test fails as long as the command that wrote it does: where only what it was written for is mended, too", () => {
  const command = ["halves", "--module", "mine.mjs"];
  expect(explored(...command, "--write-test", "halves.test.js")).toMatchObject({ status: 1, stdout: expect.stringMatching(/has 1 preemption /) });
  writeFileSync(join(project, "mine.mjs"), MODULE.replace("first === second", "first === second || first === 0"));
  expect(explored(...command)).toMatchObject({ status: 1, stdout: expect.stringMatching(/has 2 preemptions /) });
  expect(vitest("halves.test.js").status).toBe(1);
  writeFileSync(join(project, "mine.mjs"), MODULE.replace("first === second", "true"));
  expect(explored(...command).status).toBe(0);
  expect(vitest("halves.test.js").status).toBe(0);
}, 600_000);

it("does not write over a file", () => {
  writeFileSync(join(project, "there.test.js"), "");
  const { status, stderr } = explored("assign-against-signal", "--write-test", "there.test.js");
  expect([status, stderr]).toEqual([2, "virq: --write-test there.test.js: it exists: name another file, or remove it\n"]);
});
