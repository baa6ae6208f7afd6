/** Instructions of an x86 driver program; addresses are guest physical. */
export const enum X86Op {
  /** jmp $: spins with nothing to do until an interrupt comes. */
  SPIN,
  HLT,
  STI,
  IRET,
  /** To base + a. */
  JMP,
  /** Stores b at address wide[a], c bytes. */
  STORE,
  /** Loads c bytes from address wide[a]; the value is dropped. */
  LOAD,
  /** OUT of byte b to port a. */
  OUT,
  /** WRMSR: number a, low half b, high half c. */
  WRMSR,
  /** A handler of vector a begins. */
  ENTER,
  /** It is about to end the interrupt. */
  END,
  /** The handler's own work: wide[a] nanoseconds, or the profile's when negative. */
  WORK,
  /** btr of bit 0 at address wide[a]: to base + b when it was set. */
  CLEAR_BIT,
}

/** Table entries of one instruction, and bytes of its address. */
export const X86_OP_SIZE = 4;

/** A finished program: the instruction at address `base` + i is `table[i]` to `table[i + 3]`, int32 words. */
export interface X86Program {
  readonly base: number;
  readonly table: Int32Array;
  /** Addresses and times that do not fit a word: an instruction's a is an index here. */
  readonly wide: Float64Array;
  /** Offset of the handler of each vector. */
  readonly handlers: Int32Array;
}

const VECTORS = 256;

/** Writes a program, instruction by instruction. Methods return the assembler, to be chained. */
export class X86Assembler {
  private readonly words: number[] = [];
  private readonly wide: number[] = [];
  private readonly handlers = new Int32Array(VECTORS).fill(-1);

  /** @param base guest physical address of the first instruction */
  constructor(readonly base: number) {}

  get here(): number {
    return this.base + this.words.length;
  }

  op(op: X86Op, a = 0, b = 0, c = 0): this {
    this.words.push(op, a, b, c);
    return this;
  }

  wideOp(op: X86Op.STORE | X86Op.LOAD | X86Op.WORK, a: number, b = 0, c = 0): this {
    return this.op(op, this.wide.push(a) - 1, b, c);
  }

  store(address: number, value: number, size = 4): this {
    return this.wideOp(X86Op.STORE, address, value, size);
  }

  jump(address: number): this {
    return this.op(X86Op.JMP, address - this.base);
  }

  /** Clears the bit at `address`; where it was set, goes on behind what `otherwise` writes. */
  unlessCleared(address: number, otherwise: () => void): this {
    const at = this.words.length;
    this.op(X86Op.CLEAR_BIT, this.wide.push(address) - 1);
    otherwise();
    this.words[at + 2] = this.words.length;
    return this;
  }

  /** The next instruction is the handler of these vectors. */
  handler(...vectors: number[]): this {
    for (const vector of vectors) this.handlers[vector] = this.words.length;
    return this;
  }

  /** Every vector has a handler by now, or that of all others is the next instruction. */
  otherHandlers(): this {
    for (let vector = 0; vector < VECTORS; vector++) if (this.handlers[vector] < 0) this.handlers[vector] = this.words.length;
    return this;
  }

  assemble(): X86Program {
    return { base: this.base, table: Int32Array.from(this.words), wide: Float64Array.from(this.wide), handlers: this.handlers };
  }
}
