import { diffX86, type DiffResult, type DiffSides, kindOf, shrinkDifference } from "../conform/x86/diff.js";
import { isMet } from "../conform/x86/explain.js";
import { isSwitch, KNOWN_DIFFERENCES, type KnownSwitch, told } from "../conform/x86/known.js";
import { ENDS_AT_ACCEPTANCE } from "../conform/x86/known-switches.js";
import { describeX86Step } from "../conform/x86/replay.js";
import type { X86Call } from "../conform/x86/vector.js";
import type { ConformDiffOutput } from "./conform-diff-schema.js";

export interface Sequence {
  readonly name: string;
  readonly calls: readonly X86Call[];
}

/** The two sides, and how they stand to each other. */
export interface ComparedSides extends DiffSides {
  /** Switches that the model follows from the first call on. */
  readonly followed?: readonly KnownSwitch[];
  /** Switches that the kernel answers as neither side would. */
  readonly unclear?: readonly KnownSwitch[];
}

type Found = ConformDiffOutput["differences"][number];
type Known = ConformDiffOutput["known"][number];

/** A difference must show again as often; else the kernel itself does not always answer so. */
const REPEATS = 2;

/** Counts what agrees, and keeps one shrunk sequence of each kind of difference. */
export class Comparison {
  different = 0;
  private steps = 0;
  private same = 0;
  private withKnown = 0;
  private notCompared = 0;
  private readonly calls = new Map<string, number>();
  private readonly errnos = new Map<string, number>();
  private readonly sequencesOf = new Map<string, number>();
  private readonly stepsOf = new Map<string, number>();
  private readonly found = new Map<string, Found>();
  private readonly unsteady: ConformDiffOutput["unsteady"] = [];

  constructor(private readonly sides: ComparedSides) {}

  add({ name, calls }: Sequence): void {
    const result = diffX86(calls, this.sides);
    this.countSteps(calls, result);
    this.countKnown(result);
    if (result.outcome === "same") this.same++;
    if (result.outcome === "known") this.withKnown++;
    if (result.outcome !== "different") return;
    const kind = kindOf(result);
    for (let again = 0; again < REPEATS; again++) {
      if (kindOf(diffX86(calls, this.sides)) === kind) continue;
      this.unsteady.push({ name, at: placesOf(result) });
      return;
    }
    this.different++;
    const alike = this.found.get(kind);
    if (alike === undefined) this.found.set(kind, this.reported(name, result, shrinkDifference(calls, result, this.sides)));
    else alike.alike.push(name);
  }

  private countSteps(calls: readonly X86Call[], { steps }: DiffResult): void {
    this.steps += steps.length;
    this.notCompared += calls.length - steps.length;
    for (const { call, kernel } of steps) {
      tally(this.calls, call.op === "guest" ? `guest ${call.args.do}` : call.op);
      tally(this.errnos, kernel.errno ?? "none");
    }
  }

  private countKnown(result: DiffResult): void {
    for (const known of new Set(result.known)) tally(this.sequencesOf, known.name);
    for (const known of result.known) tally(this.stepsOf, known.name);
    for (const each of this.sides.followed ?? []) if (this.isMet(result, each)) tally(this.sequencesOf, each.name);
  }

  private isMet(result: DiffResult, each: KnownSwitch): boolean {
    return isMet(each, result.steps, () => this.sides.model([each]));
  }

  result(): Pick<ConformDiffOutput, "steps" | "notCompared" | "calls" | "errnos" | "same" | "endedByKnown" | "known" | "unsteady" | "different" | "differences"> {
    return { steps: this.steps, notCompared: this.notCompared, calls: byShare(this.calls), errnos: byShare(this.errnos), same: this.same, endedByKnown: this.withKnown, known: this.known(), unsteady: this.unsteady, different: this.different, differences: [...this.found.values()] };
  }

  private known(): Known[] {
    const { followed = [], foreign = [], unclear = [] } = this.sides;
    return KNOWN_DIFFERENCES.map((row) => {
      const { name, flavour, where, reason, model, kept } = row;
      const counts = { sequences: this.sequencesOf.get(name) ?? 0, steps: this.stepsOf.get(name) ?? 0 };
      const of = { name, flavour, where, reason, model, told: told(row), ...(kept === undefined ? {} : { kept }), ...counts };
      if (!isSwitch(row)) return { ...of, isHarmless: row.isHarmless, kernel: null };
      const kernel = followed.includes(row) ? "followed" : foreign.includes(row) ? "otherwise" : unclear.includes(row) ? "unclear" : row.probe === undefined ? null : "alike";
      return { ...of, isHarmless: true, kernel };
    });
  }

  /** Only this back end answers so where the model without its switch answers otherwise. */
  private reported(name: string, whole: DiffResult, shrunk: DiffResult): Found {
    const { steps, lapics } = shrunk;
    const last = steps.at(-1);
    const isPvm = (this.sides.followed ?? []).includes(ENDS_AT_ACCEPTANCE) && isMet(ENDS_AT_ACCEPTANCE, steps.slice(0, -1), () => this.sides.model([ENDS_AT_ACCEPTANCE]));
    return {
      name,
      shrunkFrom: whole.steps.length,
      alike: [],
      at: placesOf(shrunk),
      steps: steps.map(({ call, model, kernel }) => ({ call: describeX86Step(call), model: JSON.stringify(model), kernel: JSON.stringify(kernel) })),
      vector: {
        id: name.replaceAll(" ", "-"),
        title: last === undefined ? name : `${describeX86Step(last.call)}: model and kernel differ`,
        kind: "diff",
        flavour: isPvm ? "pvm" : "any",
        lapics: [...lapics],
        steps: steps.map(({ call: { op, args }, kernel, kernelChips }) => ({ op, args, expect: { ...kernel, ...(kernelChips === undefined || steps.at(-1)?.kernelChips !== kernelChips ? {} : { after: kernelChips }) } })),
      },
    };
  }
}

const tally = (counts: Map<string, number>, name: string): unknown => counts.set(name, (counts.get(name) ?? 0) + 1);
/** The most frequent first. */
const byShare = (counts: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));

const placesOf = ({ steps }: { readonly steps: DiffResult["steps"] }): Found["at"] =>
  (steps.at(-1)?.differences ?? []).map(({ path, expected, got }) => ({ path, model: got, kernel: expected }));
