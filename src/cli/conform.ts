import { type Command, Option } from "commander";
import { count, countsLine, runVector, type VectorResult } from "../conform/runner.js";
import { COMPATS, type Compat, TARGET_NAMES, type TargetName } from "../conform/target.js";
import { isPc } from "../conform/pc-vector.js";
import type { AnyVector } from "../conform/vector.js";
import { X86_TARGET_NAMES, type X86TargetName } from "../conform/x86-targets.js";
import { isKvmVector } from "../conform/x86-vector.js";
import { readConformanceFile } from "../node/read-conformance.js";
import { PersonError } from "../sim/person-error.js";
import { AnswerNo } from "./answer-no.js";
import { compareFile, compareRandom } from "./conform-diff.js";
import { runOnKernel } from "./conform-kvm.js";
import type { ConformOutput } from "./conform-schema.js";

export interface ConformCommandOptions {
  readonly target?: TargetName | X86TargetName;
  readonly only?: string[];
  readonly json?: boolean;
  readonly compat?: Compat;
  readonly diff?: boolean;
  readonly random?: number;
  readonly seed: number;
  readonly steps: number;
}

const whole = (least: number, most: number, what: string) => (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) throw new PersonError(`${what} ${text}: a whole number from ${least} to ${most} is wanted`);
  return value;
};

/** `virq conform FILE`: recorded vectors against the model; status 1 when a step shows something else than was recorded. */
export function addConformCommand(program: Command): void {
  program
    .command("conform")
    .description("runs recorded vectors against the model or the running kernel, or both against each other: each passes, or shows its first step that differs")
    .argument("[file]", "a conformance file (schema/conformance-file.schema.json, schema/kvm-conformance-file.schema.json), which may be compressed by gzip")
    .addOption(new Option("--target <name>", "what they run on; default: model for x86, for Arm virtual where a kernel answered, else physical; kvm is the running kernel").choices([...TARGET_NAMES, ...X86_TARGET_NAMES]))
    .option("--only <id>", "only this vector; may be repeated", (id: string, before: string[] = []) => [...before, id])
    .addOption(new Option("--compat <kernel>", "whose rules the virtual controllers follow; default: of the kernel that answered").choices(COMPATS))
    .option("--diff", "the model and the running kernel together, step by step; the first difference is shrunk to the fewest steps")
    .option("--random <n>", "with --diff: so many generated sequences instead of a file's", whole(1, 10_000_000, "--random"))
    .option("--seed <n>", "of the generated sequences", whole(0, 0xffff_ffff, "--seed"), 1)
    .option("--steps <n>", "of each generated sequence", whole(1, 10_000, "--steps"), 60)
    .option("--json", "print JSON (schema/conform.schema.json, with --diff schema/conform-diff.schema.json)")
    .action(async (file: string | undefined, options: ConformCommandOptions) => {
      const isFine = await perform(file, options);
      if (!isFine) throw new AnswerNo();
    });
}

/** True when nothing differs. */
async function perform(file: string | undefined, options: ConformCommandOptions): Promise<boolean> {
  if (options.random !== undefined) {
    if (!options.diff) throw new PersonError("--random: generated sequences have no recorded answers; add --diff to compare the model with the running kernel");
    if (file !== undefined) throw new PersonError(`--random: sequences are generated, not read from ${file}; leave one of the two out`);
    return await compareRandom(options.random, options);
  }
  if (file === undefined) throw new PersonError("conform: which conformance file? Or give --diff --random N to compare the model with the running kernel");
  const vectors = chosen(readConformanceFile(file), options.only, file);
  if (options.diff) return await compareFile(file, vectors, options);
  refuseForeign(vectors, options.target, file);
  const results = options.target === "kvm" ? await runOnKernel(vectors) : vectors.map((vector) => runVector(vector, modelOptions(options)));
  process.stdout.write(options.json ? `${JSON.stringify(output(file, options, results), null, 2)}\n` : text(results));
  return results.every((result) => result.outcome !== "failed");
}

/** A target of one architecture takes no file of the other's: all of it skipped would look like all of it passed. */
function refuseForeign(vectors: readonly AnyVector[], target: ConformCommandOptions["target"], file: string): void {
  if (target === undefined) return;
  if (target === "kvm") {
    if (vectors.some(isKvmVector)) return;
    throw new PersonError(`--target kvm: it takes sequences of calls to /dev/kvm, and ${file} has none; leave --target out`);
  }
  const isX86 = (vector: AnyVector): boolean => isKvmVector(vector) || isPc(vector.machine);
  if (vectors.some((vector) => isX86(vector) === (target === "model"))) return;
  throw new PersonError(`--target ${target}: it takes ${target === "model" ? "x86" : "Arm"} vectors, and ${file} has none; leave --target out`);
}

function modelOptions({ target, compat }: ConformCommandOptions): Parameters<typeof runVector>[1] {
  return { ...(target === undefined || target === "kvm" ? {} : { target }), ...(compat === undefined ? {} : { compat }) };
}

function chosen(vectors: readonly AnyVector[], only: readonly string[] | undefined, file: string): readonly AnyVector[] {
  if (vectors.length === 0) throw new PersonError(`${file} has no vectors: name a file that has some`);
  if (only === undefined) return vectors;
  const unknown = only.find((id) => !vectors.some((vector) => vector.id === id));
  if (unknown !== undefined) throw new PersonError(`--only ${unknown}: ${file} has no vector of this id`);
  return vectors.filter((vector) => only.includes(vector.id));
}

function output(file: string, options: ConformCommandOptions, results: readonly VectorResult[]): ConformOutput {
  return { file, compat: options.compat ?? null, ...count(results), vectors: [...results] };
}

function text(results: readonly VectorResult[]): string {
  const lines = results.map((result) => {
    if (result.outcome === "passed") return `passed   ${result.id}  ${result.title}`;
    if (result.outcome === "skipped") return `skipped  ${result.id}  ${result.reason}`;
    const { step, text: what, expected, got } = result.difference ?? { step: 0, text: "", expected: "", got: "" };
    return `FAILED   ${result.id}  step ${step}: ${what}: expected ${expected}, got ${got}`;
  });
  return `${[...lines, countsLine(count(results))].join("\n")}\n`;
}
