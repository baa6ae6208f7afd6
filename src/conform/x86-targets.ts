import { ModelSystem } from "./x86-model.js";
import type { X86System } from "./x86-system.js";

/** What a running kernel's back end does otherwise, and the model does likewise to be compared with it. */
export interface Backend {
  /** A local APIC's interrupt is ended by the back end as soon as the guest takes it (kvm-pvm). */
  readonly endsAtAcceptance: boolean;
}

export const X86_TARGET_NAMES = ["model", "kvm"] as const;
export type X86TargetName = (typeof X86_TARGET_NAMES)[number];

/** A fresh process on the model. */
export const X86_MODEL: ((backend: Backend) => X86System) | null = (backend) => new ModelSystem(backend);
