import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { exploreListOutput, exploreOutput, museumOutput, replayOutput } from "./explore/schema.js";
import { STRAIGHT } from "../sim/step.js";
import { allJson } from "./explore/museum.js";
import { virq } from "./command.fixture.js";

// The command line is straight, and explores in the stepped build: in a stepped one it would do the same once more.
const described = describe.skipIf(!STRAIGHT);

const folder = mkdtempSync(join(tmpdir(), "virq-explore-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const LOST = ["explore", "assign-against-signal", "--without", "sampleBeforeInsert"];
const stepped = new URL("../../stepped/index.js", import.meta.url).href;

/** A saved search, as far as a test damages it. */
interface Saved {
  properties: string[];
  without: string[];
  search: { preemptions?: number };
  open: { units: { path: number[]; open: number[]; base: number }[]; totals: { phase: number } };
}

/** A module of a person's own: a counter that two threads add to without a lock, and properties of every kind. */
const MODULE = `
import { Context, Ev, reads, Sim, writes } from ${JSON.stringify(stepped)};
class Add extends Context {
  constructor(name, world) { super(name, "user", 0); this.world = world; }
  *body() {
    yield reads(this.world, "value");
    const { value } = this.world;
    yield writes(this.world, "value");
    this.world.value = value + 1;
    this.world.sim.emit(Ev.eventfd_signal, this.world.value);
  }
}
class World { value = 0; sim = new Sim(); }
export const protocols = [
  {
    name: "lost-update", title: "Two threads add one each: the sum is two.", source: "a test",
    program() {
      const world = new World();
      return { sim: world.sim, contexts: [new Add("one", world), new Add("two", world)], check: () => null, end: () => (world.value === 2 ? null : "the sum is " + world.value) };
    },
  },
];
const one = () => { const world = new World(); return { sim: world.sim, contexts: [new Add("one", world)], check: () => null }; };
const wrong = (name, program) => ({ name, title: "It is broken itself.", source: "a test", program });
const boom = () => { throw new Error("boom"); };
protocols.push(
  wrong("check-throws", () => ({ ...one(), check: boom })),
  wrong("end-throws", () => ({ ...one(), end: boom })),
  wrong("program-throws", boom),
  wrong("context-throws", () => { const world = new World(); return { sim: world.sim, contexts: [new Add("one", world), new (class extends Add { *body() { yield* super.body(); if (this.world.value === 2) boom(); } })("two", world)], check: () => null }; }),
  wrong("end-counts", () => ({ ...one(), end: () => 5 })),
  wrong("nobody", () => ({ ...one(), contexts: [] })),
  wrong("no-program", () => ({})),
);
export const properties = [
  { name: "make-throws", sentence: "It is broken itself.", make: boom },
  { name: "throws", sentence: "It is broken itself.", make: () => ({ name: "throws", sentence: "", hears: ["eventfd_signal"], hear() { throw new TypeError("no such field"); } }) },
  { name: "never-two", sentence: "Nobody counts to two.", make: () => ({ name: "never-two", sentence: "", hears: ["eventfd_signal"], hear: ({ args }) => (args[0] === 2 ? "it counts to two" : null) }) },
];
`;

described("virq explore", () => {
  it("finds a lost event: columns, the rule that broke, and a string that replays it; status 1", async () => {
    const { status, out } = await virq(...LOST);
    expect(status).toBe(1);
    expect(out).toMatch(/^assign-against-signal: An eventfd is signalled once while it becomes an irqfd/);
    expect(out).toMatch(/^without sampleBeforeInsert: H1/m);
    expect(out).toMatch(/^VIOLATION: an event of eventfd \d+ was never injected as GSI 5$/m);
    expect(out).toMatch(/^ {6}assign \(user\) +raise \(hardirq\)$/m);
    expect(out).toMatch(/reads EventfdContext\.count +.*host\/eventfd\.ts:\d+$/m);
    expect(out).toMatch(/^ {2}!! {2}an event of eventfd \d+ was never injected as GSI 5$/m);
    expect(out).not.toContain("\u001b");
    expect(out.split("\n").filter((line) => line.length > 100 && !line.startsWith("virq replay"))).toEqual([]);
  });

  it("says the same every time", async () => {
    expect(await virq(...LOST)).toEqual(await virq(...LOST));
  });

  it("replays the string alone to the same violation", async () => {
    const { out } = await virq(...LOST);
    const [, schedule = ""] = /^virq replay (\S+)$/m.exec(out) ?? [];
    const again = await virq("replay", schedule);
    expect(again.status).toBe(1);
    expect(again.out).toMatch(/^ {2}!! {2}an event of eventfd \d+ was never injected as GSI 5$/m);
    const columnsOf = (text: string): string => text.slice(text.indexOf("\n      assign"), text.indexOf("  !!"));
    expect(columnsOf(again.out)).toBe(columnsOf(out));
    const json = replayOutput.parse(JSON.parse((await virq("replay", schedule, "--json")).out));
    expect(json).toMatchObject({ subject: "assign-against-signal", without: ["sampleBeforeInsert"], message: expect.stringMatching(/^an event of eventfd \d+ was never injected as GSI 5$/), schedule });
  });

  it("says how many interleavings have no violation, and up to what bound; status 0", async () => {
    const { status, out } = await virq("explore", "assign-against-signal", "--preemptions", "1");
    expect(status).toBe(0);
    expect(out).toMatch(/^No violation in all [\d,]+ interleavings.*1 preemption/m);
  });

  it.each([
    ["a violation", LOST, 1],
    ["none", ["explore", "assign-against-signal", "--preemptions", "0"], 0],
    ["a limit", ["explore", "assign-against-signal", "--limit", "5"], 0],
  ])("--json keeps to its schema, no field more or less: %s", async (_, args, expected) => {
    const { status, out } = await virq(...args, "--json");
    const strict = z.fromJSONSchema(z.toJSONSchema(exploreOutput, { io: "output" }));
    const value: unknown = JSON.parse(out);
    expect(status).toBe(expected);
    expect(strict.safeParse(value).error).toBe(undefined);
    expect(exploreOutput.parse(value)).toEqual(value);
  });

  it("--list names everything that can be named", async () => {
    const { status, out } = await virq("explore", "--list");
    expect(status).toBe(0);
    for (const name of ["assign-against-signal", "sampleBeforeInsert", "dpor", "never EVENT after EVENT", "kvm_set_irq(gsi, level, source)"]) expect(out).toContain(name);
    const list = exploreListOutput.parse(JSON.parse((await virq("explore", "--list", "--json")).out));
    expect(list.protocols.length).toBeGreaterThan(8);
    expect(list.scenarios.map(({ name }) => name)).toContain("midway-irqfd-resample");
    expect(list.strategies.map(({ name }) => name)).toEqual(["preemption", "dfs", "dpor", "pct", "random"]);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(118);
  });

  it.each(["dpor", "pct", "random"])("--strategy %s finds it too", async (strategy) => {
    const { status, out } = await virq(...LOST, "--strategy", strategy, "--json");
    expect([status, exploreOutput.parse(JSON.parse(out)).violation?.message]).toEqual([1, expect.stringMatching(/^an event of eventfd \d+ was never injected as GSI 5$/)]);
  });

  it.each(["preemption", "dpor", "random"])("--workers: the same answer from any number of threads (%s)", async (strategy) => {
    const search = ["explore", "examples/explore/shared-line.yaml", "--strategy", strategy, "--limit", "600", "--json"];
    const alone = await virq(...search);
    for (const workers of ["2", "3"]) expect(await virq(...search, "--workers", workers)).toEqual(alone);
  });

  it("a search that its limit ends is saved, and goes on to the same end without repeating", async () => {
    const [saved, more] = [join(folder, "open.json"), join(folder, "more.json")];
    const whole = exploreOutput.parse(JSON.parse((await virq("explore", "assign-against-signal", "--json")).out));
    const first = exploreOutput.parse(JSON.parse((await virq("explore", "assign-against-signal", "--limit", "60", "--save", saved, "--json")).out));
    expect(first).toMatchObject({ verdict: "none", exhausted: false, resume: saved });
    expect(first.executions).toBeLessThan(whole.executions);
    const second = exploreOutput.parse(JSON.parse((await virq("explore", "--resume", saved, "--limit", "100000", "--save", more, "--json")).out));
    expect(second).toMatchObject({ verdict: "none", exhausted: true, resume: null, executions: whole.executions, steps: whole.steps });
  });

  it.each<[string, (search: Saved) => void]>([
    ["what is asked besides", (search) => (search.properties = [])],
    ["the rules switched off", (search) => (search.without = ["sampleBeforeInsert"])],
    ["a bound", (search) => (search.search.preemptions = 1)],
    ["a choice", ({ open: { units } }) => (units[0].path[0] = 25)],
    ["a seat", ({ open: { units } }) => (units[0].open = [-1, -1])],
    ["the shared path", ({ open: { units } }) => (units[0].base = 999)],
    ["the phase", ({ open: { totals } }) => (totals.phase = 99)],
    ["half of the units", ({ open: { units } }) => (units.length >>= 1)],
  ])("a saved search in which %s was changed is refused: some of it would be left out in silence", async (_what, change) => {
    const saved = join(folder, "damaged.json");
    await virq("explore", "deassign-against-signal", "--limit", "300", "--property", "at most 1 irqfd_free", "--save", saved);
    const search = JSON.parse(readFileSync(saved, "utf8")) as Saved;
    change(search);
    writeFileSync(saved, JSON.stringify(search));
    expect(await virq("explore", "--resume", saved)).toMatchObject({ status: 2, out: "", err: expect.stringMatching(/^virq: --resume .*damaged\.json: it was changed since[^\n]*\n$/) });
  });

  it("asks a rule of a person's own, and shows where it breaks", async () => {
    const { status, out } = await virq("explore", "assign-against-signal", "--property", "at most 1 kvm_set_irq(gsi=5, level=1)");
    expect(status).toBe(1);
    expect(out).toMatch(/^VIOLATION: at most 1 kvm_set_irq\(gsi=5, level=1\): kvm_set_irq\(5,1,\d\) is number 2$/m);
    const [, schedule = "", tail = ""] = /^virq replay (\S+) (.*)$/m.exec(out) ?? [];
    expect(tail).toBe("--property 'at most 1 kvm_set_irq(gsi=5, level=1)'");
    expect((await virq("replay", schedule, "--property", "at most 1 kvm_set_irq(gsi=5, level=1)")).status).toBe(1);
    expect((await virq("replay", schedule)).status).toBe(0);
  });

  it("explores protocols and asks properties of a module of a person's own", async () => {
    const module = file("mine.mjs", MODULE);
    const lost = await virq("explore", "lost-update", "--module", module);
    expect([lost.status, lost.out]).toEqual([1, expect.stringMatching(/the sum is 1/)]);
    const [, schedule = ""] = /^virq replay (\S+)/m.exec(lost.out) ?? [];
    expect((await virq("replay", schedule, "lost-update", "--module", module)).out).toContain("the sum is 1");
    const two = await virq("explore", "lost-update", "--module", module, "--property", "never-two");
    expect(two.out).toContain("it counts to two");
  });

  it("a context that throws in one order is what the search is for: a violation, with its schedule", async () => {
    const { status, out } = await virq("explore", "context-throws", "--module", file("throwing.mjs", MODULE));
    expect([status, out]).toEqual([1, expect.stringMatching(/^VIOLATION: Error: boom$/m)]);
  });

  it.each([
    ["shared-line", [], 0, /^shared-line: [\s\S]*\n\nNo violation in all/],
    ["first-event", [], 0, /^first-event: [\s\S]*\n\nNo violation in all/],
    ["first-event", ["--without", "sampleBeforeInsert"], 1, /^VIOLATION: at least 1 kvm_set_irq\(gsi=5, level=1\): there were 0$/m],
    ["midway-resample", [], 0, /^midway-irqfd\+resample: .* raises interrupt 0 2 times, delivered by\nirqfd\+resample: each is serviced\n.*\n\nNo violation in all/],
    ["d05-one-cpu", [], 0, /^d05-direct: [\s\S]* threads\nhaving a CPU by turns of which 1 ends early: each is serviced\n[\s\S]*\n\nNo violation in all/],
  ] as const)("explores examples/explore/%s.yaml %j", async (name, more, expected, sentence) => {
    const { status, out } = await virq("explore", `examples/explore/${name}.yaml`, ...more);
    expect([status, out]).toEqual([expected, expect.stringMatching(sentence)]);
  });

  it("executions that a step budget cut short are counted, in words and in JSON, and the search is not exhausted", async () => {
    const { status, out } = await virq("explore", "assign-against-signal", "--steps", "50");
    const [, cut = ""] = /^Not everything was searched\. No violation in \d+ executions: .*; (\d+) cut short after 50 steps, /m.exec(out) ?? [];
    expect([status, Number(cut)]).toEqual([0, expect.toSatisfy((count: number) => count > 0)]);
    const json = exploreOutput.parse(JSON.parse((await virq("explore", "assign-against-signal", "--steps", "50", "--json")).out));
    expect(json).toMatchObject({ verdict: "none", exhausted: false, cut: Number(cut) });
    expect(exploreOutput.parse(JSON.parse((await virq("explore", "assign-against-signal", "--json")).out))).toMatchObject({ exhausted: true, cut: 0 });
  });

  it("too few steps for any execution to end are reported as such, and are no violation", async () => {
    const { status, out, err } = await virq("explore", "assign-against-signal", "--steps", "10");
    expect([status, out, err]).toEqual([2, "", expect.stringMatching(/no execution of assign-against-signal ended: \d+ were cut short after 10 steps; allow more/)]);
  });
});

described("a wrong request is one sentence, status 2", () => {
  const bare = file("bare.mjs", "export const nothing = 1;");
  const mine = file("throws.mjs", MODULE);
  it.each<[readonly string[], RegExp]>([
    [["explore"], /^virq: explore: which protocol or scenario file\? virq explore --list names the protocols$/],
    [["explore", "asign-against-signal"], /^virq: there is no protocol asign-against-signal: did you mean assign-against-signal\? virq explore --list names them/],
    [["explore", "nowhere.yaml"], /^virq: nowhere\.yaml: cannot be read \(ENOENT\)$/],
    [["explore", "assign-against-signal", "--without", "samplebeforeinsert"], /^virq: there is no rule to switch off samplebeforeinsert: did you mean sampleBeforeInsert\?/],
    [["explore", "assign-against-signal", "--property", "no-interrupt-lots"], /^virq: there is no property no-interrupt-lots: /],
    [["explore", "assign-against-signal", "--property", "never kvm_sat_irq"], /^virq: there is no event kvm_sat_irq/],
    [["explore", "assign-against-signal", "--property", "it is never wrong"], /^virq: "it is never wrong" is not a rule: write never EVENT; or/],
    [["explore", "assign-against-signal", "--strategy", "dfs", "--preemptions", "2"], /^virq: --preemptions: the strategy dfs has none; it belongs to preemption$/],
    [["explore", "assign-against-signal", "--depth", "2"], /^virq: --depth: the strategy preemption has none; it belongs to pct$/],
    [["explore", "assign-against-signal", "--write-test", "lost.txt"], /^virq: --write-test lost\.txt: name a file that ends in \.test\.js or \.test\.ts/],
    [["explore", "assign-against-signal", "--module", "none.mjs"], /^virq: --module none\.mjs: there is no such file$/],
    [["explore", "assign-against-signal", "--module", bare], /^virq: --module .*bare\.mjs: it exports neither "protocols" nor "properties"$/],
    [["explore", "lost-update", "--module", mine, "--property", "throws"], /^virq: property throws: its hear\(\) threw TypeError: no such field$/],
    [["explore", "assign-against-signal", "--property", "progress"], /^virq: the property progress needs of a program its vCPUs: a protocol of your own asks it by new Progress\(vcpus\) among its program's properties$/],
    [["explore", "end-counts", "--module", mine], /^virq: protocol end-counts: its end\(\) answered 5: null where all is well, else a sentence$/],
    [["explore", "nobody", "--module", mine], /^virq: protocol nobody: its program\(\) has no contexts: nothing would run$/],
    [["explore", file("empty.yaml", "contexts: {}\n")], /contexts is empty: nothing would run/],
    [["explore", "check-throws", "--module", mine], /^virq: protocol check-throws: its check\(\) threw Error: boom$/],
    [["explore", "check-throws", "--module", mine, "--workers", "2"], /^virq: protocol check-throws: its check\(\) threw Error: boom$/],
    [["explore", "end-throws", "--module", mine], /^virq: protocol end-throws: its end\(\) threw Error: boom$/],
    [["explore", "program-throws", "--module", mine], /^virq: protocol program-throws: its program\(\) threw Error: boom$/],
    [["explore", "no-program", "--module", mine], /^virq: protocol no-program: its program\(\) gives no \{ sim, contexts, check\(\) \}$/],
    [["explore", "lost-update", "--module", mine, "--property", "make-throws"], /^virq: property make-throws: its make\(\) threw Error: boom$/],
    [["explore", "--resume", file("cut.json", '{"virq": "0.1')], /^virq: --resume .*cut\.json: it is no JSON: it was cut short/],
    [["explore", "--resume", file("other.json", "{}")], /^virq: --resume .*other\.json: virq: .*it is not what virq explore --save wrote$/],
    [["explore", file("both.yaml", "protocol: assign-against-signal\ncontexts: { one: [signal nic] }\n")], /both\.yaml:1: the document: name either a protocol, or contexts$/],
    [["explore", file("who.yaml", "contexts: { one: [signal nic] }\n")], /who\.yaml: contexts\.one: "signal nic": there is no irqfd nic: name one under irqfds$/],
    [["explore", file("what.yaml", "irqfds: { nic: { gsi: 5 } }\ncontexts: { one: [ring nic] }\n")], /what\.yaml: contexts\.one: "ring nic": there is no such action: write assign NAME, /],
    [["explore", file("rule.yaml", "protocol: assign-against-signal\nwithout: [sampleLate]\n")], /rule\.yaml:2: without\.0: not a rule that can be switched off: virq explore --list names them$/],
    [["replay", "a12b"], /^virq: .*a12b.*$/],
    [["replay", "ab2a", "assign-against-signal"], /^virq: .*$/],
    [["museum", "no-such"], /^virq: there is no exhibit no-such: virq museum lists them$/],
    [["museum", "no-such", "--all"], /^virq: museum: no-such, or --all\? Leave one of the two out$/],
  ])("%j", async (args, sentence) => {
    const { status, out, err } = await virq(...args);
    expect([status, out]).toEqual([2, ""]);
    expect(err.trimEnd()).toMatch(sentence);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
  });

  it.each([
    ["--preemptions", "many"],
    ["--limit", "0"],
    ["--steps", "1.5"],
    ["--seed", "-1"],
    ["--workers", "0"],
    ["--strategy", "guess"],
  ])("%s %s", async (option, value) => {
    const { status, err } = await virq("explore", "assign-against-signal", option, value);
    expect([status, err]).toEqual([2, expect.stringMatching(new RegExp(`^virq: option '${option} <\\w+>' argument '${value}' is invalid: [^\n.]*\n$`))]);
  });

  it.each([
    [["explore", "assign-against-signal", "--limt", "5"], /^virq: unknown option '--limt' \(Did you mean one of --limit, --list\?\)\n$/],
    [["explore", "one", "two"], /^virq: too many arguments for 'explore'[^\n]*\n$/],
    [["replay"], /^virq: missing required argument 'schedule'\n$/],
    [["explroe"], /^virq: unknown command 'explroe' \(Did you mean explore\?\)\n$/],
  ] as const)("%j", async (args, sentence) => {
    expect(await virq(...args)).toEqual({ status: 2, out: "", err: expect.stringMatching(sentence) });
  });

  it("a schedule that is longer than --steps allows says so", async () => {
    const { out } = await virq(...LOST);
    const [, schedule = ""] = /^virq replay (\S+)$/m.exec(out) ?? [];
    expect(await virq("replay", schedule, "--steps", "3")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: the schedule has \d+ steps, and an execution counts as endless after 3: allow more\n$/) });
  });

  it("a schedule's length counts as it was printed, and in no other way", async () => {
    const { out } = await virq(...LOST);
    const [, schedule = ""] = /^virq replay (\S+)$/m.exec(out) ?? [];
    const [, head, length] = /^(.*\.)(\w+)$/.exec(schedule) ?? [];
    for (const end of [`${length}!`, length.toUpperCase(), `0${length}`]) expect(await virq("replay", `${head}${end}`)).toMatchObject({ status: 2, err: expect.stringContaining("is cut short or changed") });
  });

  it("a schedule that was cut short, or of another program, is told as such", async () => {
    const { out } = await virq(...LOST);
    const [, schedule = ""] = /^virq replay (\S+)$/m.exec(out) ?? [];
    for (const args of [[schedule.slice(0, -30)], [schedule, "deassign-against-signal"]]) {
      const { status, err } = await virq("replay", ...args);
      expect([status, err]).toEqual([2, expect.stringMatching(/^virq: [^\n]*\n$/)]);
    }
  });
});

described("virq museum", () => {
  it("lists the exhibits", async () => {
    const { status, out } = await virq("museum");
    expect(status).toBe(0);
    expect(out).toMatch(/^virq museum NAME explains one/m);
    const { exhibits } = museumOutput.parse(JSON.parse((await virq("museum", "--json")).out));
    expect(exhibits.length).toBeGreaterThanOrEqual(1);
    for (const { name, foundWithoutFix } of exhibits) expect([out.includes(name), foundWithoutFix]).toEqual([true, null]);
  });

  it("--all --json is { exhibits: [{ name, cite, foundWithoutFix, absentWithFix, executions, bound, schedule }] } and nothing else; of one exhibit there is more", async () => {
    const { exhibits, ...rest } = JSON.parse((await virq("museum", "lazy-eoi-recursion", "--json")).out) as { exhibits: object[]; details: object[] };
    const fields = ["name", "cite", "foundWithoutFix", "absentWithFix", "executions", "bound", "schedule"];
    expect(exhibits.map((exhibit) => Object.keys(exhibit))).toEqual([fields]);
    expect(rest).toMatchObject({ details: [{ name: "lazy-eoi-recursion", year: 2020, without: "lazyEoiTellsListeners" }], unreachable: [] });
    expect(Object.keys(JSON.parse(allJson([], [])) as object)).toEqual(["exhibits"]);
  }, 60_000);

  it("explains one, shows it without its fix, and says up to where it is absent with it", async () => {
    const [{ name }] = museumOutput.parse(JSON.parse((await virq("museum", "--json")).out)).exhibits;
    const { status, out } = await virq("museum", name);
    expect(status).toBe(0);
    expect(out).toMatch(/^The rule: /m);
    expect(out).toMatch(/^Without the fix \(--without \w+\)$/m);
    expect(out).toMatch(/^ {2}!! {2}\S/m);
    expect(out).toMatch(/^With it$\n^no violation in all [\d,]+ interleavings/m);
    const [, schedule = ""] = /^virq replay (\S+)$/m.exec(out) ?? [];
    expect((await virq("replay", schedule)).status).toBe(1);
  }, 60_000);
});

described("published schemas", () => {
  it.each([
    ["explore.schema.json", exploreOutput],
    ["explore-list.schema.json", exploreListOutput],
    ["museum.schema.json", museumOutput],
    ["replay.schema.json", replayOutput],
  ])("%s is the one that the command is held to", (name, schema) => {
    const published = readFileSync(new URL(`../../../schema/${name}`, import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: "output" }))));
  });
});
