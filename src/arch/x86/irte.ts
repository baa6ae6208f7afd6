import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { PostedDescriptor } from "./posted-descriptor.js";

// Interrupt remapping table entries of VT-d (x86-irqchip.md 10.5): 128 bits as four int32, little end first.

const PRESENT = 1 << 0;
const FAULT_DISABLE = 1 << 1;
const LOGICAL = 1 << 2;
const REDIRECTION_HINT = 1 << 3;
const LEVEL = 1 << 4;
const MODE_SHIFT = 5;
const URGENT = 1 << 14;
const POSTED = 1 << 15;
const VECTOR_SHIFT = 16;
const SQ_SHIFT = 16;
const SVT_SHIFT = 18;
/** Descriptor address bits 31:6 lie in bits 63:38. */
const ADDRESS_LOW = ~0x3f;
const TWO_32 = 4_294_967_296;

/** Who may use an entry. */
export interface IrteSource {
  /** Requester id. */
  readonly id: number;
  /** Which bits of the id count (SQ), and how it is verified (SVT). */
  readonly qualifier: number;
  readonly validation: number;
}

/** An entry that sends an ordinary interrupt of the host. */
export interface RemappedIrte {
  readonly kind: "remapped";
  readonly vector: number;
  readonly destination: number;
  readonly isLogical: boolean;
  readonly hasRedirectionHint: boolean;
  readonly isLevel: boolean;
  /** Delivery mode, as in a message. */
  readonly mode: number;
  readonly isFaultDisabled: boolean;
  readonly source: IrteSource;
}

/** An entry that posts into a guest. */
export interface PostedIrte {
  readonly kind: "posted";
  /** The guest's. */
  readonly vector: number;
  readonly isUrgent: boolean;
  /** Of the descriptor in host memory, 64-byte aligned, below 2^52. */
  readonly descriptor: number;
  readonly isFaultDisabled: boolean;
  readonly source: IrteSource;
}

/** What an interrupt remapping table entry says, in one of its two formats. */
export type IrteFields = RemappedIrte | PostedIrte;

/** Four words of a present entry. */
export function encodeIrte(fields: IrteFields): Int32Array {
  const { id, qualifier, validation } = fields.source;
  const word2 = (id & 0xffff) | ((qualifier & 3) << SQ_SHIFT) | ((validation & 3) << SVT_SHIFT);
  const common = PRESENT | (fields.isFaultDisabled ? FAULT_DISABLE : 0) | (fields.vector << VECTOR_SHIFT);
  if (fields.kind === "posted") {
    const low = common | POSTED | (fields.isUrgent ? URGENT : 0);
    return Int32Array.of(low, fields.descriptor & ADDRESS_LOW, word2, Math.floor(fields.descriptor / TWO_32));
  }
  const modes = (fields.isLogical ? LOGICAL : 0) | (fields.hasRedirectionHint ? REDIRECTION_HINT : 0) | (fields.isLevel ? LEVEL : 0);
  return Int32Array.of(common | modes | (fields.mode << MODE_SHIFT), fields.destination | 0, word2, 0);
}

/** Null for an entry that is not present. */
export function decodeIrte(words: Int32Array): IrteFields | null {
  const [low, second, word2, high] = words;
  if ((low & PRESENT) === 0) return null;
  const source = { id: word2 & 0xffff, qualifier: (word2 >> SQ_SHIFT) & 3, validation: (word2 >> SVT_SHIFT) & 3 };
  const vector = (low >> VECTOR_SHIFT) & 0xff;
  const isFaultDisabled = (low & FAULT_DISABLE) !== 0;
  if ((low & POSTED) !== 0) {
    const descriptor = (high >>> 0) * TWO_32 + ((second & ADDRESS_LOW) >>> 0);
    return { kind: "posted", vector, isUrgent: (low & URGENT) !== 0, descriptor, isFaultDisabled, source };
  }
  return {
    kind: "remapped",
    vector,
    destination: second >>> 0,
    isLogical: (low & LOGICAL) !== 0,
    hasRedirectionHint: (low & REDIRECTION_HINT) !== 0,
    isLevel: (low & LEVEL) !== 0,
    mode: (low >> MODE_SHIFT) & 7,
    isFaultDisabled,
    source,
  };
}

/** Where the remapping hardware sends what an entry makes of a message. */
export interface IrteSink {
  /** The descriptor at an address of host memory; null: the address is nobody's. */
  descriptorAt(address: number): PostedDescriptor | null;
  /** This guest vector was posted already and is not taken yet: one interrupt less. For traces. */
  coalesced(vector: number): void;
  /** A notification. `ndst` as the descriptor holds it. */
  notify(ndst: number, vector: number): Step<void>;
  /** A remapped interrupt reaches the host's CPUs. */
  remapped(entry: Irte): Step<void>;
  /** Not present, or a descriptor that is not there: blocked, and recorded unless the entry disables that. */
  fault(isRecorded: boolean): Step<void>;
}

/** One entry of the table. Software writes it whole (a 128-bit exchange), hardware reads it for each message. */
export class Irte {
  readonly words = new Int32Array(4);

  *write(words: Int32Array): Step<void> {
    yield writes(this, "words");
    this.words.set(words);
  }

  *decode(): Step<IrteFields | null> {
    yield reads(this, "words");
    return decodeIrte(this.words);
  }

  /** A message of the device that uses this entry. */
  *deliver(sink: IrteSink): Step<void> {
    yield reads(this, "words");
    const { words } = this;
    const low = words[0];
    if ((low & PRESENT) === 0) {
      yield* sink.fault((low & FAULT_DISABLE) === 0);
      return;
    }
    if ((low & POSTED) === 0) {
      yield* sink.remapped(this);
      return;
    }
    const descriptor = sink.descriptorAt((words[3] >>> 0) * TWO_32 + ((words[1] & ADDRESS_LOW) >>> 0));
    if (descriptor === null) {
      yield* sink.fault((low & FAULT_DISABLE) === 0);
      return;
    }
    const nv = yield* descriptor.postByDevice((low >> VECTOR_SHIFT) & 0xff, (low & URGENT) !== 0);
    if (descriptor.wasPosted) sink.coalesced((low >> VECTOR_SHIFT) & 0xff);
    if (nv >= 0) yield* sink.notify(descriptor.notifyDestination, nv);
  }
}
shared(Irte, "words");
