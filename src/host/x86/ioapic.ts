import type { EdgeSink, LevelSink } from "../../arch/level.js";
import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { InterruptRemapping } from "./intr-remapping.js";

/** Low half of a redirection entry (82093AA 3.2.4). */
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const VECTOR_MASK = 0xff;
/** High half, in the format for interrupt remapping (VT-d 5.1.5.1): index 14:0 in 31:17, format in 16; bit 11 of the low half is index 15. */
const REMAPPABLE = 1 << 16;
const INDEX_SHIFT = 17;
const INDEX_15_SHIFT = 11;

export const IOAPIC_PINS = 24;

/**
 * The IOAPIC of the host, version 0x20 with an EOI register, behind interrupt remapping: a pin's entry names a remapping
 * entry, and its vector field holds the pin's own number, by which the EOI register finds it. One change is one atomic step.
 */
export class HostIoApic {
  private readonly low = new Int32Array(IOAPIC_PINS).fill(MASKED);
  private readonly high = new Int32Array(IOAPIC_PINS);
  private readonly lines = new Uint8Array(IOAPIC_PINS);

  /** @param sourceId the requester id that its messages carry */
  constructor(
    private readonly remapping: InterruptRemapping,
    readonly sourceId: number,
  ) {}

  /** Programs a pin, masked. */
  *program(pin: number, index: number, isLevel: boolean): Step<void> {
    yield writes(this, "IOAPIC");
    this.low[pin] = MASKED | (isLevel ? LEVEL : 0) | ((index >> 15) << INDEX_15_SHIFT) | pin;
    this.high[pin] = ((index & 0x7fff) << INDEX_SHIFT) | REMAPPABLE;
  }

  /** An edge that came while masked is not kept. */
  *setMasked(pin: number, isMasked: boolean): Step<void> {
    yield writes(this, "IOAPIC");
    if (isMasked) this.low[pin] |= MASKED;
    else this.low[pin] &= ~MASKED;
    if (this.low[pin] & LEVEL) yield* this.serve(pin);
  }

  *setLine(pin: number, isHigh: boolean): Step<void> {
    yield writes(this, "IOAPIC");
    const isRising = isHigh && this.lines[pin] === 0;
    this.lines[pin] = isHigh ? 1 : 0;
    if (this.low[pin] & LEVEL) yield* this.serve(pin);
    else if (isRising && !(this.low[pin] & MASKED)) yield* this.send(pin);
  }

  /** The EOI register: every level entry with this vector ends, and is served again while its line is high. */
  *endOfInterrupt(vector: number): Step<void> {
    yield writes(this, "IOAPIC");
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if ((this.low[pin] & VECTOR_MASK) !== vector || !(this.low[pin] & LEVEL)) continue;
      this.low[pin] &= ~REMOTE_IRR;
      yield* this.serve(pin);
    }
  }

  /** A level entry sends once, and then not before its end of interrupt. */
  private *serve(pin: number): Step<void> {
    if (this.lines[pin] === 0 || this.low[pin] & (MASKED | REMOTE_IRR)) return;
    this.low[pin] |= REMOTE_IRR;
    yield* this.send(pin);
  }

  private *send(pin: number): Step<void> {
    const index = ((this.high[pin] >> INDEX_SHIFT) & 0x7fff) | (((this.low[pin] >> INDEX_15_SHIFT) & 1) << 15);
    yield* this.remapping.interrupt(this.sourceId, index);
    yield writes(this, "IOAPIC");
  }
}
block(HostIoApic, "low", "high", "lines");

/** A level pin: the device's line ends here. */
export class IoApicLevelInput implements LevelSink {
  readonly trigger = "level";
  constructor(
    private readonly ioapic: HostIoApic,
    readonly pin: number,
  ) {}
  *setLevel(isHigh: boolean): Step<void> {
    yield* this.ioapic.setLine(this.pin, isHigh);
  }
}

/** An edge pin: each pulse is one rise and fall. */
export class IoApicEdgeInput implements EdgeSink {
  readonly trigger = "edge";
  constructor(
    private readonly ioapic: HostIoApic,
    readonly pin: number,
  ) {}
  *pulse(): Step<void> {
    yield* this.ioapic.setLine(this.pin, true);
    yield* this.ioapic.setLine(this.pin, false);
  }
}
