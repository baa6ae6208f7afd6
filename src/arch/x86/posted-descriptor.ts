import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/** Host vectors of notifications (x86-irqchip.md 1). */
export const POSTED_INTR_VECTOR = 0xf2;
/** The host vector that wakes a blocked vCPU. */
export const POSTED_INTR_WAKEUP_VECTOR = 0xf1;
export const POSTED_INTR_NESTED_VECTOR = 0xf0;

/** Bytes; also its alignment. */
export const POSTED_DESCRIPTOR_SIZE = 64;

const PIR_WORDS = 8;
/** Bits 256 on, as the low half of the control word. */
const ON = 1 << 0;
const SN = 1 << 1;
const NV_SHIFT = 16;
const NV_MASK = 0xff << NV_SHIFT;

/**
 * A posted-interrupt descriptor as VT-d and KVM share it (x86-irqchip.md 10.1): PIR, and one 64-bit control word with ON, SN, NV
 * and NDST, which changes as a whole.
 */
export class PostedDescriptor {
  /** One bit for each vector; hardware and software set bits, the vCPU exchanges words. */
  readonly pir = new Int32Array(PIR_WORDS);
  /** Bits 287:256 and 319:288. */
  readonly control = new Int32Array(2);

  /** Test-and-set of PIR[vector]: was it clear? */
  *setPir(vector: number): Step<boolean> {
    const bit = 1 << (vector & 31);
    yield writes(this, "pir");
    const { pir } = this;
    const old = pir[vector >> 5];
    pir[vector >> 5] = old | bit;
    return (old & bit) === 0;
  }

  /** Test-and-set of ON: was it clear? */
  *setOn(): Step<boolean> {
    yield writes(this, "control");
    const { control } = this;
    const old = control[0];
    control[0] = old | ON;
    return (old & ON) === 0;
  }

  *isOn(): Step<boolean> {
    yield reads(this, "control");
    return (this.control[0] & ON) !== 0;
  }

  *clearOn(): Step<void> {
    yield writes(this, "control");
    this.control[0] &= ~ON;
  }

  *setSn(): Step<void> {
    yield writes(this, "control");
    this.control[0] |= SN;
  }

  /** Test-and-clear of SN: was it set? */
  *clearSn(): Step<boolean> {
    yield writes(this, "control");
    const { control } = this;
    const was = (control[0] & SN) !== 0;
    control[0] &= ~SN;
    return was;
  }

  /** One compare-and-swap of the whole word that does not fail. SN goes, NV and NDST are set. */
  *direct(nv: number, ndst: number): Step<void> {
    yield writes(this, "control");
    const { control } = this;
    control[0] = (control[0] & ~(SN | NV_MASK)) | (nv << NV_SHIFT);
    control[1] = ndst;
  }

  /** NV alone; true if ON was set in the word that it went into. */
  *setNv(nv: number): Step<boolean> {
    yield writes(this, "control");
    const { control } = this;
    control[0] = (control[0] & ~NV_MASK) | (nv << NV_SHIFT);
    return (control[0] & ON) !== 0;
  }

  *nv(): Step<number> {
    yield reads(this, "control");
    return (this.control[0] & NV_MASK) >>> NV_SHIFT;
  }

  *isPirEmpty(): Step<boolean> {
    yield reads(this, "pir");
    const { pir } = this;
    return (pir[0] | pir[1] | pir[2] | pir[3] | pir[4] | pir[5] | pir[6] | pir[7]) === 0;
  }

  /** Takes word `word` of the PIR and leaves 0; looks before it writes, as an exchange costs more than a load. */
  *exchangePir(word: number): Step<number> {
    yield reads(this, "pir");
    if (this.pir[word] === 0) return 0;
    yield writes(this, "pir");
    const { pir } = this;
    const bits = pir[word];
    pir[word] = 0;
    return bits;
  }

  /** "Has pending" (10.4): ON, or notifications suppressed and something posted. */
  *hasPending(): Step<boolean> {
    yield reads(this, "control");
    const low = this.control[0];
    if ((low & ON) !== 0) return true;
    return (low & SN) !== 0 && !(yield* this.isPirEmpty());
  }

  /**
   * What VT-d hardware does with a posted message (10.5): PIR, then ON and the notification unless they are suppressed. The
   * notification to send: its vector in bits 7:0 of the result, the NDST in {@link notifyDestination}; -1 for none.
   */
  *postByDevice(vector: number, isUrgent: boolean): Step<number> {
    const wasSet = !(yield* this.setPir(vector));
    yield writes(this, "control");
    this.wasPosted = wasSet; // for whoever called, before another message comes
    const { control } = this;
    const low = control[0];
    if ((low & ON) !== 0 || ((low & SN) !== 0 && !isUrgent)) return -1;
    control[0] = low | ON;
    this.notifyDestination = control[1];
    return (low & NV_MASK) >>> NV_SHIFT;
  }

  /** Did the last {@link postByDevice} find its vector posted already? */
  wasPosted = false;

  /** NDST as it was when {@link postByDevice} set ON. */
  notifyDestination = 0;

  /** The 64 bytes, for inspection. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(POSTED_DESCRIPTOR_SIZE);
    const view = new DataView(bytes.buffer);
    for (let word = 0; word < PIR_WORDS; word++) view.setInt32(word * 4, this.pir[word], true);
    view.setInt32(32, this.control[0], true);
    view.setInt32(36, this.control[1], true);
    return bytes;
  }
}
shared(PostedDescriptor, "pir", "control");
