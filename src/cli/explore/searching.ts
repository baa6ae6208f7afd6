import type { Report, SearchOptions } from "../../explore/search.js";
import type { Progress as Done } from "../../explore/coordinator.js";
import type { Protocol } from "../../explore/protocol.js";
import { searchInParallel } from "../../node/explore/parallel.js";
import { Progress } from "../progress.js";
import type { ProtocolSource } from "./protocol-source.js";
import { grouped } from "./words.js";

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
    const done = await searchInParallel(protocol, { loader, source }, options, workers, goesOn);
    return { report: done, isStopped: isStopped && done.open !== undefined };
  } finally {
    process.removeListener("SIGINT", stop);
    shown.clear();
  }
}
