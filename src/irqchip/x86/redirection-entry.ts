/** Low half of a redirection entry (x86-irqchip.md 5.2). The high half has the destination in bits 31:24. */
export const enum Rte {
  VECTOR_MASK = 0xff,
  /** Bits 10:8: a {@link DeliveryMode}. */
  MODE_SHIFT = 8,
  MODE_MASK = 7,
  LOGICAL = 1 << 11,
  /** Read-only, never set. */
  DELIVERY_STATUS = 1 << 12,
  /** Stored, ignored. */
  POLARITY = 1 << 13,
  /** Read-only: a level interrupt was delivered, its EOI is awaited. */
  REMOTE_IRR = 1 << 14,
  LEVEL = 1 << 15,
  MASKED = 1 << 16,
  READ_ONLY = DELIVERY_STATUS | REMOTE_IRR,
  RESET = MASKED,
  /** In the high half. */
  DESTINATION_SHIFT = 24,
}

const hex = (half: number): string => (half >>> 0).toString(16).padStart(8, "0");

/** "0x0d0000000000c886": an entry in a trace. */
export const describeEntry = (low: number, high: number): string => `0x${hex(high)}${hex(low)}`;
