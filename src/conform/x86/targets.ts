import type { ChipRules, X86Compat } from "../../irqchip/x86/chip-rules.js";
import type { Hazards } from "../../sim/hazards.js";
import { ModelSystem } from "./model.js";
import type { X86System } from "./system.js";

/** What a running kernel, its back end and its CPU do otherwise, and the model does likewise to be compared with them. */
export interface Backend {
  /**
   * kvm-pvm: an EOI goes to the local APIC as soon as the guest takes an interrupt; and of this guest, whose instructions it
   * emulates, it looks for what else could be taken only where it is entered, and anew whenever IF is set.
   */
  readonly endsAtAcceptance: boolean;
  /** Its guest goes from action to action by itself; else user space sets its registers for each, as with the running kernel. Default false. */
  readonly actsByItself?: boolean;
  /** Default "newest". */
  readonly compat?: X86Compat | ChipRules;
  /** CR8 carries the TPR, whose low nibble is lost (AMD without AVIC; x86-irqchip.md 7.3). Default false. */
  readonly losesTprLowNibble?: boolean;
  /** Rules that it does not keep. */
  readonly hazards?: Partial<Hazards>;
}

export const X86_TARGET_NAMES = ["model", "kvm"] as const;
export type X86TargetName = (typeof X86_TARGET_NAMES)[number];

/** A fresh process on the model. */
export const X86_MODEL = (backend: Backend): X86System => new ModelSystem(backend, backend.hazards);
