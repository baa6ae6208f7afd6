import { BOOT, setCurrent, type Task } from "../../sim/context.js";
import type { Hazards } from "../../sim/hazards.js";
import { forgetLockOrder } from "../../sim/lock.js";
import { missingFrom } from "../about.js";
import { explore } from "../explorer.js";
import type { Impossible, ProgramTrap, Race, Reproduced, Trap } from "../hazard-case.js";
import type { Protocol } from "../protocol.js";

/** Makes the cases of one specification's hazards, in short lines. */
export class CasesOf {
  /** @param specification its file: "host-irq.md" */
  constructor(private readonly specification: string) {}

  race(number: string, title: string, protocol: Protocol, off: Race["off"], preemptions: number): Race {
    return { kind: "race", id: this.id(number), title, protocol, off, preemptions };
  }

  trapIn(number: string, title: string, protocol: Protocol, off: ProgramTrap["off"], preemptions: number): ProgramTrap {
    return { kind: "trap", id: this.id(number), title, protocol, off, preemptions };
  }

  /** @param vector of the same specification when it is a number */
  trap(number: string, title: string, off: Trap["off"], vector: number | string, run: Trap["run"]): Trap {
    const name = typeof vector === "number" ? `${this.specification} vector ${vector}` : vector;
    return { kind: "trap", id: this.id(number), title, off, vector: name, run };
  }

  reproduced(number: string, title: string, protocol: Protocol, preemptions: number, argument: string): Reproduced {
    return { kind: "reproduced", id: this.id(number), title, protocol, preemptions, argument };
  }

  impossible(number: string, title: string, argument: string, run: Impossible["run"]): Impossible {
    return { kind: "impossible", id: this.id(number), title, argument, run };
  }

  private id(number: string): string {
    return `${this.specification} ${number}`;
  }
}

/** The first violation within the bound, or null when there is none and all was searched. */
export function searched(protocol: Protocol, hazards: Partial<Hazards>, preemptions: number): string | null {
  const missing = missingFrom(protocol);
  if (missing !== null) return `${protocol.name} proves nothing: ${missing} does not happen in it`;
  const result = explore(() => protocol.program(hazards), { preemptions });
  if (result.verdict === "violation") return `${result.message}; replay ${result.schedule}`;
  return result.exhausted ? null : `the search did not end within ${result.interleavings} executions`;
}

/** What a vector shows: null where it is what the vector says. What is thrown on the way is shown, too. */
export function shown(actual: () => unknown, expected: unknown): string | null {
  const wanted = JSON.stringify(expected);
  const found = jsonOf(actual);
  return found === wanted ? null : `shows ${found} instead of ${wanted}`;
}

/** What was held when something was thrown is of a world that nobody goes on with. */
function forgetHeld(task: Task): void {
  task.locks.length = 0;
  task.spins = 0;
  task.sections.length = 0;
  task.sectionIndices.length = 0;
}

function jsonOf(actual: () => unknown): string {
  const before = setCurrent(BOOT.task);
  try {
    return JSON.stringify(actual());
  } catch (error) {
    forgetLockOrder();
    forgetHeld(BOOT.task);
    return error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
  } finally {
    setCurrent(before);
  }
}
