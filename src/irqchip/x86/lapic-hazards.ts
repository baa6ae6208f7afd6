/**
 * Switches that disable one rule of the local APICs each, so that an explorer can find what the rule prevents
 * (x86-irqchip.md 18). Given when the local APICs are created; all off is KVM as specified.
 */
export interface LapicHazards {
  /** X4: a rescan of the handled vectors does not merge the PIR first. */
  readonly scanWithoutMerge: boolean;
  /** X11: a sync clears ON after it has emptied the PIR. */
  readonly clearOnLate: boolean;
  /** X12: a load clears SN and does not look whether something was posted meanwhile. */
  readonly loadWithoutCheck: boolean;
  /** X13: a blocking vCPU switches to the wake-up vector and does not look whether ON was set before. */
  readonly blockWithoutCheck: boolean;
  /** X14: a load takes the vCPU off the wake-up list of the CPU that it is loaded on, not of the one that it blocked on. */
  readonly unlistFromNewCpu: boolean;
  /** X15: the hint that IRR is not empty is set before the bit. */
  readonly hintBeforeBit: boolean;
  /** X15: a take looks for further vectors first, and clears the hint afterwards. */
  readonly hintClearedLast: boolean;
  /** X23: split mode leaves for a remembered vector without asking whether it is still handled. */
  readonly exitWithoutRetest: boolean;
  /** X26: INIT keeps a start-up that is pending. */
  readonly initKeepsStartup: boolean;
}

export const NO_LAPIC_HAZARDS: LapicHazards = {
  scanWithoutMerge: false,
  clearOnLate: false,
  loadWithoutCheck: false,
  blockWithoutCheck: false,
  unlistFromNewCpu: false,
  hintBeforeBit: false,
  hintClearedLast: false,
  exitWithoutRetest: false,
  initKeepsStartup: false,
};
