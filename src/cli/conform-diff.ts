import { X86Calls } from "../conform/x86/calls.js";
import { foreignTo } from "../conform/x86/sides.js";
import { randomSequence } from "../conform/x86/random.js";
import { type Backend, X86_MODEL } from "../conform/x86/targets.js";
import { RunningKernel } from "../node/kvm/kernel-system.js";
import { Comparison, type ComparedSides, type Sequence } from "./conform-comparison.js";
import type { ConformDiffOutput } from "./conform-diff-schema.js";
import { diffText } from "./conform-diff-text.js";
import { standingOf } from "./conform-kvm.js";
import type { ConformRequest } from "./conform-request.js";
import { Progress } from "./progress.js";

type RequestOf<T extends ConformRequest["kind"]> = Extract<ConformRequest, { readonly kind: T }>;
type Compat = NonNullable<RequestOf<"diff">["compat"]>;

interface Asked extends Pick<ConformDiffOutput, "source" | "seed" | "sequences" | "leftOut"> {
  readonly compat: Compat | null;
}

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

async function compare(of: Asked, at: (i: number) => Sequence, isJson: boolean): Promise<boolean> {
  const kernel = await RunningKernel.open();
  const progress = new Progress();
  try {
    const sides = sidesOf(kernel, of.compat ?? "newest");
    const comparison = new Comparison(sides);
    for (let i = 0; i < of.sequences; i++) {
      progress.show(`${i} of ${of.sequences} sequences, ${comparison.different} different`);
      comparison.add(at(i));
      await kernel.breathe();
    }
    progress.clear();
    const output = { ...of, ...comparison.result() };
    process.stdout.write(isJson ? `${JSON.stringify(output, null, 2)}\n` : diffText(output));
    return comparison.different === 0;
  } finally {
    progress.clear();
    await kernel.close();
  }
}

/** The kernel is asked where it stands; the model follows it in what is of the machine, and otherwise the rules asked for. */
function sidesOf(kernel: RunningKernel, compat: Compat): ComparedSides {
  const standing = standingOf(kernel);
  const base: Backend = { ...standing.backend, compat };
  return {
    model: (flipped = []) => new X86Calls(X86_MODEL(flipped.reduce((backend, each) => each.flip(backend), base))),
    kernel: () => new X86Calls(kernel.process()),
    foreign: foreignTo(standing, compat),
    followed: standing.other.filter(({ isOfMachine }) => isOfMachine === true),
    unclear: standing.unclear,
  };
}
