import { describe, expect, it } from "vitest";
import { CHIP_RULE_ROWS, type ChipRule, chipRules } from "../../irqchip/x86/chip-rules.js";
import { X86Calls } from "./calls.js";
import { diffX86, type DiffSides } from "./diff.js";
import type { KnownSwitch } from "./known.js";
import { SWITCHES } from "./known-switches.js";
import { replayX86 } from "./replay.js";
import { runX86Vector } from "./runner.js";
import { askKernel, foreignTo, movedBy } from "./sides.js";
import { type Backend, X86_MODEL } from "./targets.js";
import type { X86Answer, X86Call, X86Target, X86Vector } from "./vector.js";
import type { Step } from "../../sim/step.js";
import type { X86Chips } from "./state.js";

const BASE: Backend = { endsAtAcceptance: false };
const machine = (backend: Backend): X86Calls => new X86Calls(X86_MODEL(backend));
const flipped = (switches: readonly KnownSwitch[], backend = BASE): Backend => switches.reduce((now, each) => each.flip(now), backend);
const asked = SWITCHES.filter(({ probe }) => probe !== undefined);
const named = (name: string): KnownSwitch => SWITCHES.filter((each) => each.name === name)[0];
const names = (switches: readonly KnownSwitch[]): string[] => switches.map(({ name }) => name);
const askModel = (backend: Backend) => askKernel(() => machine(backend), machine);

describe("a kernel is asked where it stands", () => {
  it("on no other side: nothing differs from the newest recorded one", () => {
    expect(askModel(BASE)).toEqual({ backend: BASE, other: [], unclear: [] });
  });

  it.each(asked.map(({ name }) => name))("%s: its probe alone tells it", (name) => {
    const { other, unclear } = askModel(flipped([named(name)]));
    expect([names(other), names(unclear)]).toEqual([[name], []]);
  });

  it("every switch of x86-irqchip.md 15 is asked but those that no sequence of calls shows", () => {
    expect(SWITCHES.filter(({ probe }) => probe === undefined).map(({ name }) => name)).toEqual(["pausesEoiStorm", "mergesPirForRoutes", "wakesOnlyWhenRaised"]);
    for (const rule of Object.keys(CHIP_RULE_ROWS) as ChipRule[]) expect(chipRules(flipped([named(rule)]).compat ?? "newest")[rule]).toBe(!chipRules("newest")[rule]);
  });

  it.each(["linux-6.1", "linux-4.8", "linux-6.14", "linux-2026"] as const)("a model of %s answers as one", (compat) => {
    const standing = askModel({ endsAtAcceptance: true, compat });
    expect(names(standing.other)).toEqual(["an interrupt ends as the guest takes it", ...names(movedBy(compat)).filter((name) => named(name).probe !== undefined)]);
    expect(standing.backend.endsAtAcceptance).toBe(true);
    expect(foreignTo(standing, compat)).toEqual([]);
  });

  it("a model of linux-3.10, without the capability, does not show that it has not its newest flags", () => {
    const { other } = askModel({ endsAtAcceptance: false, compat: "linux-3.10" });
    expect(names(movedBy("linux-3.10")).filter((name) => !names(other).includes(name))).toEqual(["pausesEoiStorm", "mergesPirForRoutes", "wakesOnlyWhenRaised", "hasEoiBroadcastFlags"]);
  });

  it("what answers as neither side is unclear, and explains nothing", () => {
    const standing = askKernel(() => new Odd(machine(BASE)), machine);
    expect(names(standing.unclear)).toContain("pollHasBit7");
    expect(names(foreignTo(standing, "newest"))).not.toContain("pollHasBit7");
    expect(names(foreignTo(standing, "linux-6.1"))).not.toContain("pollHasBit7");
  });
});

/** A machine whose PIC poll gives what no kernel gives; with a fault, IRQ lines are counted wrongly after it. */
class Odd implements X86Target {
  private polls = 0;
  constructor(
    private readonly within: X86Target,
    private readonly poll: number | null = 0x55,
    private readonly isWrongAfter = false,
  ) {}
  *perform(step: X86Call): Step<X86Answer> {
    const answer = yield* this.within.perform(step);
    if (this.isWrongAfter && this.polls > 0 && step.op === "irqLineStatus") return { ...answer, status: 7 };
    if (step.op !== "guest" || step.args.do !== "in8") return answer;
    this.polls++;
    return this.poll === null ? answer : { ...answer, value: this.poll };
  }
  *chips(lapics: readonly string[]): Step<X86Chips> {
    return yield* this.within.chips(lapics);
  }
  *close(): Step<void> {
    yield* this.within.close();
  }
}

