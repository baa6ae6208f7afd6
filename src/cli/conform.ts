import { type Command, Option } from "commander";
import { isX86Compat } from "../irqchip/x86/chip-rules.js";
import { comparedLine, count, countsLine, runVector, type VectorResult } from "../conform/runner.js";
import { type AnyCompat, isArmCompat, TARGET_NAMES } from "../conform/target.js";
import { X86_TARGET_NAMES } from "../conform/x86/targets.js";
import { readConformanceFile } from "../node/read-conformance.js";
import { PersonError } from "../sim/person-error.js";
import { AnswerNo } from "./answer-no.js";
import { compareFile, compareRandom } from "./conform-diff.js";
import { runOnKernel } from "./conform-kvm.js";
import { knownJson, knownText, knownTotals } from "./conform-known.js";
import { conformRequest, type ConformOptions, type ConformRequest } from "./conform-request.js";
import type { ConformOutput } from "./conform-schema.js";

const whole = (least: number, most: number, what: string) => (text: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) throw new PersonError(`${what} ${text}: a whole number from ${least} to ${most} is wanted`);
  return value;
};

function compatOf(text: string): AnyCompat {
  if (isX86Compat(text) || isArmCompat(text)) return text;
  throw new PersonError(`--compat ${text}: newest, linux-2026, or a release from linux-3.9 to linux-6.18 is wanted, or for Arm v5-2017`);
}

/** `virq conform FILE`: recorded vectors against the model; status 1 when a step shows something else than was recorded. */
export function addConformCommand(program: Command): void {
  program
    .command("conform")
    .description("runs recorded vectors against the model or the running kernel, or both against each other: each passes, or shows its first step that differs")
    .argument("[file]", "a conformance file (schema/conformance-file.schema.json, schema/kvm-conformance-file.schema.json), which may be compressed by gzip")
    .addOption(new Option("--target <name>", "what they run on; default: model for x86, for Arm virtual where a kernel answered, else physical; kvm is the running kernel").choices([...TARGET_NAMES, ...X86_TARGET_NAMES]))
    .option("--only <id>", "only this vector; may be repeated", (id: string, before: string[] = []) => [...before, id])
    .option("--compat <kernel>", "whose rules the model's controllers follow: newest, linux-2026, linux-3.9 to linux-6.18 (Arm: newest, linux-6.1, v5-2017); default: of the kernel that answered, with --diff the newest", compatOf)
    .option("--diff", "the model and the running kernel together, step by step; the first difference is shrunk to the fewest steps")
    .option("--random <n>", "with --diff: so many generated sequences instead of a file's", whole(1, 10_000_000, "--random"))
    .option("--seed <n>", "of the generated sequences; default: 1", whole(0, 0xffff_ffff, "--seed"))
    .option("--steps <n>", "of each generated sequence; default: 60", whole(1, 10_000, "--steps"))
    .option("--known", "print every known difference between kernels or back ends and the model, with its reason")
    .option("--json", "print JSON (schema/conform.schema.json, with --diff schema/conform-diff.schema.json, with --known schema/conform-known.schema.json)")
    .action(async (file: string | undefined, options: ConformOptions) => {
      const isFine = await perform(file, options);
      if (!isFine) throw new AnswerNo();
    });
}

/** True when nothing differs. */
async function perform(file: string | undefined, options: ConformOptions): Promise<boolean> {
  const request = conformRequest(file, options, readConformanceFile);
  const isJson = options.json ?? false;
  switch (request.kind) {
    case "known":
      process.stdout.write(isJson ? knownJson() : knownText());
      return true;
    case "random":
      return await compareRandom(request, isJson);
    case "diff":
      return await compareFile(request, isJson);
    case "kernel":
      return print(request, await runOnKernel(request.vectors), isJson);
    case "vectors":
      return print(request, request.vectors.map((vector) => runVector(vector, request)), isJson);
  }
}

function print(request: Extract<ConformRequest, { readonly kind: "vectors" | "kernel" }>, results: readonly VectorResult[], isJson: boolean): boolean {
  const compat = "compat" in request ? (request.compat ?? null) : null;
  const output: ConformOutput = { file: request.file, compat, ...count(results), known: knownTotals(results), vectors: results.map((result) => ({ ...result, known: result.known?.map((each) => ({ ...each, paths: [...each.paths] })) ?? [] })) };
  process.stdout.write(isJson ? `${JSON.stringify(output, null, 2)}\n` : text(results));
  refuseNothing(request.file, results);
  return results.every((result) => result.outcome !== "failed");
}

/** All of it skipped would look like all of it passed. */
function refuseNothing(file: string, results: readonly VectorResult[]): void {
  if (results.some(({ outcome }) => outcome !== "skipped")) return;
  const [first] = results;
  throw new PersonError(`${file}: nothing of it ran, ${results.length === 1 ? `${first.id} was skipped` : `all ${results.length} vectors were skipped, the first (${first.id})`} because: ${first.reason ?? ""}; choose other vectors, or another --target`);
}

function text(results: readonly VectorResult[]): string {
  const lines = results.map((result) => {
    if (result.outcome === "passed") return `passed   ${result.id}  ${result.title}`;
    if (result.outcome === "skipped") return `skipped  ${result.id}  ${result.reason}`;
    const { step, text: what, expected, got } = result.difference ?? { step: 0, text: "", expected: "", got: "" };
    return `FAILED   ${result.id}  step ${step}: ${what}: expected ${expected}, got ${got}`;
  });
  const counts = count(results);
  for (const { name, flavour, vectors, steps } of knownTotals(results)) lines.push(`known    ${steps} steps of ${vectors} vectors: ${name} (${flavour}; virq conform --known)`);
  return `${[...lines, comparedLine(counts), countsLine(counts)].join("\n")}\n`;
}
