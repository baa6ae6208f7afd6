import { VGIC_COMPATS, type VgicCompat } from "../irqchip/gic/vgic-dist.js";
import type { X86Compat } from "../irqchip/x86/chip-rules.js";
import type { Step } from "../sim/step.js";
import type { PcStep } from "./pc-vector.js";
import type { ArmStep, ArmVector } from "./vector.js";

/*
 * A target is one machine that vectors run on. To add one:
 *   1. implement `Target`: `perform` does one step and returns what it shows, `null` for steps that show nothing;
 *   2. implement `TargetMaker`: `make` builds a fresh machine (reset, all lines low, RAM zero) of `vector.cpus` CPUs
 *      under the `compat` asked for, and `answersAs` says whose recorded answers the target has to give;
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

/** Which kernel's rules the virtual controllers follow (gic.md D0.5, D7). */
export type Compat = VgicCompat;
export const isArmCompat = (compat: string | undefined): compat is Compat => VGIC_COMPATS.some((each) => each === compat);
/** Of Arm's controllers or of x86's. */
export type AnyCompat = Compat | X86Compat;

export interface Target {
  perform(step: ArmStep): Step<Observation>;
}

export interface TargetMaker {
  make(vector: ArmVector, compat: Compat): Target;
  /** Whose answers it is held to, where the two who answered differ: `expectKvm` is the kernel's. */
  readonly answersAs: "kvm" | "qemu";
}

/** The recorded answer that a step is held to. */
export interface Expectation {
  readonly value: Observation;
  /** It is `expectKvm`: the kernel's own, other than QEMU's. */
  readonly isKvm: boolean;
}

/** What a step has to show; undefined where it shows nothing. */
export function expectationOf(step: ArmStep | PcStep, answersAs: TargetMaker["answersAs"]): Expectation | undefined {
  if (!("expect" in step)) return undefined;
  if (answersAs === "qemu" || step.expectKvm === undefined) return { value: step.expect, isKvm: false };
  return { value: step.expectKvm, isKvm: true };
}

/** How many answers of a vector were held against recorded ones. */
export interface Compared {
  answers: number;
  /** Of them, against an `expectKvm`. */
  kvmAnswers: number;
}
