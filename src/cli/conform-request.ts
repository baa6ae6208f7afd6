import { hasCompat, isX86 } from "../conform/runner.js";
import { type AnyCompat, isArmCompat, type TargetName } from "../conform/target.js";
import { isX86Compat, type X86Compat } from "../irqchip/x86/chip-rules.js";
import type { AnyVector } from "../conform/vector.js";
import type { X86TargetName } from "../conform/x86/targets.js";
import { isKvmVector, type X86Vector } from "../conform/x86/vector.js";
import { PersonError } from "../sim/person-error.js";

export interface ConformOptions {
  readonly target?: TargetName | X86TargetName;
  readonly only?: readonly string[];
  readonly json?: boolean;
  readonly compat?: AnyCompat;
  readonly known?: boolean;
  readonly diff?: boolean;
  readonly random?: number;
  readonly seed?: number;
  readonly steps?: number;
}

const DEFAULT_SEED = 1;
const DEFAULT_STEPS = 60;

/** What is asked for; every option that was given acts in it. */
export type ConformRequest =
  | { readonly kind: "known" }
  | { readonly kind: "vectors"; readonly file: string; readonly vectors: readonly AnyVector[]; readonly target?: TargetName | "model"; readonly compat?: AnyCompat }
  | { readonly kind: "kernel"; readonly file: string; readonly vectors: readonly AnyVector[] }
  | { readonly kind: "diff"; readonly file: string; readonly vectors: readonly X86Vector[]; readonly leftOut: number; readonly compat?: X86Compat }
  | { readonly kind: "random"; readonly sequences: number; readonly seed: number; readonly steps: number; readonly compat?: X86Compat };

/** Which options act where, beside --json, which acts everywhere; how the sentence about another one ends. */
const ACTS: Readonly<Record<ConformRequest["kind"], { readonly options: readonly (keyof ConformOptions)[]; readonly otherwise: string }>> = {
  known: { options: ["known"], otherwise: "with --known, which prints a table; leave one of the two out" },
  random: { options: ["diff", "random", "seed", "steps", "compat"], otherwise: "with --random, which generates calls for the model and the running kernel; leave one of the two out" },
  diff: { options: ["diff", "only", "compat"], otherwise: "with --diff FILE, which makes the same calls on the model and the running kernel; leave one of the two out" },
  kernel: { options: ["target", "only"], otherwise: "with --target kvm, where the running kernel follows its own rules; leave one of the two out" },
  vectors: { options: ["target", "only", "compat"], otherwise: "without --diff --random N, which generates sequences; leave it out" },
};
const OPTIONS = ["known", "target", "only", "compat", "diff", "random", "seed", "steps"] as const;

/**
 * What a command line asks for.
 * @param read the vectors of the file, which is asked for only once the options agree
 * @throws PersonError when an option would not act, or there is nothing to do
 */
export function conformRequest(file: string | undefined, options: ConformOptions, read: (file: string) => readonly AnyVector[]): ConformRequest {
  const kind = kindOf(options);
  refuseIdle(kind, options);
  if (kind === "known") {
    if (file !== undefined) throw new PersonError(`--known: it prints a table, and reads no file: leave ${file} out`);
    return { kind };
  }
  if (kind === "random") {
    if (file !== undefined) throw new PersonError(`--random: sequences are generated, not read from ${file}; leave one of the two out`);
    return { kind, sequences: options.random ?? 0, seed: options.seed ?? DEFAULT_SEED, steps: options.steps ?? DEFAULT_STEPS, ...kernelCompat(options) };
  }
  if (file === undefined) throw new PersonError("conform: which conformance file? Or give --diff --random N to compare the model with the running kernel");
  const vectors = chosen(read(file), options.only, file);
  if (kind === "diff") return { kind, file, ...comparable(vectors, file), ...kernelCompat(options) };
  const { target } = options;
  if (target === "kvm") return { kind: "kernel", file, vectors: forKernel(vectors, file) };
  if (target !== undefined) refuseForeign(vectors, target, file);
  if (options.compat !== undefined && !vectors.some((vector) => hasCompat(vector, target)))
    throw new PersonError(`--compat ${options.compat}: it chooses whose rules a controller of KVM's follows, and no vector of ${file} runs on one; leave it out`);
  if (options.compat !== undefined && !isArmCompat(options.compat) && !vectors.some(isX86))
    throw new PersonError(`--compat ${options.compat}: of Arm's controllers the model knows newest, linux-6.1 and v5-2017; give one of them`);
  if (vectors.some(isX86)) kernelCompat(options);
  const compat = options.compat === undefined ? {} : { compat: options.compat };
  return { kind: "vectors", file, vectors, ...(target === undefined ? {} : { target }), ...compat };
}

