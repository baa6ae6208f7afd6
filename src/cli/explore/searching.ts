import { report, type Report, type SearchOptions, setUp } from "../../explore/search.js";
import type { Progress as Done } from "../../explore/coordinator.js";
import type { Protocol } from "../../explore/protocol.js";
import { searchInParallel } from "../../node/explore/parallel.js";
import { Progress } from "../progress.js";
import type { ProtocolSource } from "./protocol-source.js";
import { grouped } from "./words.js";

/** Lets signals and output have their turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a search brought, and whether Ctrl-C ended it. */
export interface Searched {
  readonly report: Report;
  readonly isStopped: boolean;
}

/**
 * Searches on so many threads. Ctrl-C ends it after the units that are under way, a fraction of a second's work; a second one
 * ends the process.
 */
export async function searched(protocol: Protocol, source: ProtocolSource, options: SearchOptions, workers: number): Promise<Searched> {
  const shown = new Progress();
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  process.once("SIGINT", stop);
  try {
    const goesOn = ({ executions, open }: Done): boolean => {
      shown.show(`${grouped(executions)} executions, ${open} parts still open`);
      return !isStopped;
    };
    const loader = new URL("./protocol-source.js", import.meta.url).href;
    const done = workers > 1 ? await searchInParallel(protocol, { loader, source }, options, workers, goesOn) : await searchHere(protocol, options, goesOn);
    return { report: done, isStopped: isStopped && done.open !== undefined };
  } finally {
    process.removeListener("SIGINT", stop);
    shown.clear();
  }
}

async function searchHere(protocol: Protocol, options: SearchOptions, goesOn: (done: Done) => boolean): Promise<Report> {
  const setup = setUp(protocol, options);
  const { coordinator, strategy, job } = setup;
  let isStopped = false;
  for (let { units, budget } = coordinator.round(); units.length > 0 && !isStopped; { units, budget } = coordinator.round())
    for (const unit of units) {
      if (!coordinator.merge(unit, strategy.run(unit, job, budget))) break;
      await turn();
      isStopped = !goesOn(coordinator.progress);
      if (isStopped) break;
    }
  return report(protocol, options, setup);
}
