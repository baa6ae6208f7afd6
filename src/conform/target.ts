import type { Step } from "../sim/step.js";
import type { ArmStep, ArmVector } from "./vector.js";

/*
 * A target is one machine that vectors run on. To add one:
 *   1. implement `Target`: `perform` does one step and returns what it shows, `null` for steps that show nothing;
 *   2. implement `TargetMaker`: `make` builds a fresh machine (reset, all lines low, RAM zero) of `vector.cpus` CPUs
 *      under the `compat` asked for, and `expectation` picks the answer that the target has to give;
 *   3. put the maker into `TARGETS` (targets.ts), and what it does not model into `LEFT_OUT` (left-out.ts), by
 *      register, operation or flavour, each with its reason.
 * The runner compares; a target never looks at `expect`.
 */

/** Values as shortest lower-case hexadecimal ("0x50"), drained INTIDs in order, bytes of memory as hexadecimal. */
export type Observation = string | readonly number[] | null;

export function shown(observation: Observation): string {
  if (observation === null) return "nothing";
  if (typeof observation === "string") return observation.toLowerCase();
  return `[${observation.join(", ")}]`;
}

export const TARGET_NAMES = ["virtual", "physical"] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

export const COMPATS = ["newest", "linux-6.1"] as const;
/** Which kernel's rules the virtual controllers follow (gic.md D0.5, D7). */
export type Compat = (typeof COMPATS)[number];

export interface Target {
  perform(step: ArmStep): Step<Observation>;
}

export interface TargetMaker {
  make(vector: ArmVector, compat: Compat): Target;
  /** The recorded answer that this target is held to; undefined where the step shows nothing. */
  expectation(step: ArmStep, vector: ArmVector): Observation | undefined;
}