const POLL = named("pollHasBit7");
const OLD = flipped([POLL]);
const calls: X86Call[] = [...(POLL.probe ?? []), { op: "irqLineStatus", args: { gsi: 5, level: 1 } }];
const sides = (kernel: () => X86Target, foreign: readonly KnownSwitch[]): DiffSides => ({ model: (switches = []) => machine(flipped(switches)), kernel, foreign });

describe("a kernel on the other side of a switch", () => {
  it("is told with the row's reason where it shows, and compared to the end", () => {
    const result = diffX86(calls, sides(() => machine(OLD), [POLL]));
    expect([result.outcome, names(result.known as KnownSwitch[]), result.steps.length]).toEqual(["same", ["pollHasBit7"], calls.length]);
  });

  it("differs where it was not found to stand there, and where it answers as neither side", () => {
    expect(diffX86(calls, sides(() => machine(OLD), [])).outcome).toBe("different");
    expect(diffX86(calls, sides(() => new Odd(machine(OLD)), [POLL])).outcome).toBe("different");
  });

  it("a second wrong answer after it is still one", () => {
    const result = diffX86(calls, sides(() => new Odd(machine(OLD), null, true), [POLL]));
    expect([result.outcome, result.steps.length, result.steps.at(-1)?.differences[0]?.path]).toEqual(["different", calls.length, "status"]);
  });
});

const recorded = ((): X86Vector => {
  const steps = diffX86(calls, sides(() => machine(BASE), [])).steps.map(({ call, kernel }) => ({ ...call, expect: kernel }));
  return { id: "poll", title: "poll", kind: "pic", flavour: "version", steps: steps as X86Vector["steps"] };
})();
const of = { foreign: [POLL], modelWith: (switches: readonly KnownSwitch[]): X86Target => machine(flipped(switches)) };

describe("a recorded vector, whatever its flavour", () => {
  it("excuses a kernel by a row alone, and names the step and the field", () => {
    const result = runX86Vector(recorded, machine(OLD), "kvm", of);
    expect(result).toMatchObject({ outcome: "skipped", known: [{ name: "pollHasBit7", flavour: "version", step: 6, paths: ["value"] }] });
    expect(result.reason).toMatch(/^known: pollHasBit7; version, kernels before 6\.5: .*\(step 6: guest do=in8 port=32: expected value 132, got value 4\)$/);
  });

  it("fails on a kernel that answers otherwise than the row says, in this step or a later one", () => {
    expect(runX86Vector(recorded, new Odd(machine(OLD)), "kvm", of)).toMatchObject({ outcome: "failed", difference: { step: 6, expected: "value 132", got: "value 85" } });
    expect(runX86Vector(recorded, new Odd(machine(OLD), null, true), "kvm", of)).toMatchObject({ outcome: "failed", difference: { step: 7, got: "status 7" } });
    expect(runX86Vector(recorded, machine(OLD), "kvm").outcome).toBe("failed");
  });

  it("fails on the model of an older kernel, and says by which row", () => {
    const { outcome, difference } = runX86Vector(recorded, machine(OLD), "model", of);
    expect([outcome, difference?.got]).toEqual(["failed", expect.stringMatching(/^value 4 \(known: pollHasBit7; version, kernels before 6\.5/)]);
  });

  it("counts a field that is compared elsewhere, and passes", () => {
    const vector: X86Vector = { ...recorded, steps: [...recorded.steps.slice(0, 3), { op: "getLapic", args: {}, expect: { ret: 0, state: lapicWithPpr(0x77) } }] };
    expect(replayX86(vector, machine(BASE))).toMatchObject({ found: null, known: [{ step: 3, known: { name: "the PPR as it is stored" } }] });
  });
});

function lapicWithPpr(pprLazy: number): X86Answer["state"] {
  const [answer] = diffX86([...recorded.steps.slice(0, 3), { op: "getLapic", args: {} }], sides(() => machine(BASE), [])).steps.slice(-1);
  return { ...(answer.kernel.state as object), pprLazy } as X86Answer["state"];
}
