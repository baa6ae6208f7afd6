import { explore } from "../../explore/explorer.js";
import { Thread } from "../../explore/stages/threads.js";
import { XicsStage } from "../../explore/stages/xics-stage.js";
import type { Hazards } from "../../sim/hazards.js";
import { Random } from "../../sim/random.js";
import { run, type Step } from "../../sim/step.js";
import { BLOCKS, H_CPPR, H_EOI, H_IPI, H_XIRR } from "./constants.js";
import type { HypercallRegisters } from "./contract.js";
import { virtualHypercall } from "./hypercalls.js";
import { RealMode } from "./real-mode.js";
import { ReferenceModel } from "./reference-model.fixture.js";
import { Rtas, RTAS_WORDS } from "./rtas.js";

// Random programs of two or three contexts, every order of whose accesses within a bound is run: each must answer, and leave the
// controller, as some order of whole calls does in the reference model. What the specification lets an order of accesses leave
// behind beside that is taken out on both sides ({@link settled}).

const SERVERS = [0, 1];
const LSI = 0x105;
const IRQS = [LSI, 0x400, 0x401, 0x800];
/** Sources that nobody raises: one of a block that there is, one of a block that is created meanwhile. */
const QUIET = [0x7f0, 0x1400];
const PRIORITIES = [0, 3, 4, 5, 6, 0xff];
const LEVEL = 0x100;
const MASKED = 0x200;
const NAMES = ["ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on"];
const MOST_CALLS = 3;
const LIMIT = 20_000;
/** Outcomes of orders of whole calls that a program must have at least. */
const LEAST_OUTCOMES = 4;

/** One whole call. */
type Call =
  | { readonly call: "line"; readonly irq: number; readonly isHigh: boolean }
  | { readonly call: "xirr" | "end"; readonly self: number }
  | { readonly call: "cppr"; readonly self: number; readonly value: number }
  | { readonly call: "ipi"; readonly self: number; readonly to: number; readonly value: number }
  | { readonly call: "setXive"; readonly irq: number; readonly server: number; readonly value: number }
  | { readonly call: "getXive" | "intOff" | "intOn"; readonly irq: number }
  | { readonly call: "write"; readonly irq: number; readonly server: number; readonly hi: number };

/** What is done before anybody runs at once, and then the calls of each context. */
interface Calls {
  readonly before: readonly Call[];
  readonly contexts: readonly (readonly Call[])[];
}

class Writer {
  /** What the program is about: few, so that its calls meet. */
  private readonly irqs: readonly number[];
  private readonly servers: readonly number[];

  constructor(private readonly random: Random) {
    this.irqs = [this.pick(IRQS), this.pick(IRQS)];
    this.servers = this.random.below(2) === 0 ? SERVERS : [0];
  }

  private pick<T>(of: readonly T[]): T {
    return of[this.random.below(of.length)];
  }

  program(): Calls {
    const before: Call[] = IRQS.map((irq) => ({ call: "write", irq, server: this.pick(this.servers), hi: this.pick([3, 4, 5, 5, 6, 0xff]) | (irq === LSI ? LEVEL : 0) }));
    for (const self of SERVERS) before.push({ call: "cppr", self, value: this.pick([0, 5, 0xff, 0xff]) });
    for (let i = this.random.below(5); i > 0; i--) before.push(this.random.below(2) === 0 ? this.line() : this.hypercall(this.pick(this.servers)));
    const shape = this.pick(["d0", "01", "d01", "dd0", "dw0"]);
    const most = shape.length === 2 ? MOST_CALLS : MOST_CALLS - 1;
    const contexts = [...shape].map((who) => Array.from({ length: 1 + this.random.below(most) }, () => this.of(who)));
    return { before, contexts };
  }

  /** @param who a device, user space, or the vCPU of a server */
  private of(who: string): Call {
    if (who === "d") return this.line();
    if (who === "w") return { call: "write", irq: this.pick(QUIET), server: this.pick(SERVERS), hi: this.pick(PRIORITIES) + (this.random.below(4) === 0 ? MASKED : 0) };
    return this.hypercall(Number(who));
  }

  private line(): Call {
    return { call: "line", irq: this.pick(this.irqs), isHigh: this.random.below(4) > 0 };
  }

  private hypercall(self: number): Call {
    const kind = this.pick(["xirr", "xirr", "end", "end", "cppr", "cppr", "ipi", "setXive", "getXive", "intOff", "intOn"] as const);
    switch (kind) {
      case "xirr":
      case "end":
        return { call: kind, self };
      case "cppr":
        return { call: kind, self, value: this.pick([...PRIORITIES, 0xff, 0xff]) };
      case "ipi":
        return { call: kind, self, to: this.pick(this.servers), value: this.pick([3, 4, 5, 0xff, 0xff, 0x104]) };
      case "setXive":
        return { call: kind, irq: this.pick(this.irqs), server: this.pick(this.servers), value: this.pick(PRIORITIES) };
      default:
        return { call: kind, irq: this.pick(this.irqs) };
    }
  }
}

