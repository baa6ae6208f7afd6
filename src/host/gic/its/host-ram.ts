/** Bytes of a frame, made when something is first stored in it. */
const FRAME_SHIFT = 16;
const FRAME = 1 << FRAME_SHIFT;
/** A place in its frame. */
const OFFSET = FRAME - 1;

/**
 * The range of the host's physical memory that interrupt controllers keep their tables in: little-endian, zero at first.
 * What lies outside of the range is no memory: reads of a byte there answer -1, stores are lost, and who wants words asks
 * {@link has} first. Addresses are numbers; hot paths want the range below 2^31.
 */
export class HostRam {
  private readonly frames: (Int32Array | null)[];
  private readonly end: number;
  /** Where {@link take} has got to. */
  private free: number;

  /** `start` a multiple of 64 KiB. */
  constructor(
    readonly start: number,
    readonly size: number,
  ) {
    this.frames = new Array<Int32Array | null>(Math.ceil(size / FRAME)).fill(null);
    this.end = start + size;
    this.free = start;
  }

  has(address: number, length: number): boolean {
    return address >= this.start && address + length <= this.end;
  }

  /** -1 where there is no memory. */
  u8(address: number): number {
    const at = address - this.start;
    if (at < 0 || at >= this.size) return -1;
    const frame = this.frames[at >>> FRAME_SHIFT];
    return frame === null ? 0 : (frame[(at & OFFSET) >> 2] >>> (8 * (at & 3))) & 0xff;
  }

  setU8(address: number, value: number): void {
    this.assign(address, value & 0xff, true);
    this.assign(address, ~value & 0xff, false);
  }

  /** Sets or clears bits of a byte: did that change it? Nothing changes where there is no memory. */
  assign(address: number, bits: number, isSet: boolean): boolean {
    const at = address - this.start;
    if (at < 0 || at >= this.size) return false;
    const frame = this.frames[at >>> FRAME_SHIFT] ?? (isSet ? this.frame(at) : null);
    if (frame === null) return false;
    const word = (at & OFFSET) >> 2;
    const inWord = bits << (8 * (at & 3));
    const before = frame[word];
    const after = isSet ? before | inWord : before & ~inWord;
    frame[word] = after;
    return after !== before;
  }

  /** A word at a multiple of 4, inside the memory. */
  word(address: number): number {
    const at = address - this.start;
    const frame = this.frames[at >>> FRAME_SHIFT];
    return frame === null ? 0 : frame[(at & OFFSET) >> 2];
  }

  setWord(address: number, value: number): void {
    const at = address - this.start;
    this.frame(at)[(at & OFFSET) >> 2] = value;
  }

  /** Eight words in a row, from a multiple of their length: a command. One by one, which takes half of what a loop would. */
  row(address: number, into: Int32Array): void {
    const at = address - this.start;
    const frame = this.frames[at >>> FRAME_SHIFT];
    if (frame === null) {
      into.fill(0);
      return;
    }
    const first = (at & OFFSET) >> 2;
    into[0] = frame[first];
    into[1] = frame[first + 1];
    into[2] = frame[first + 2];
    into[3] = frame[first + 3];
    into[4] = frame[first + 4];
    into[5] = frame[first + 5];
    into[6] = frame[first + 6];
    into[7] = frame[first + 7];
  }

  setRow(address: number, words: Int32Array): void {
    const at = address - this.start;
    const frame = this.frame(at);
    const first = (at & OFFSET) >> 2;
    frame[first] = words[0];
    frame[first + 1] = words[1];
    frame[first + 2] = words[2];
    frame[first + 3] = words[3];
    frame[first + 4] = words[4];
    frame[first + 5] = words[5];
    frame[first + 6] = words[6];
    frame[first + 7] = words[7];
  }

  /** Fills a range of words inside the memory with a byte. */
  fill(address: number, length: number, byte: number): void {
    for (let at = address - this.start, end = at + length; at < end; ) {
      const next = Math.min(end, (at & -FRAME) + FRAME);
      const first = (at & OFFSET) >> 2;
      // What was never stored to is zero.
      if (byte !== 0 || this.frames[at >>> FRAME_SHIFT] !== null) this.frame(at).fill(byte * 0x01010101, first, first + (next - at) / 4);
      at = next;
    }
  }

  /** Takes `size` bytes at a multiple of `align` for good, -1 where no more are left. They are zero. */
  take(size: number, align: number): number {
    const address = Math.ceil(this.free / align) * align;
    if (address + size > this.end) return -1;
    this.free = address + size;
    return address;
  }

  /** The words of 64 KiB that begin at this multiple of it, inside the memory; null while nothing was stored there. */
  frameOf(address: number): Int32Array | null {
    return this.frames[(address - this.start) >>> FRAME_SHIFT];
  }

  /** The same, to be stored in. */
  makeFrame(address: number): Int32Array {
    return this.frame(address - this.start);
  }

  private frame(at: number): Int32Array {
    return (this.frames[at >>> FRAME_SHIFT] ??= new Int32Array(FRAME / 4));
  }
}

/** A host without LPIs has no tables. */
export const NO_RAM = new HostRam(0, 0);
