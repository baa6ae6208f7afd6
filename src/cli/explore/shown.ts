import { type ColumnOptions, columns, type Execution, meetings } from "../../explore/columns.js";
import type { Protocol } from "../../explore/protocol.js";
import { type Counterexample, type Replay, replaySchedule } from "../../explore/search.js";
import { withCallers } from "../../node/point-callers.js";
import type { HazardName } from "../../sim/hazards.js";
import { lineWidth, paint } from "./paint.js";
import type { ExploreOutput } from "./schema.js";

/** One schedule again, with the places from which locks, lists and work queues were reached. */
export function shownAgain(protocol: Protocol, off: readonly HazardName[], schedule: string, steps?: number): Replay {
  return withCallers((callerOf) => replaySchedule(protocol, off, schedule, steps, callerOf));
}

/** An execution as the columns take it. */
export function executionOf({ message, contexts, steps }: Pick<Counterexample | Replay, "message" | "contexts" | "steps">): Execution {
  return { lanes: contexts, hops: steps.map(({ kind, ...rest }) => ({ ...rest, verb: kind })), fault: message };
}

/** An execution as `--json` shows it. */
export function shownJson(execution: Execution): Pick<NonNullable<ExploreOutput["violation"]>, "contexts" | "steps"> {
  const meets = meetings(execution.hops);
  return {
    contexts: execution.lanes.map(({ name, kind }) => ({ name, kind })),
    steps: execution.hops.map(({ actor, verb, object, field, site, caller = "", events }, i) => ({ actor, verb, object, field, site, caller, events: [...events], meets: meets[i] })),
  };
}

/** An execution as a person reads it, as wide as the terminal is. */
export function shownText(execution: Execution, isWhole: boolean | undefined): string {
  const colours = paint();
  const options: ColumnOptions = { width: lineWidth(), isWhole: isWhole === true, ...(colours === undefined ? {} : { paint: colours }) };
  return columns(execution, options);
}
