import { parentPort, workerData } from "node:worker_threads";
import type { Protocol } from "../../explore/protocol.js";
import { jobOf } from "../../explore/search.js";
import { makeStrategy, type StrategyOptions } from "../../explore/strategies/make-strategy.js";
import type { Outcome } from "../../explore/strategy.js";
import type { HazardName } from "../../sim/hazards.js";
import { PersonError } from "../../sim/person-error.js";
import { type Round, runUnit, takeUnit } from "./round.js";

/** What a worker is started with: enough to build the program again. */
export interface WorkerStart {
  /** URL of a module that exports `loadProtocol(source): Promise<Protocol>`. */
  readonly loader: string;
  /** What that function takes; plain data. */
  readonly source: unknown;
  readonly off: readonly HazardName[];
  readonly settings: StrategyOptions & { readonly steps: number };
}

/** The outcome of the round's unit in that place; or what went wrong, and whether a person's request was the reason. */
export type Answer = { readonly at: number; readonly outcome: Outcome<unknown> } | { readonly error: string; readonly isPersons: boolean };

interface Loader {
  loadProtocol(source: unknown): Promise<Protocol>;
}

type Port = NonNullable<typeof parentPort>;

async function main(start: WorkerStart, port: Port): Promise<void> {
  const { loadProtocol } = (await import(start.loader)) as Loader;
  const job = jobOf(await loadProtocol(start.source), start.off, start.settings.steps);
  const strategy = makeStrategy(start.settings);
  port.on("message", (round: Round) => {
    try {
      for (let at = takeUnit(round); at >= 0; at = takeUnit(round)) answer(port, { at, outcome: runUnit(round, at, strategy, job) });
    } catch (error) {
      answer(port, failure(error));
    }
  });
}

function answer(port: Port, reply: Answer): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.postMessage(reply);
}

function failure(error: unknown): Answer {
  return { error: error instanceof Error ? error.message : String(error), isPersons: error instanceof PersonError };
}

if (parentPort !== null) {
  const port = parentPort;
  main(workerData as WorkerStart, port).catch((error: unknown) => answer(port, failure(error)));
}
