import { Worker } from "node:worker_threads";
import type { Progress } from "../../explore/coordinator.js";
import type { Protocol } from "../../explore/protocol.js";
import { type Report, report, search, type SearchOptions, setUp } from "../../explore/search.js";
import type { Outcome } from "../../explore/strategy.js";
import { PersonError } from "../../sim/person-error.js";
import type { Answer, Order, WorkerStart } from "./worker.js";

/** Where workers get the same protocol from: a module's URL, whose `loadProtocol` makes it of plain data. */
export type ProtocolSource = Pick<WorkerStart, "loader" | "source">;

/** One worker thread: runs one unit at a time. */
class Hand {
  private readonly worker: Worker;
  private settle: { resolve(outcome: Outcome<unknown>): void; reject(error: Error): void } | null = null;
  private failure: Error | null = null;

  constructor(start: WorkerStart) {
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: start });
    this.worker.on("message", (answer: Answer) => {
      if ("outcome" in answer) this.settle?.resolve(answer.outcome);
      else this.fail(answer.isPersons ? new PersonError(answer.error) : new Error(answer.error));
    });
    this.worker.on("error", (error) => this.fail(error instanceof Error ? error : new Error(String(error))));
  }

  run(order: Order): Promise<Outcome<unknown>> {
    return new Promise((resolve, reject) => {
      if (this.failure !== null) reject(this.failure);
      this.settle = { resolve, reject };
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.worker.postMessage(order);
    });
  }

  private fail(error: Error): void {
    this.failure = error;
    this.settle?.reject(error);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

/** Runs a round's units on the hands, each the next in order; those behind one that found something are let go. */
async function runRound(hands: readonly Hand[], orders: readonly Order[], goesOn: () => boolean): Promise<(Outcome<unknown> | undefined)[]> {
  const outcomes: (Outcome<unknown> | undefined)[] = orders.map(() => undefined);
  let next = 0;
  let end = orders.length;
  const work = async (hand: Hand): Promise<void> => {
    while (next < end && goesOn()) {
      const at = next++;
      const outcome = await hand.run(orders[at]);
      outcomes[at] = outcome;
      if (outcome.found !== null) end = Math.min(end, at + 1);
    }
  };
  await Promise.all(hands.map(work));
  return outcomes;
}

/**
 * {@link search} on `workers` threads: the same verdict, counterexample and counts for any number of them. When `goesOn` says
 * no, units that are under way are finished. Throws a PersonError for what the options ask wrongly.
 */
export async function searchInParallel(
  protocol: Protocol,
  { loader, source }: ProtocolSource,
  options: SearchOptions,
  workers: number,
  goesOn: (progress: Progress) => boolean = () => true,
): Promise<Report> {
  if (!Number.isSafeInteger(workers) || workers < 1) throw new PersonError(`workers is ${workers}: it is a whole number from 1`);
  if (workers === 1) return search(protocol, options, goesOn);
  const setup = setUp(protocol, options);
  const { coordinator, settings } = setup;
  const hands = Array.from({ length: workers }, () => new Hand({ loader, source, off: options.off ?? [], settings }));
  let isStopped = false;
  const mayGoOn = (): boolean => {
    isStopped ||= !goesOn(coordinator.progress);
    return !isStopped;
  };
  try {
    for (let { units, budget } = coordinator.round(); units.length > 0 && !isStopped; { units, budget } = coordinator.round()) {
      const outcomes = await runRound(
        hands,
        units.map((unit) => ({ unit, budget })),
        mayGoOn,
      );
      for (let i = 0; i < units.length; i++) {
        const outcome = outcomes[i];
        if (outcome === undefined || !coordinator.merge(units[i], outcome)) break;
      }
    }
  } finally {
    await Promise.all(hands.map((hand) => hand.end()));
  }
  return report(protocol, options, setup);
}