/** Of x86's controllers. */
function kernelCompat({ compat }: ConformOptions): { readonly compat?: X86Compat } {
  if (compat === undefined) return {};
  if (isX86Compat(compat)) return { compat };
  throw new PersonError(`--compat ${compat}: only Arm's controllers follow it, and there are vectors of x86; give newest, linux-2026, or a release from linux-3.9 to linux-6.18`);
}

function kindOf(options: ConformOptions): ConformRequest["kind"] {
  if (options.known) return "known";
  if (options.random !== undefined) {
    if (!options.diff) throw new PersonError("--random: generated sequences have no recorded answers; add --diff to compare the model with the running kernel");
    return "random";
  }
  if (options.diff) return "diff";
  return options.target === "kvm" ? "kernel" : "vectors";
}

/** An option that would be passed over is refused. */
function refuseIdle(kind: ConformRequest["kind"], options: ConformOptions): void {
  const idle = OPTIONS.find((name) => options[name] !== undefined && !ACTS[kind].options.includes(name));
  if (idle === undefined) return;
  throw new PersonError(`--${idle} ${String(options[idle])}: it does nothing ${ACTS[kind].otherwise}`);
}

function chosen(vectors: readonly AnyVector[], only: readonly string[] | undefined, file: string): readonly AnyVector[] {
  if (vectors.length === 0) throw new PersonError(`${file} has no vectors: name a file that has some`);
  if (only === undefined) return vectors;
  const unknown = only.find((id) => !vectors.some((vector) => vector.id === id));
  if (unknown !== undefined) throw new PersonError(`--only ${unknown}: ${file} has no vector of this id`);
  return vectors.filter((vector) => only.includes(vector.id));
}

const OTHER_MACHINE = "its vectors are register accesses on a machine of QEMU's, recorded with its devices and with Linux 6.1; run them on the model: leave";

function forKernel(vectors: readonly AnyVector[], file: string): readonly AnyVector[] {
  if (vectors.some(isKvmVector)) return vectors;
  throw new PersonError(`--target kvm: the running kernel takes sequences of calls to /dev/kvm, and ${file} has none: ${OTHER_MACHINE} --target out`);
}

function comparable(vectors: readonly AnyVector[], file: string): { readonly vectors: readonly X86Vector[]; readonly leftOut: number } {
  const calls = vectors.filter((vector): vector is X86Vector => isKvmVector(vector));
  if (calls.length === 0) throw new PersonError(`--diff: it makes calls to /dev/kvm on both sides, and ${file} has none: ${OTHER_MACHINE} --diff out`);
  return { vectors: calls, leftOut: vectors.length - calls.length };
}

/** A target of one architecture takes no file of the other's: all of it skipped would look like all of it passed. */
function refuseForeign(vectors: readonly AnyVector[], target: TargetName | "model", file: string): void {
  if (vectors.some((vector) => isX86(vector) === (target === "model"))) return;
  throw new PersonError(`--target ${target}: it takes ${target === "model" ? "x86" : "Arm"} vectors, and ${file} has none; leave --target out`);
}
