import { missingFrom } from "./about.js";
import { explore } from "./explorer.js";
import type { HazardCase, Impossible, ProgramTrap, Race, Reproduced, Trap } from "./hazard-case.js";

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
}

const LIMIT = 1_000_000;

/** Runs one hazard in both directions. */
export function checkHazard(hazard: HazardCase, { limit = LIMIT }: HazardCheckOptions = {}): HazardReport {
  switch (hazard.kind) {
    case "race":
      return checkProgram(hazard, limit);
    case "trap":
      return "protocol" in hazard ? checkProgram(hazard, limit) : checkTrap(hazard);
    case "reproduced":
      return checkReproduced(hazard, limit);
    case "impossible":
      return checkImpossible(hazard);
  }
}

function checkProgram({ id, kind, protocol, preemptions, off }: Race | ProgramTrap, limit: number): HazardReport {
  const without = explore(() => protocol.program({ [off]: true }), { preemptions, limit });
  const found = without.verdict === "violation";
  const rule = explore(() => protocol.program(), { preemptions, limit });
  const absent = rule.verdict === "ok" && rule.exhausted;
  const executions = without.interleavings + rule.interleavings;
  const isFirst = found && without.interleavings === 1;
  const missing = missingFrom(protocol);
  let fault: string | null = null;
  if (missing !== null) fault = `${protocol.name} proves nothing: ${missing} does not happen in it`;
  else if (!found) fault = `not found in ${without.interleavings} executions without its rule`;
  else if (rule.verdict === "violation") fault = `found although its rule is in force: ${rule.message}; replay ${rule.schedule}`;
  else if (!absent) fault = `the search with its rule did not end within ${limit} executions`;
  else if (isFirst && kind === "race") fault = "it needs no race: the first execution shows it, in which nobody is interrupted";
  else if (!isFirst && kind === "trap") fault = "it is a race: the first execution does not show it";
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
