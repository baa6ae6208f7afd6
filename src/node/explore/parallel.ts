import { Worker } from "node:worker_threads";
import type { Progress } from "../../explore/coordinator.js";
import type { Protocol } from "../../explore/protocol.js";
import { type Report, report, type SearchOptions, type Setup, setUp } from "../../explore/search.js";
import type { Outcome } from "../../explore/strategy.js";
import { PersonError } from "../../sim/person-error.js";
import { newRound, type Round, runUnit, stopRound, takeUnit, unitsToCome } from "./round.js";
import type { Answer, WorkerStart } from "./worker.js";

/** Where workers get the same protocol from: a module's URL, whose `loadProtocol` makes it of plain data. */
export type ProtocolSource = Pick<WorkerStart, "loader" | "source">;

/** Lets signals, output and the workers' answers have their turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The threads that help this one, and the outcomes of the round that is under way. */
class Hands {
  private readonly workers: Worker[];
  private outcomes: Outcome<unknown>[] = [];
  private failure: Error | null = null;
  /** Ends the wait for further outcomes. */
  private heard: (() => void) | null = null;

  constructor(start: WorkerStart, count: number) {
    this.workers = Array.from({ length: count }, () => this.begin(start));
  }

  private begin(start: WorkerStart): Worker {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: start });
    worker.on("message", (answer: Answer) => {
      if ("outcome" in answer) this.outcomes[answer.at] = answer.outcome;
      else this.failure ??= answer.isPersons ? new PersonError(answer.error) : new Error(answer.error);
      this.heard?.();
    });
    worker.on("error", (error) => {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
      this.heard?.();
    });
    return worker;
  }

  /**
   * Runs a round: this thread takes units as the workers do. The outcomes of those that were taken, from the first on; when
   * `goesOn` says no, those under way are finished.
   */
  async run(round: Round, { strategy, job }: Setup, goesOn: (done: readonly Outcome<unknown>[]) => boolean): Promise<readonly Outcome<unknown>[]> {
    const outcomes: Outcome<unknown>[] = [];
    this.outcomes = outcomes;
    let taken = round.units.length;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    for (const worker of this.workers) worker.postMessage(round);
    for (let at = takeUnit(round); at >= 0; at = takeUnit(round)) {
      outcomes[at] = runUnit(round, at, strategy, job);
      await turn();
      this.check();
      if (!goesOn(outcomes)) taken = stopRound(round);
    }
    while (!isWhole(outcomes, unitsToCome(round, taken))) await this.answer();
    return outcomes.slice(0, unitsToCome(round, taken));
  }

  private async answer(): Promise<void> {
    if (this.failure === null) await new Promise<void>((resolve) => (this.heard = resolve));
    this.heard = null;
    this.check();
  }

  private check(): void {
    if (this.failure !== null) throw this.failure;
  }

  async end(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

function isWhole(outcomes: readonly unknown[], length: number): boolean {
  for (let i = 0; i < length; i++) if (outcomes[i] === undefined) return false;
  return true;
}

/**
 * {@link search} on so many threads, this one among them: the same verdict, counterexample and counts for any number. When
 * `goesOn` says no, units that are under way are finished. Throws a PersonError for what the options ask wrongly.
 */
export async function searchInParallel(
  protocol: Protocol,
  { loader, source }: ProtocolSource,
  options: SearchOptions,
  threads: number,
  goesOn: (progress: Progress) => boolean = () => true,
): Promise<Report> {
  if (!Number.isSafeInteger(threads) || threads < 1) throw new PersonError(`workers is ${threads}: it is a whole number from 1`);
  const setup = setUp(protocol, options);
  const { coordinator, settings } = setup;
  const hands = new Hands({ loader, source, off: options.off ?? [], settings }, threads - 1);
  let isStopped = false;
  const mayGoOn = (done: readonly Outcome<unknown>[]): boolean => {
    let { executions, steps } = coordinator.totals;
    done.forEach((outcome) => {
      executions += outcome.executions;
      steps += outcome.steps;
    });
    isStopped = !goesOn({ executions, steps, open: coordinator.queue.length });
    return !isStopped;
  };
  try {
    for (let { units, budget } = coordinator.round(); units.length > 0 && !isStopped; { units, budget } = coordinator.round()) {
      const outcomes = await hands.run(newRound(units, budget), setup, mayGoOn);
      for (let i = 0; i < outcomes.length && coordinator.merge(units[i], outcomes[i]); i++);
    }
  } finally {
    await hands.end();
  }
  return report(protocol, options, setup);
}
