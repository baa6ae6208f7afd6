import type { Command } from "commander";
import { compareBackends } from "../delivery/backends/compare.js";
import { BACKENDS } from "../delivery/backends/result.js";
import { backendText } from "../delivery/backends/table.js";
import { compare } from "../delivery/compare.js";
import { comparisonPage } from "../delivery/report.js";
import { comparisonText } from "../delivery/table.js";
import { writeText } from "../node/write-text.js";
import { PersonError } from "../sim/person-error.js";
import { AnswerNo } from "./answer-no.js";
import { backendRequest } from "./backend-option.js";
import { Progress } from "./progress.js";
import { addRunOptions, deliveryRequest, type RunOptions } from "./run-options.js";

interface CompareOptions extends RunOptions {
  report?: string;
  backend?: string[];
}

const names = (text: string, before: string[] = []): string[] => [...before, ...text.split(",")];

function showBackends(file: string | undefined, options: CompareOptions, backends: readonly string[]): void {
  if (options.report !== undefined) throw new PersonError("--report shows mechanisms, not backends: leave --report or --backend away");
  const comparison = compareBackends(backendRequest(file, options, backends));
  process.stdout.write(options.json ? `${JSON.stringify(comparison, null, 2)}\n` : backendText(comparison));
  if (!comparison.backends.some((each) => each.applicable)) throw new AnswerNo();
}

/** `virq compare`: every mechanism side by side. */
export function addCompareCommand(program: Command): void {
  addRunOptions(program.command("compare").description("what one interrupt of a device costs on every delivery mechanism, side by side"))
    .option("--report <file.html>", "write one self-contained page with the table and charts")
    .option("--backend <names>", `instead: the same guest over each device backend of VFIO (${BACKENDS.join(", ")}): who masks, who ends, who is told`, names)
    .action((file: string | undefined, options: CompareOptions) => {
      if (options.backend !== undefined) return showBackends(file, options, options.backend);
      const request = deliveryRequest(file, options);
      const progress = new Progress();
      const comparison = compare(request, (mechanism, done) => progress.show(`${mechanism}: ${done} of ${request.workload.interrupts}`));
      progress.clear();
      if (options.report !== undefined) writeText(options.report, comparisonPage(comparison));
      process.stdout.write(options.json ? `${JSON.stringify(comparison, null, 2)}\n` : comparisonText(comparison));
      if (!comparison.mechanisms.some((each) => each.applicable)) throw new AnswerNo();
    });
}
