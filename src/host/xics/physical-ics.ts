const MASKED = 0xff;

// Status of a source.
const ASSERTED = 1;
/** An LSI on its way, or in service. */
const SENT = 2;
/** A message that no presentation controller would take. */
const REJECTED = 4;
const MASKED_PENDING = 8;

/** Takes what a source sends: a presentation controller, by its server number. */
export interface Presentation {
  present(irq: number, server: number, priority: number): void;
}

/**
 * The source half of a physical XICS, as QEMU's machines have it (xics.md 16, 17): `count` sources from `first` on, level
 * or message. Behind the points of {@link PhysicalXics}.
 */
export class PhysicalIcs {
  private readonly server: Uint32Array;
  private readonly priority: Uint8Array;
  private readonly status: Uint8Array;
  /** Messages that wait for a resend. */
  private rejectedMessages = 0;

  constructor(
    readonly first: number,
    readonly count: number,
    private readonly isLsi: boolean,
    private readonly presentation: Presentation,
  ) {
    this.server = new Uint32Array(count);
    this.priority = new Uint8Array(count).fill(MASKED);
    this.status = new Uint8Array(count);
  }

  has(irq: number): boolean {
    return irq >= this.first && irq < this.first + this.count;
  }

  /** The external interrupt vector entry of a source. */
  setEntry(irq: number, server: number, priority: number): void {
    const i = irq - this.first;
    this.server[i] = server;
    this.priority[i] = priority;
    if (this.isLsi) this.sendLevel(i);
    else if ((this.status[i] & MASKED_PENDING) !== 0 && priority !== MASKED) {
      this.status[i] &= ~MASKED_PENDING;
      this.present(i);
    }
  }

  /** The level of an LSI, or a message: true sends, false is nothing. */
  input(irq: number, isHigh: boolean): void {
    const i = irq - this.first;
    if (this.isLsi) {
      this.status[i] = isHigh ? this.status[i] | ASSERTED : this.status[i] & ~ASSERTED;
      this.sendLevel(i);
    } else if (isHigh) this.message(i);
  }

  private message(i: number): void {
    if (this.priority[i] === MASKED) this.status[i] |= MASKED_PENDING;
    else this.present(i);
  }

  private sendLevel(i: number): void {
    if (this.priority[i] === MASKED || (this.status[i] & (ASSERTED | SENT)) !== ASSERTED) return;
    this.status[i] |= SENT;
    this.present(i);
  }

  private present(i: number): void {
    this.presentation.present(this.first + i, this.server[i], this.priority[i]);
  }

  /** What was sent was not taken, or something else took its place. */
  rejected(irq: number): void {
    const i = irq - this.first;
    if (this.isLsi) this.status[i] &= ~SENT;
    else if ((this.status[i] & REJECTED) === 0) {
      this.status[i] |= REJECTED;
      this.rejectedMessages++;
    }
  }

  /** A level may be sent again, by the next resend. */
  ended(irq: number): void {
    if (this.isLsi) this.status[irq - this.first] &= ~SENT;
  }

  /** Everything that waits is tried again, in the order of the numbers. */
  resend(): void {
    if (!this.isLsi && this.rejectedMessages === 0) return;
    for (let i = 0; i < this.count; i++) {
      if (this.isLsi) this.sendLevel(i);
      else if ((this.status[i] & REJECTED) !== 0) {
        this.status[i] &= ~REJECTED;
        this.rejectedMessages--;
        if (this.priority[i] !== MASKED) this.present(i);
      }
    }
  }
}
