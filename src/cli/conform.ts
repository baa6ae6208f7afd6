import { type Command, Option } from "commander";
import { count, countsLine, runVector, type VectorResult } from "../conform/runner.js";
import { COMPATS, type Compat, TARGET_NAMES, type TargetName } from "../conform/target.js";
import type { AnyVector } from "../conform/vector.js";
import { readConformanceFile } from "../node/read-conformance.js";
import { PersonError } from "../sim/person-error.js";
import { AnswerNo } from "./answer-no.js";
import { type ConformOutput } from "./conform-schema.js";

interface Options {
  readonly target?: TargetName;
  readonly only?: string[];
  readonly json?: boolean;
  readonly compat?: Compat;
}

/** `virq conform FILE`: recorded vectors against the model; status 1 when a step shows something else than was recorded. */
export function addConformCommand(program: Command): void {
  program
    .command("conform")
    .description("runs recorded vectors against the model: each passes, or shows its first step that differs")
    .argument("<file>", "a conformance file (schema/conformance-file.schema.json), which may be compressed by gzip")
    .addOption(new Option("--target <name>", "what they run on; default: virtual where a kernel answered, else physical").choices(TARGET_NAMES))
    .option("--only <id>", "only this vector; may be repeated", (id: string, before: string[] = []) => [...before, id])
    .addOption(new Option("--compat <kernel>", "whose rules the virtual controllers follow; default: of the kernel that answered").choices(COMPATS))
    .option("--json", "print JSON (schema/conform.schema.json)")
    .action((file: string, options: Options) => {
      const results = chosen(readConformanceFile(file), options.only, file).map((vector) => runVector(vector, options));
      process.stdout.write(options.json ? `${JSON.stringify(output(file, options, results), null, 2)}\n` : text(results));
      if (results.some((result) => result.outcome === "failed")) throw new AnswerNo();
    });
}

function chosen(vectors: readonly AnyVector[], only: readonly string[] | undefined, file: string): readonly AnyVector[] {
  if (only === undefined) return vectors;
  const unknown = only.find((id) => !vectors.some((vector) => vector.id === id));
  if (unknown !== undefined) throw new PersonError(`--only ${unknown}: ${file} has no vector of this id`);
  return vectors.filter((vector) => only.includes(vector.id));
}

function output(file: string, options: Options, results: readonly VectorResult[]): ConformOutput {
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