/** The protocol code, whose calls others interrupt. */
class Real {
  readonly stage: XicsStage;
  private readonly rtas: Rtas;
  private readonly regs: HypercallRegisters[] = SERVERS.map(() => ({ lo: new Int32Array(8), hi: new Int32Array(8) }));
  private readonly halves: RealMode[];
  private readonly taken = SERVERS.map(() => 0);

  constructor(
    hazards: Partial<Hazards>,
    private readonly isRealMode: boolean,
  ) {
    this.stage = new XicsStage(hazards);
    this.rtas = new Rtas(this.stage.sim);
    this.halves = this.stage.guests.map(({ icp }) => new RealMode(this.stage.xics, icp));
    NAMES.forEach((name, i) => run(this.rtas.define(name, i + 1, 0)));
  }

  *do(call: Call): Step<number> {
    const { stage, taken } = this;
    switch (call.call) {
      case "line":
        return yield* stage.xics.input(call.irq, call.isHigh);
      case "write":
        yield* stage.source(call.irq, call.hi, call.server);
        return 0;
      case "xirr":
        yield* this.hypercall(call.self, H_XIRR, 0);
        taken[call.self] = this.regs[call.self].lo[4] >>> 0;
        return taken[call.self];
      case "end":
        return yield* this.hypercall(call.self, H_EOI, taken[call.self]);
      case "cppr":
        return yield* this.hypercall(call.self, H_CPPR, call.value);
      case "ipi":
        return yield* this.hypercall(call.self, H_IPI, call.to, call.value);
      case "setXive":
        return yield* this.firmware(0, [call.irq, call.server, call.value], 1);
      case "getXive":
        return yield* this.firmware(1, [call.irq], 3);
      default:
        return yield* this.firmware(call.call === "intOff" ? 2 : 3, [call.irq], 1);
    }
  }

  private *hypercall(self: number, number: number, r4: number, r5 = 0): Step<number> {
    const regs = this.regs[self];
    regs.lo[4] = r4;
    regs.lo[5] = r5;
    if (this.isRealMode) return yield* this.halves[self].hypercall(number, regs);
    return yield* virtualHypercall(this.stage.xics, this.stage.guests[self].icp, number, regs);
  }

  /** The status, or server and priority of what is read. */
  private *firmware(name: number, inputs: readonly number[], outputs: number): Step<number> {
    const words = new Int32Array(RTAS_WORDS);
    words.set([name + 1, inputs.length, outputs, ...inputs]);
    yield* this.rtas.call({ xicsDevice: this.stage.device }, words);
    return outputs === 3 ? words[5] * LEVEL + words[6] : words[3 + inputs.length];
  }

  /** As {@link ReferenceModel.state} has it. */
  state(): string {
    const { stage } = this;
    const lines = SERVERS.map((server) => {
      const { cppr, mfrr, pendingPriority, xisr, needResend, out } = stage.icpOf(server);
      const { resendMap } = stage.guests[server].icp;
      const blocks: number[] = [];
      for (let id = resendMap.next(0, BLOCKS); id < BLOCKS; id = resendMap.next(id + 1, BLOCKS)) blocks.push(id);
      return `${server}: ${cppr} ${mfrr} ${pendingPriority} ${xisr} ${needResend} ${out} ${stage.vcpus[server].external} [${blocks.join(" ")}]`;
    });
    for (const irq of [...IRQS, ...QUIET]) {
      const s = stage.at(irq);
      if (s !== undefined) lines.push(`${irq}: ${s.exists} ${s.isLsi} ${s.server} ${s.priority} ${s.savedPriority} ${s.pq} ${s.resend} ${s.maskedPending}`);
    }
    return lines.join("\n");
  }
}

function inModel(model: ReferenceModel, taken: number[], isRealMode: boolean, call: Call): number {
  switch (call.call) {
    case "line":
      return model.line(call.irq, call.isHigh);
    case "write":
      return model.write(call.irq, { hi: call.hi, lo: call.server });
    case "xirr":
      return (taken[call.self] = model.xirr(call.self));
    case "end":
      return model.eoi(call.self, taken[call.self], isRealMode ? 0 : -4);
    case "cppr":
      model.cppr(call.self, call.value, !isRealMode);
      return 0;
    case "ipi":
      return model.ipi(call.to, call.value);
    case "setXive":
      return model.setXive(call.irq, call.server, call.value);
    case "getXive": {
      const [, server, priority] = model.getXive(call.irq);
      return server * LEVEL + priority;
    }
    default:
      return model[call.call](call.irq);
  }
}

/**
 * What is compared. Left out: an external interrupt that is up with nothing to accept (8.1: spurious, and legal); a note and
 * bits of a resend map that no mark stands behind, as a delivery leaves them that begins again (8.3 step 10: blocks that
 * *may* hold marks); and which of its two marks a masked source has, of which unmasking makes the same delivery (8.3 step 6,
 * 9.2, 12.4). That the mark of a source that is not masked has its note and its bit (N5) is compared.
 */
