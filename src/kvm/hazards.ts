/**
 * Switches that disable one rule each, so that an explorer can find what the rule prevents (kvm-irq-core.md 10.2).
 * Given when the VM is created; all off is Linux as specified.
 */
export interface Hazards {
  /** H1: the counter is sampled before the wait entry is inserted. */
  readonly sampleBeforeInsert: boolean;
  /** H12: the 2012 posting's order: the last leaver frees the resampler before the grace period. */
  readonly freeResamplerEarly: boolean;
  /** H25: until 6.18 a deassign wrote type 0 into the cached route, and the callback did not ask "still active?". */
  readonly clearRouteOnDeassign: boolean;
}

export const NO_HAZARDS: Hazards = {
  sampleBeforeInsert: false,
  freeResamplerEarly: false,
  clearRouteOnDeassign: false,
};
