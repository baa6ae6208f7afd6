import type { Step } from "../../sim/step.js";
import type { Vcpu } from "./vcpu.js";

/** Why the guest stopped running. All but IDLE are exits, in the classes of host-irq.md 3.5. */
export const enum GuestExit {
  /** Not an exit: it spins with nothing to do until something changes, still in guest mode. */
  IDLE,
  /** A host interrupt is pending on the physical CPU. */
  IRQ,
  /** WFI or WFE that is trapped. */
  WFX,
  /** A data access that stage 2 does not map: the `trap` of the vCPU describes it. */
  DABT,
  /** A trapped system register write: the `trap` of the vCPU describes it. */
  SYSREG,
  /** A hypercall: x0 to x3. */
  HVC,
}

/** The names of KVM's tracepoint, by {@link GuestExit}. */
export const EXIT_NAMES: readonly string[] = ["", "IRQ", "WFx", "DABT", "SYSREG", "HVC64"];
export const EXIT_KINDS = EXIT_NAMES.length;

/** What a guest access that trapped wants; one per vCPU, reused. */
export class GuestTrap {
  /** Guest physical address of a data abort. */
  address = 0;
  isWrite = false;
  /** Bytes: 1, 2, 4 or 8. */
  size = 4;
  /** The value stored, or that a system register write gives. */
  low = 0;
  high = 0;
  /** The register a load goes to, or a system register read; 31 discards. */
  register = 31;
  isSignExtending = false;
  is64 = false;
  /** A memory slot covers the address, and its page cannot be had. */
  hasNoPage = false;
  /** False: no syndrome, the access cannot be decoded (host-irq.md 4.5). */
  hasSyndrome = true;
  /** System register, encoded as in the attribute of CPU_SYSREGS. */
  sysreg = 0;
  isWfe = false;
}

/**
 * The software inside a VM. `run` executes guest code of one vCPU from its registers' `pc` until it exits; all state is
 * in the vCPU, none on the stack. It looks for a host interrupt when it begins and after every access that can raise one
 * (the CPU interface, a device, a timer), so that a kick or the maintenance interrupt is seen at once.
 */
export interface GuestCpu {
  run(vcpu: Vcpu): Step<GuestExit>;
}
