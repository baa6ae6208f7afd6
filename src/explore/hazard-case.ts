import type { HazardName, Hazards } from "../sim/hazards.js";
import type { Protocol } from "./protocol.js";

interface Case {
  /** As the specification numbers it: "kvm-irq-core.md H1". */
  readonly id: string;
  /** The specification's words for it, short. */
  readonly title: string;
}

/**
 * Its rule removed, the search finds it, and needs more than the first execution, in which nobody is interrupted; with the
 * rule, it finds nothing up to the bound.
 */
export interface Race extends Case {
  readonly kind: "race";
  readonly protocol: Protocol;
  readonly off: HazardName;
  /** Interruptions up to which both directions are searched. */
  readonly preemptions: number;
}

/** Its rule removed, a program of contexts fails in its first execution, run to completion; with the rule, in none up to the bound. */
export interface ProgramTrap extends Case {
  readonly kind: "trap";
  readonly protocol: Protocol;
  readonly off: HazardName;
  readonly preemptions: number;
}

/** Its rule removed, a named vector fails: no interleaving is needed. */
export interface Trap extends Case {
  readonly kind: "trap";
  readonly off: HazardName;
  /** "x86-irqchip.md vector 55". */
  readonly vector: string;
  /** Runs the vector to its end: null, or what it shows instead of what it must. */
  run(hazards: Partial<Hazards>): string | null;
}

/** The kernel really behaves so: an execution with the kernel's outcome exists, and the search finds it. */
export interface Reproduced extends Case {
  readonly kind: "reproduced";
  /** Its program takes the kernel's outcome for the violation. */
  readonly protocol: Protocol;
  readonly preemptions: number;
  /** Why the kernel may do so. */
  readonly argument: string;
}

/** Cannot happen here: an assertion, with the argument. */
export interface Impossible extends Case {
  readonly kind: "impossible";
  readonly argument: string;
  /** Tries it: null when the assertion holds, else what happened. */
  run(): string | null;
}

/** A numbered hazard of a specification, and what virq shows of it. */
export type HazardCase = Race | ProgramTrap | Trap | Reproduced | Impossible;
