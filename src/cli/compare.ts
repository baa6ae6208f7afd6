import type { Command } from "commander";
import { compare } from "../delivery/compare.js";
import { comparisonPage } from "../delivery/report.js";
import { comparisonText } from "../delivery/table.js";
import { writeText } from "../node/write-text.js";
import { AnswerNo } from "./answer-no.js";
import { Progress } from "./progress.js";
import { addRunOptions, deliveryRequest, type RunOptions } from "./run-options.js";

interface CompareOptions extends RunOptions {
  report?: string;
}

/** `virq compare`: every mechanism side by side. */
export function addCompareCommand(program: Command): void {
  addRunOptions(program.command("compare").description("what one interrupt of a device costs on every delivery mechanism, side by side"))
    .option("--report <file.html>", "write one self-contained page with the table and charts")
    .action((file: string | undefined, options: CompareOptions) => {
      const request = deliveryRequest(file, options);
      const progress = new Progress();
      const comparison = compare(request, (mechanism, done) => progress.show(`${mechanism}: ${done} of ${request.workload.interrupts}`));
      progress.clear();
      if (options.report !== undefined) writeText(options.report, comparisonPage(comparison));
      process.stdout.write(options.json ? `${JSON.stringify(comparison, null, 2)}\n` : comparisonText(comparison));
      if (!comparison.mechanisms.some((each) => each.applicable)) throw new AnswerNo();
    });
}
