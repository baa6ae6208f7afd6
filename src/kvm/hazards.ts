import { NO_VGIC_HAZARDS, type VgicHazards } from "../irqchip/gic/vgic-hazards.js";
import { type ChipHazards, NO_CHIP_HAZARDS } from "../irqchip/x86/chip-hazards.js";
import { type LapicHazards, NO_LAPIC_HAZARDS } from "../irqchip/x86/lapic-hazards.js";

/**
 * Switches that disable one rule each, so that an explorer can find what the rule prevents (kvm-irq-core.md 10.2).
 * Given when the VM is created; all off is Linux as specified.
 */
export interface Hazards extends VgicHazards, ChipHazards, LapicHazards {
  /** H1: the counter is sampled before the wait entry is inserted. */
  readonly sampleBeforeInsert: boolean;
  /** H4: the callback takes the cached route without asking whether it changed meanwhile. */
  readonly readTornRoute: boolean;
  /** H5: a routing change frees the old table, and returns, without its grace period. */
  readonly swapWithoutWait: boolean;
  /** H7: a deassign returns without waiting for the shutdown. */
  readonly returnBeforeShutdown: boolean;
  /** H8: shutdown flushes the work before it takes the irqfd off the wait queue. */
  readonly flushBeforeUnhook: boolean;
  /** H12: the 2012 posting's order: the last leaver frees the resampler before the grace period. */
  readonly freeResamplerEarly: boolean;
  /** H13: the resamplefd context is dropped before the wait of the leave. */
  readonly dropResamplefdEarly: boolean;
  /** H14: an acknowledge lowers the line again for each member. */
  readonly deassertPerMember: boolean;
  /** H15: an acknowledge tells the owners before it lowers the line. */
  readonly notifyBeforeDeassert: boolean;
  /** H16: the last leaver does not lower the line. */
  readonly keepLineAtLeave: boolean;
  /** H25: until 6.18 a deassign wrote type 0 into the cached route, and the callback did not ask "still active?". */
  readonly clearRouteOnDeassign: boolean;
  /** H30: an I/O bus is freed under its readers. */
  readonly freeBusEarly: boolean;
  /** H36: forwarding changes while a trigger is installed. */
  readonly forwardWhileSignalling: boolean;
  /** H37: an active interrupt loses its mark and stays active. */
  readonly unmarkWithoutDeactivate: boolean;
  /** K15: the kick comes before what it announces. */
  readonly kickBeforeRequest: boolean;
  /** K16: the vCPU looks at its requests before it says IN_GUEST_MODE. */
  readonly modeAfterCheck: boolean;
  /** K17: everybody who sees IN_GUEST_MODE sends an IPI. */
  readonly kickWithoutSwap: boolean;
  /** K18: a halted vCPU looks for an interrupt before it is on the wait queue. */
  readonly sleepAfterCheck: boolean;
}

export const NO_HAZARDS: Hazards = {
  ...NO_VGIC_HAZARDS,
  ...NO_CHIP_HAZARDS,
  ...NO_LAPIC_HAZARDS,
  sampleBeforeInsert: false,
  readTornRoute: false,
  swapWithoutWait: false,
  returnBeforeShutdown: false,
  flushBeforeUnhook: false,
  freeResamplerEarly: false,
  dropResamplefdEarly: false,
  deassertPerMember: false,
  notifyBeforeDeassert: false,
  keepLineAtLeave: false,
  clearRouteOnDeassign: false,
  freeBusEarly: false,
  forwardWhileSignalling: false,
  unmarkWithoutDeactivate: false,
  kickBeforeRequest: false,
  modeAfterCheck: false,
  kickWithoutSwap: false,
  sleepAfterCheck: false,
};
