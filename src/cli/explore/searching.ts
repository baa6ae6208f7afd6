import { Worker } from "node:worker_threads";
import type { Report, SearchOptions } from "../../explore/search.js";
import { PersonError } from "../../sim/person-error.js";
import { INTERRUPTED } from "../interrupted.js";
import { Progress } from "../progress.js";
import type { ProtocolSource } from "../../node/explore/protocol-source.js";
import type { SearchMessage, SearchStart } from "./search-thread.js";
import { grouped } from "./words.js";

/** What a search brought, and whether Ctrl-C ended it. */
export interface Searched {
  readonly report: Report;
  readonly isStopped: boolean;
}

/**
 * Searches on so many threads, none of them this one: it must hear Ctrl-C whatever a program of the person's own does. The
 * first ends the search after the units that are under way, a fraction of a second's work; the second ends the process.
 */
export async function searched(source: ProtocolSource, options: SearchOptions, workers: number): Promise<Searched> {
  const shown = new Progress();
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const interrupt = (): void => {
    if (Atomics.exchange(stop, 0, 1) !== 0) process.exit(INTERRUPTED);
    process.stderr.write("stopping after what is under way; Ctrl-C again ends at once\n");
  };
  process.on("SIGINT", interrupt);
  const start: SearchStart = { source, options, workers, stop };
  const worker = new Worker(new URL("./search-thread.js", import.meta.url), { workerData: start });
  try {
    const report = await reported(worker, ({ executions, open }) => shown.show(`${grouped(executions)} executions, ${open} parts still open`));
    return { report, isStopped: Atomics.load(stop, 0) !== 0 && report.open !== undefined };
  } finally {
    process.removeListener("SIGINT", interrupt);
    await worker.terminate();
    shown.clear();
  }
}

function reported(worker: Worker, progress: (done: { readonly executions: number; readonly open: number }) => void): Promise<Report> {
  return new Promise((resolve, reject) => {
    worker.on("message", (message: SearchMessage) => {
      if ("report" in message) resolve(message.report);
      else if ("error" in message) reject(message.isPersons ? new PersonError(message.error) : Object.assign(new Error(message.error), { stack: message.stack }));
      else progress(message);
    });
    worker.on("error", reject);
  });
}