export function settled(state: string): string {
  const lines = state.split("\n").map((line) => line.replace(/^(.* 255 \d+ ..) (true false|false true|true true)$/, "$1 held"));
  const marked = lines.map((line) => /^(\d+): \S+ \S+ (\d+) .* true (?:true|false)$/.exec(line)).filter((found) => found !== null).map(([, irq, server]) => [server, Number(irq) >> 10] as const);
  return lines
    .map((text) => {
      const map = /^(\d+): (.*) (true|false) (true|false) (true|false) \[(.*)\]$/.exec(text);
      if (map === null) return text;
      const [, server, words, note, out, external, blocks] = map;
      const own = marked.filter(([of]) => of === server);
      const kept = blocks.split(" ").filter((id) => own.some(([, block]) => block === Number(id) && id !== ""));
      return `${server}: ${words} ${own.length > 0 && note === "true"} ${out} ${out === "true" ? external : "-"} [${kept.join(" ")}]`;
    })
    .join("\n");
}

/** Every order of the contexts' whole calls, each a list of their indexes. */
function ordersOf(contexts: readonly (readonly Call[])[]): number[][] {
  const found: number[][] = [];
  const made = contexts.map(() => 0);
  function extend(order: readonly number[]): void {
    const movable = contexts.map((_, i) => i).filter((i) => made[i] < contexts[i].length);
    if (movable.length === 0) found.push([...order]);
    for (const i of movable) {
      made[i]++;
      extend([...order, i]);
      made[i]--;
    }
  }
  extend([]);
  return found;
}

/** What the orders of whole calls answer and leave. */
function wholeOutcomes({ before, contexts }: Calls, isRealMode: boolean): ReadonlySet<string> {
  const outcomes = new Set<string>();
  for (const order of ordersOf(contexts)) {
    const model = new ReferenceModel();
    for (const server of SERVERS) model.connect(server);
    const taken = SERVERS.map(() => 0);
    for (const call of before) inModel(model, taken, isRealMode, call);
    const answers = contexts.map((): number[] => []);
    for (const i of order) answers[i].push(inModel(model, taken, isRealMode, contexts[i][answers[i].length]));
    outcomes.add(`${JSON.stringify(answers)}\n${settled(model.state([...IRQS, ...QUIET]))}`);
  }
  return outcomes;
}

/** The first program of a seed whose calls get in each other's way. */
function programThatRaces(seed: number, isRealMode: boolean): { calls: Calls; allowed: ReadonlySet<string> } {
  const random = new Random(seed);
  for (;;) {
    const calls = new Writer(random).program();
    const allowed = wholeOutcomes(calls, isRealMode);
    if (allowed.size >= LEAST_OUTCOMES) return { calls, allowed };
  }
}

/** What {@link soakOrders} found. */
export interface OrdersSoak {
  readonly programs: number;
  readonly interleavings: number;
  /** Different outcomes of all programs, and those that no order of whole calls has. */
  readonly outcomes: number;
  readonly faults: readonly string[];
}

/**
 * @param preemptions of one context in the middle of a call, at most
 * @param limit interleavings of one program, at most
 */
export function soakOrders(from: number, to: number, { preemptions = 2, limit = LIMIT, isRealMode = false, hazards = {} as Partial<Hazards>, progress = (_done: number): void => {} } = {}): OrdersSoak {
  let interleavings = 0;
  let outcomes = 0;
  const faults: string[] = [];
  for (let seed = from; seed <= to; seed++) {
    const { calls, allowed } = programThatRaces(seed, isRealMode);
    const seen = new Set<string>();
    const result = explore(() => programOf(calls, isRealMode, hazards, seen), { preemptions, limit });
    interleavings += result.interleavings;
    outcomes += seen.size;
    if (result.verdict === "violation") faults.push(`program ${seed}: ${result.message}`);
    for (const outcome of seen) if (!allowed.has(outcome)) faults.push(`program ${seed}, ${JSON.stringify(calls)}: no order of whole calls has ${outcome}`);
    progress(seed - from + 1);
  }
  return { programs: to - from + 1, interleavings, outcomes, faults };
}

function programOf({ before, contexts }: Calls, isRealMode: boolean, hazards: Partial<Hazards>, seen: Set<string>): ReturnType<XicsStage["program"]> {
  const real = new Real(hazards, isRealMode);
  for (const call of before) run(real.do(call));
  const answers = contexts.map((): number[] => []);
  const threads = contexts.map((calls, i) => {
    function* work(): Step<void> {
      for (let at = 0; at < calls.length; at++) answers[i].push(yield* real.do(calls[at]));
    }
    return new Thread(`context${i}`, "vcpu", work);
  });
  return real.stage.program(threads, () => {
    seen.add(`${JSON.stringify(answers)}\n${settled(real.state())}`);
    return null;
  });
}
