import { endsAtAcceptance } from "../conform/x86-backend.js";
import { X86Calls } from "../conform/x86-calls.js";
import { diffX86, type DiffResult, type DiffSides, kindOf, shrinkDifference } from "../conform/x86-diff.js";
import { KNOWN_DIFFERENCES } from "../conform/x86-known.js";
import { randomSequence } from "../conform/x86-random.js";
import { describeX86Step } from "../conform/x86-replay.js";
import { type Backend, X86_MODEL } from "../conform/x86-targets.js";
import type { X86Call } from "../conform/x86-vector.js";
import { RunningKernel } from "../node/kvm/kernel-system.js";
import { run } from "../sim/step.js";
import type { ConformDiffOutput } from "./conform-diff-schema.js";
import { diffText } from "./conform-diff-text.js";
import type { ConformRequest } from "./conform-request.js";
import { Progress } from "./progress.js";

type RequestOf<T extends ConformRequest["kind"]> = Extract<ConformRequest, { readonly kind: T }>;

interface Sequence {
  readonly name: string;
  readonly calls: readonly X86Call[];
}

type Found = ConformDiffOutput["differences"][number];

/** `--diff FILE`: the calls of recorded vectors on both sides. True when nothing differs. */
export async function compareFile({ file, vectors, leftOut, compat }: RequestOf<"diff">, isJson: boolean): Promise<boolean> {
  const at = (i: number): Sequence => ({ name: vectors[i].id, calls: vectors[i].steps });
  return await compare({ source: file, seed: null, compat: compat ?? null, sequences: vectors.length, leftOut }, at, isJson);
}

/** `--diff --random N`: generated sequences on both sides. True when nothing differs. */
export async function compareRandom({ sequences, seed, steps, compat }: RequestOf<"random">, isJson: boolean): Promise<boolean> {
  const at = (i: number): Sequence => {
    const { scene, calls } = randomSequence(seed, i, steps);
    return { name: `${scene} ${i}`, calls };
  };
  return await compare({ source: "random", seed, compat: compat ?? null, sequences, leftOut: 0 }, at, isJson);
}

async function compare(of: Pick<ConformDiffOutput, "source" | "seed" | "compat" | "sequences" | "leftOut">, at: (i: number) => Sequence, isJson: boolean): Promise<boolean> {
  const kernel = await RunningKernel.open();
  const progress = new Progress();
  try {
    const backend = { endsAtAcceptance: run(endsAtAcceptance(new X86Calls(kernel.process()))) };
    const comparison = new Comparison(sidesOf(kernel, { ...backend, ...(of.compat === null ? {} : { compat: of.compat }) }));
    for (let i = 0; i < of.sequences; i++) {
      progress.show(`${i} of ${of.sequences} sequences, ${comparison.different} different`);
      comparison.add(at(i));
      await kernel.breathe();
    }
    progress.clear();
    const output = { ...of, backend, ...comparison.result() };
    process.stdout.write(isJson ? `${JSON.stringify(output, null, 2)}\n` : diffText(output));
    return comparison.different === 0;
  } finally {
    progress.clear();
    await kernel.close();
  }
}

function sidesOf(kernel: RunningKernel, backend: Backend): DiffSides {
  return { model: () => new X86Calls(X86_MODEL(backend)), kernel: () => new X86Calls(kernel.process()) };
}

/** A difference must show again as often; else the kernel itself does not always answer so. */
const REPEATS = 2;

/** Counts what agrees, and keeps one shrunk sequence of each kind of difference. */
export class Comparison {
  different = 0;
  private steps = 0;
  private same = 0;
  private notCompared = 0;
  private readonly calls = new Map<string, number>();
  private readonly errnos = new Map<string, number>();
  private readonly sequencesOf = new Map<string, number>();
  private readonly stepsOf = new Map<string, number>();
  private readonly found = new Map<string, Found>();
  private readonly unsteady: ConformDiffOutput["unsteady"] = [];

  constructor(private readonly sides: DiffSides) {}

  add({ name, calls }: Sequence): void {
    const result = diffX86(calls, this.sides);
    this.steps += result.steps.length;
    this.notCompared += calls.length - result.steps.length;
    for (const { call, kernel } of result.steps) {
      tally(this.calls, call.op === "guest" ? `guest ${call.args.do}` : call.op);
      tally(this.errnos, kernel.errno ?? "none");
    }
    for (const known of new Set(result.known)) tally(this.sequencesOf, known.name);
    for (const known of result.known) tally(this.stepsOf, known.name);
    if (result.outcome === "same") this.same++;
    if (result.outcome !== "different") return;
    const kind = kindOf(result);
    for (let again = 0; again < REPEATS; again++) {
      if (kindOf(diffX86(calls, this.sides)) === kind) continue;
      this.unsteady.push({ name, at: placesOf(result) });
      return;
    }
    this.different++;
    const alike = this.found.get(kind);
    if (alike === undefined) this.found.set(kind, reported(name, result, shrinkDifference(calls, result, this.sides)));
    else alike.alike++;
  }

  result(): Pick<ConformDiffOutput, "steps" | "notCompared" | "calls" | "errnos" | "same" | "known" | "unsteady" | "different" | "differences"> {
    const known = KNOWN_DIFFERENCES.map(({ name, flavour, where, reason, model, isHarmless, kept }) => ({ name, flavour, where, reason, model, isHarmless, ...(kept === undefined ? {} : { kept }), sequences: this.sequencesOf.get(name) ?? 0, steps: this.stepsOf.get(name) ?? 0 }));
    return { steps: this.steps, notCompared: this.notCompared, calls: byShare(this.calls), errnos: byShare(this.errnos), same: this.same, known, unsteady: this.unsteady, different: this.different, differences: [...this.found.values()] };
  }
}

const tally = (counts: Map<string, number>, name: string): unknown => counts.set(name, (counts.get(name) ?? 0) + 1);
/** The most frequent first. */
const byShare = (counts: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));

const placesOf = ({ steps }: { readonly steps: DiffResult["steps"] }): Found["at"] =>
  (steps.at(-1)?.differences ?? []).map(({ path, expected, got }) => ({ path, model: got, kernel: expected }));

function reported(name: string, whole: DiffResult, { steps }: DiffResult): Found {
  const last = steps.at(-1);
  return {
    name,
    shrunkFrom: whole.steps.length,
    alike: 0,
    at: placesOf({ steps }),
    steps: steps.map(({ call, model, kernel }) => ({ call: describeX86Step(call), model: JSON.stringify(model), kernel: JSON.stringify(kernel) })),
    vector: {
      id: name.replaceAll(" ", "-"),
      title: last === undefined ? name : `${describeX86Step(last.call)}: model and kernel differ`,
      kind: "diff",
      flavour: "any",
      steps: steps.map(({ call: { op, args }, kernel }) => ({ op, args, expect: kernel })),
    },
  };
}
