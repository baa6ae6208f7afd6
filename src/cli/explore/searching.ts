import { report, type Report, type SearchOptions, setUp } from "../../explore/search.js";
import type { Protocol } from "../../explore/protocol.js";
import { Progress } from "../progress.js";
import { grouped } from "./words.js";

/** Lets signals and output have their turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a search brought, and whether Ctrl-C ended it. */
export interface Searched {
  readonly report: Report;
  readonly isStopped: boolean;
}

/** Searches. Ctrl-C ends it after the unit that is under way, a fraction of a second's work; a second one ends the process. */
export async function searched(protocol: Protocol, options: SearchOptions): Promise<Searched> {
  const setup = setUp(protocol, options);
  const { coordinator, strategy, job } = setup;
  const progress = new Progress();
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  process.once("SIGINT", stop);
  try {
    for (let { units, budget } = coordinator.round(); units.length > 0 && !isStopped; { units, budget } = coordinator.round())
      for (const unit of units) {
        if (!coordinator.merge(unit, strategy.run(unit, job, budget))) break;
        const { executions, open } = coordinator.progress;
        progress.show(`${grouped(executions)} executions, ${open} parts still open`);
        await turn();
        if (isStopped) break;
      }
  } finally {
    process.removeListener("SIGINT", stop);
    progress.clear();
  }
  const done = report(protocol, options, setup);
  return { report: done, isStopped: isStopped && done.open !== undefined };
}
