import { missingFrom } from "./about.js";
import { type Clean, explore, type Violation } from "./explorer.js";
import type { HazardCase, Impossible, ProgramTrap, Race, Reproduced, Trap } from "./hazard-case.js";
import type { Protocol } from "./protocol.js";

/** What one hazard showed. */
export interface HazardReport {
  readonly id: string;
  readonly kind: HazardCase["kind"];
  /** Race, trap: seen with the rule off. Reproduced: the kernel's outcome was seen. Impossible: it happened after all. */
  readonly found: boolean;
  /** Race, trap: not seen with the rule in force, over all executions up to the bound. Else: null, nothing to remove. */
  readonly absent: boolean | null;
  /** Does it show what its class says? */
  readonly holds: boolean;
  /** Executions of both directions; 1 each for a vector. */
  readonly executions: number;
  /** What was found, replays it; null where no search was made or nothing was found. */
  readonly schedule: string | null;
  /** The sentence of what was found. */
  readonly message: string | null;
  /** What stands in the way of `holds`: what the rule let through, or that the search did not end. */
  readonly fault: string | null;
}

/** How far the search for one hazard goes. */
export interface HazardCheckOptions {
  /** Executions after which a search gives up; default 1,000,000. */
  readonly limit?: number;
  /** The searches with every rule in force: hazards of one program share it. Default: its own, up to {@link limit}. */
  readonly ruled?: RuledSearches;
}

const LIMIT = 1_000_000;

/** What the search of a program with every rule in force showed. */
interface Ruled {
  readonly preemptions: number;
  readonly result: Clean | Violation;
  /** What the program is about and does not do; null for nothing. */
  readonly missing: string | null;
}

/** Searches programs with every rule in force, each once for each bound. */
export class RuledSearches {
  private readonly known = new Map<Protocol, Ruled[]>();

  /** @param limit executions after which each gives up */
  constructor(readonly limit: number) {}

  of(protocol: Protocol, preemptions: number): Ruled {
    const searched = this.known.get(protocol) ?? [];
    const known = searched.find((each) => each.preemptions === preemptions);
    if (known !== undefined) return known;
    const result = explore(() => protocol.program(), { preemptions, limit: this.limit });
    const ruled = { preemptions, result, missing: missingFrom(protocol) };
    this.known.set(protocol, [...searched, ruled]);
    return ruled;
  }
}

/** Runs one hazard in both directions. */
export function checkHazard(hazard: HazardCase, { limit = LIMIT, ruled = new RuledSearches(limit) }: HazardCheckOptions = {}): HazardReport {
  switch (hazard.kind) {
    case "race":
      return checkProgram(hazard, limit, ruled);
    case "trap":
      return "protocol" in hazard ? checkProgram(hazard, limit, ruled) : checkTrap(hazard);
    case "reproduced":
      return checkReproduced(hazard, limit);
    case "impossible":
      return checkImpossible(hazard);
  }
}

function checkProgram({ id, kind, protocol, preemptions, off }: Race | ProgramTrap, limit: number, ruled: RuledSearches): HazardReport {
  const without = explore(() => protocol.program({ [off]: true }), { preemptions, limit });
  const found = without.verdict === "violation";
  const { result: rule, missing } = ruled.of(protocol, preemptions);
  const absent = rule.verdict === "ok" && rule.exhausted;
  const executions = without.interleavings + rule.interleavings;
  const isFirst = found && without.interleavings === 1;
  let fault: string | null = null;
  if (missing !== null) fault = `${protocol.name} proves nothing: ${missing} does not happen in it`;
  else if (!found) fault = `not found in ${without.interleavings} executions without its rule`;
  else if (rule.verdict === "violation") fault = `found although its rule is in force: ${rule.message}; replay ${rule.schedule}`;
  else if (isFirst && kind === "race") fault = "it needs no race: the first execution shows it, in which nobody is interrupted";
  else if (!isFirst && kind === "trap") fault = "it is a race: the first execution does not show it";
  else if (!absent) fault = `the search with its rule did not end within ${ruled.limit} executions`;
  return { id, kind, found, absent, holds: fault === null, executions, schedule: found ? without.schedule : null, message: found ? without.message : null, fault };
}

function checkTrap({ id, kind, off, vector, run }: Trap): HazardReport {
  const message = run({ [off]: true });
  const rule = run({});
  const [found, absent] = [message !== null, rule === null];
  let fault: string | null = null;
  if (!found) fault = `${vector} holds without its rule`;
  else if (!absent) fault = `${vector} fails although its rule is in force: ${rule}`;
  return { id, kind, found, absent, holds: found && absent, executions: 2, schedule: null, message, fault };
}

function checkReproduced({ id, kind, protocol, preemptions }: Reproduced, limit: number): HazardReport {
  const result = explore(() => protocol.program(), { preemptions, limit });
  const found = result.verdict === "violation";
  const fault = found ? null : `the kernel's outcome was not seen in ${result.interleavings} executions`;
  const [schedule, message] = found ? [result.schedule, result.message] : [null, null];
  return { id, kind, found, absent: null, holds: found, executions: result.interleavings, schedule, message, fault };
}

function checkImpossible({ id, kind, run }: Impossible): HazardReport {
  const message = run();
  const found = message !== null;
  return { id, kind, found, absent: null, holds: !found, executions: 1, schedule: null, message, fault: message };
}
