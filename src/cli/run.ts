import type { Command } from "commander";
import { runOne } from "../delivery/compare.js";
import { comparisonText } from "../delivery/table.js";
import { writeText } from "../node/write-text.js";
import { PersonError } from "../sim/person-error.js";
import { TraceBuffer } from "../sim/event.js";
import { traceChrome } from "../trace/chrome.js";
import { traceText } from "../trace/text.js";
import { addRunOptions, deliveryRequest, type RunOptions } from "./run-options.js";

interface OneRunOptions extends RunOptions {
  trace?: string;
}

/** More would not fit a text of JavaScript's, nor a machine's memory. */
const LONGEST_TRACE = 1_000_000;

/** Every event of a run that a person can still look through. */
class RunTrace extends TraceBuffer {
  override event(...event: Parameters<TraceBuffer["event"]>): void {
    if (this.events.length === LONGEST_TRACE)
      throw new PersonError(`--trace: the run has more than ${LONGEST_TRACE} events: ask for fewer --interrupts or a shorter --duration`);
    super.event(...event);
  }
}

/** `virq run`: one mechanism, a summary, and every hop if asked. */
export function addRunCommand(program: Command): void {
  addRunOptions(program.command("run").description("one mechanism: a summary and, with --trace, every hop with its cause"))
    .option("--trace <file>", "write every hop: .txt (a line per event) or .json (Chrome trace events, for Perfetto's viewer)")
    .action((file: string | undefined, options: OneRunOptions) => {
      const write = options.trace === undefined ? null : writerFor(options.trace);
      const trace = write === null ? null : new RunTrace();
      const result = runOne(deliveryRequest(file, options), trace);
      if (write !== null && trace !== null && options.trace !== undefined) writeText(options.trace, write(trace));
      process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : comparisonText(result));
    });
}

function writerFor(file: string): (trace: TraceBuffer) => string {
  if (file.endsWith(".txt")) return (trace) => traceText(trace.events);
  if (file.endsWith(".json")) return (trace) => JSON.stringify(traceChrome(trace.events));
  throw new PersonError(`--trace ${file}: name a file that ends in .txt or .json`);
}
