/**
 * Switches that disable one rule of PIC or IOAPIC each, so that an explorer can find what the rule prevents
 * (x86-irqchip.md 18). Given when the VM is created; all off is Linux as specified.
 */
export interface ChipHazards {
  /** X1: an EOI clears remote IRR before it tells the acknowledge listeners. */
  readonly clearRemoteIrrBeforeAck: boolean;
  /** X3: a vCPU handles only vectors of entries that point to it now, not those still pending on it. */
  readonly scanWithoutPending: boolean;
  /** X7: an unmasked level pin with an old request is serviced, without asking a resampler. */
  readonly serviceOnUnmask: boolean;
  /** X10: no pause after 10,000 EOIs in a row that found the line high. */
  readonly eoiWithoutPause: boolean;
  /** X18: a PIC EOI decides on the output before it tells the acknowledge listeners. */
  readonly picOutputBeforeAck: boolean;
  /** X20: KVM_GET_IRQCHIP shows edges that were delivered as still requested. */
  readonly saveDeliveredEdges: boolean;
  /** X28: an EOI acknowledges only the first pin with its vector. */
  readonly ackFirstPinOnly: boolean;
}

/** Every rule in force. */
export const NO_CHIP_HAZARDS: ChipHazards = {
  clearRemoteIrrBeforeAck: false,
  scanWithoutPending: false,
  serviceOnUnmask: false,
  eoiWithoutPause: false,
  picOutputBeforeAck: false,
  saveDeliveredEdges: false,
  ackFirstPinOnly: false,
};
