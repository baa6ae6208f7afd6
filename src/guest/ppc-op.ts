/** Instructions of a driver program on POWER. Registers are r0 to r31, of which the low halves; addresses are guest real. */
export const enum PpcOp {
  /** b . : spins with nothing to do until an interrupt comes. */
  SPIN,
  /** r[a] = b */
  LI,
  /** r[a] = r[b] */
  MR,
  /** r[a] += b */
  ADDI,
  /** To base + a. */
  B,
  /** To base + c when (r[a] & 0xffffff) is b: a source's number in an XIRR. */
  CASE,
  /** To base + c when the low 24 bits of r[a] and r[b] are the same. */
  SAME,
  /** Stores b at address wide[a], 4 bytes, the most significant first (stw). */
  STW,
  /** The same with r[b]. */
  STR,
  /** r[b] = the word at address wide[a] (lwz). */
  LWZ,
  /** Stores b at address wide[a], 4 bytes, the least significant first (stwbrx): a device's register. */
  STWBRX,
  /** sc 1: the hypercall in r3. */
  SC,
  /** MSR[EE] = a */
  EE,
  RFID,
  /** An interrupt was accepted: its XIRR is in r[a]. */
  ENTER,
  /** It is about to be ended. */
  END,
  /** The handler's own work: wide[a] nanoseconds, or the profile's when negative. */
  WORK,
  /** Spins for wide[a] nanoseconds, interruptibly; r[b] keeps the deadline meanwhile. */
  DELAY,
}

/** Table entries of one instruction, and bytes of its address. */
export const PPC_OP_SIZE = 4;

/** A finished program: the instruction at address `base` + i is `table[i]` to `table[i + 3]`, int32 words. */
export interface PpcProgram {
  readonly base: number;
  readonly table: Int32Array;
  /** Addresses and times that do not fit a word: an instruction's a is an index here. */
  readonly wide: Float64Array;
}

/** Writes a program, instruction by instruction. Methods return the assembler, to be chained. */
export class PpcAssembler {
  private readonly words: number[] = [];
  private readonly wide: number[] = [];

  /** @param base guest real address of the first instruction */
  constructor(readonly base: number) {}

  get here(): number {
    return this.base + this.words.length;
  }

  op(op: PpcOp, a = 0, b = 0, c = 0): this {
    this.words.push(op, a, b, c);
    return this;
  }

  wideOp(op: PpcOp.STW | PpcOp.STR | PpcOp.LWZ | PpcOp.STWBRX | PpcOp.WORK | PpcOp.DELAY, a: number, b = 0): this {
    return this.op(op, this.wide.push(a) - 1, b);
  }

  branch(address: number): this {
    return this.op(PpcOp.B, address - this.base);
  }

  /** What `body` writes is for the source with this number in an XIRR; others go on behind it. */
  when(register: number, source: number, body: () => void): this {
    return this.only(PpcOp.CASE, register, source, body);
  }

  /** The same for the source whose number is in register `other`. */
  whenSame(register: number, other: number, body: () => void): this {
    return this.only(PpcOp.SAME, register, other, body);
  }

  private only(op: PpcOp.CASE | PpcOp.SAME, a: number, b: number, body: () => void): this {
    this.op(op, a, b, this.words.length + 2 * PPC_OP_SIZE);
    const skip = this.words.length;
    this.op(PpcOp.B);
    body();
    this.words[skip + 1] = this.words.length;
    return this;
  }

  /** A hypercall; its arguments go into r4 and on, the answers are in r3 and r4. */
  hypercall(number: number, ...args: number[]): this {
    args.forEach((value, i) => this.op(PpcOp.LI, 4 + i, value));
    return this.op(PpcOp.LI, 3, number).op(PpcOp.SC);
  }

  assemble(): PpcProgram {
    return { base: this.base, table: Int32Array.from(this.words), wide: Float64Array.from(this.wide) };
  }
}
