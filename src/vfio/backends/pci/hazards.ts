/** Switches that disable one rule each, so that an explorer can find what the rule prevents (vfio.md 23). All off is Linux. */
export interface VfioPciHazards {
  /** 23.5: a replaced trigger is dropped without waiting for the handlers and the worker that still use it. */
  readonly swapWithoutSync: boolean;
  /** 23.9: an unmask by eventfd does not ask whether the user has disabled INTx. */
  readonly unmaskWhileDisabled: boolean;
  /** 23.21: the pages of a BAR are taken away without waiting for accesses that are under way. */
  readonly zapWithoutWait: boolean;
  /** 23.29: the receiver of an unmask eventfd signals the trigger itself, inside the wake-up. */
  readonly signalInWakeup: boolean;
}

export const NO_VFIO_PCI_HAZARDS: VfioPciHazards = { swapWithoutSync: false, unmaskWhileDisabled: false, zapWithoutWait: false, signalInWakeup: false };
