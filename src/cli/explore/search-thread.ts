import { parentPort, workerData } from "node:worker_threads";
import { searchInParallel } from "../../node/explore/parallel.js";
import type { Report, SearchOptions } from "../../explore/search.js";
import { PersonError } from "../../sim/person-error.js";
import { loadProtocol, type ProtocolSource } from "../../node/explore/protocol-source.js";

/** What the thread of a search is started with. */
export interface SearchStart {
  readonly source: ProtocolSource;
  readonly options: SearchOptions;
  readonly workers: number;
  /** Shared, one word: other than 0 when the search is to stop. */
  readonly stop: Int32Array;
}

/** What it tells: how far it is, and in the end its report, or what went wrong and whether a person's request was the reason. */
export type SearchMessage = { readonly executions: number; readonly open: number } | { readonly report: Report } | { readonly error: string; readonly stack: string; readonly isPersons: boolean };

/** Between two messages of progress. */
const EVERY_MS = 100;

async function main({ source, options, workers, stop }: SearchStart, tell: (message: SearchMessage) => void): Promise<void> {
  let told = performance.now();
  try {
    const protocol = await loadProtocol(source);
    const loader = new URL("../../node/explore/protocol-source.js", import.meta.url).href;
    const report = await searchInParallel(protocol, { loader, source }, options, workers, ({ executions, open }) => {
      const now = performance.now();
      if (now - told > EVERY_MS) {
        told = now;
        tell({ executions, open });
      }
      return Atomics.load(stop, 0) === 0;
    });
    tell({ report });
  } catch (error) {
    const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    tell({ error: message, stack, isPersons: error instanceof PersonError });
  }
}

const port = parentPort;
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
if (port !== null) await main(workerData as SearchStart, (message) => port.postMessage(message));
