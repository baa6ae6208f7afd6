/**
 * Switches that disable one rule each, so that an explorer can find what the rule prevents (gic.md D2). Given when the
 * controller is created; all off is Linux as specified.
 */
export interface VgicHazards {
  /** R30: the target decided before the list's lock was taken is not asked again. */
  readonly insertWithoutRecheck: boolean;
  /** R31: nor is it when an interrupt moves between two lists. */
  readonly moveWithoutRecheck: boolean;
  /** R32: an active interrupt follows its target. */
  readonly moveActive: boolean;
  /** R33: ISACTIVER and ICACTIVER do not fold the list registers of running vCPUs first. */
  readonly activeWithoutHalt: boolean;
  /** R36: a mapped line is not sampled at the fold. */
  readonly neverResample: boolean;
  /** R37: the vCPU is told before the interrupt is on its list. */
  readonly kickBeforeInsert: boolean;
}

export const NO_VGIC_HAZARDS: VgicHazards = {
  insertWithoutRecheck: false,
  moveWithoutRecheck: false,
  moveActive: false,
  activeWithoutHalt: false,
  neverResample: false,
  kickBeforeInsert: false,
};
