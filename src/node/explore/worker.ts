import { parentPort, workerData } from "node:worker_threads";
import type { Protocol } from "../../explore/protocol.js";
import { jobOf } from "../../explore/search.js";
import { makeStrategy, type StrategyOptions } from "../../explore/strategies/make-strategy.js";
import type { Budget, Outcome } from "../../explore/strategy.js";
import type { HazardName } from "../../sim/hazards.js";
import { PersonError } from "../../sim/person-error.js";

/** What a worker is started with: enough to build the program again. */
export interface WorkerStart {
  /** URL of a module that exports `loadProtocol(source): Promise<Protocol>`. */
  readonly loader: string;
  /** What that function takes; plain data. */
  readonly source: unknown;
  readonly off: readonly HazardName[];
  readonly settings: StrategyOptions & { readonly steps: number };
}

/** A unit of the search, to be run. */
export interface Order {
  readonly unit: unknown;
  readonly budget: Budget;
}

/** Its outcome; or what went wrong, and whether a person's request was the reason. */
export type Answer = { readonly outcome: Outcome<unknown> } | { readonly error: string; readonly isPersons: boolean };

interface Loader {
  loadProtocol(source: unknown): Promise<Protocol>;
}

async function main(start: WorkerStart, port: NonNullable<typeof parentPort>): Promise<void> {
  const { loadProtocol } = (await import(start.loader)) as Loader;
  const job = jobOf(await loadProtocol(start.source), start.off, start.settings.steps);
  const strategy = makeStrategy(start.settings);
  port.on("message", ({ unit, budget }: Order) => answer(port, () => ({ outcome: strategy.run(unit, job, budget) })));
}

function answer(port: NonNullable<typeof parentPort>, run: () => Answer): void {
  let reply: Answer;
  try {
    reply = run();
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error), isPersons: error instanceof PersonError };
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.postMessage(reply);
}

if (parentPort !== null) {
  const port = parentPort;
  main(workerData as WorkerStart, port).catch((error: unknown) =>
    answer(port, () => {
      throw error;
    }),
  );
}
