/** Instructions of a driver program. Registers are x0 to x30; addresses are guest physical. */
export const enum Op {
  /** b . : spins with nothing to do until an interrupt comes. */
  SPIN,
  WFI,
  WFE,
  /** x[a] = b */
  MOV,
  /** x[a] -= b */
  SUB,
  /** To base + a. */
  B,
  /** To base + b when x[a] is 0. */
  CBZ,
  /** Stores b at address wide[a], c bytes. */
  STORE,
  /** x[b] = what is at address wide[a], c bytes. */
  LOAD,
  /** VBAR_EL1 = base + a */
  VBAR,
  /** PSTATE.I = a */
  MASK,
  ERET,
  /** Hypercall: x0 to x3. */
  HVC,
  /** ICC_SGI1R_EL1 or another trapped register: encoding a, low half b, high half c. */
  MSR,
  /** Register a ({@link GicField}) of the CPU interface = b. */
  GIC,
  /** x[a] = IAR */
  ACK,
  /** EOIR = x[a] */
  EOI,
  /** DIR = x[a] */
  DIR,
  /** To base + b when x[a], from IAR, is a special id. */
  SPURIOUS,
  /** x[b] = number of the binding of the INTID in x[a], x[c] = its accesses (0 without a binding). */
  BIND,
  /** One register access of binding x[a]. */
  SERVICE,
  /** The handler's own work: wide[a] nanoseconds, or the profile's when negative. */
  WORK,
  /** Spins for wide[a] nanoseconds, interruptibly; x[b] keeps the deadline meanwhile. */
  DELAY,
  /** The virtual timer fires wide[a] nanoseconds from now; negative: it is switched off. */
  TIMER,
}

/** The CPU interface registers that only the VMCR holds. */
export const enum GicField {
  /** Priority mask */
  PMR,
  /** Enable of the group whose interrupts the guest takes as IRQ. */
  GROUP_ENABLE,
  EOI_MODE,
  BPR,
}

/** Table entries of one instruction, and bytes of its address. */
export const OP_SIZE = 4;
/** Offset of the IRQ vector of the current exception level in the vector table. */
const IRQ_VECTOR = 0x280;
const VECTORS_ALIGN = 0x800;

/** A place in a program, known once it is placed. */
export class Label {
  address = -1;
}

/** A finished program: the instruction at address `base` + i is `table[i]` to `table[i + 3]`, int32 words. */
export interface Program {
  readonly base: number;
  readonly table: Int32Array;
  /** Addresses and times that do not fit a word: an instruction's a is an index here. */
  readonly wide: Float64Array;
}

/** Writes a program, instruction by instruction. Methods return the assembler, to be chained. */
export class Assembler {
  private readonly words: number[] = [];
  private readonly wide: number[] = [];
  private readonly fixups: { at: number; label: Label }[] = [];

  /** @param base guest physical address of the first instruction; a multiple of 2 KiB */
  constructor(readonly base: number) {}

  get here(): number {
    return this.base + this.words.length;
  }

  op(op: Op, a = 0, b = 0, c = 0): this {
    this.words.push(op, a, b, c);
    return this;
  }

  place(label: Label): this {
    label.address = this.here;
    return this;
  }

  branch(label: Label): this {
    this.fixups.push({ at: this.words.length + 1, label });
    return this.op(Op.B);
  }

  /** SPURIOUS or CBZ of a register. */
  branchIf(op: Op.SPURIOUS | Op.CBZ, register: number, label: Label): this {
    this.fixups.push({ at: this.words.length + 2, label });
    return this.op(op, register);
  }

  /** An instruction whose a is an address or a time. */
  wideOp(op: Op.STORE | Op.LOAD | Op.DELAY | Op.TIMER | Op.WORK, a: number, b = 0, c = 0): this {
    return this.op(op, this.wide.push(a) - 1, b, c);
  }

  store(address: number, value: number, size = 4): this {
    return this.wideOp(Op.STORE, address, value, size);
  }

  load(address: number, register: number, size = 4): this {
    return this.wideOp(Op.LOAD, address, register, size);
  }

  /** Spins for `ns`, interruptibly; x[register] is used meanwhile. */
  delay(ns: number, register: number): this {
    return this.wideOp(Op.DELAY, ns, register);
  }

  /** The virtual timer fires `ns` from now; negative: it is switched off. */
  timer(ns: number): this {
    return this.wideOp(Op.TIMER, ns);
  }

  /** VBAR_EL1 = the vector table that {@link vectors} starts. */
  setVectors(vectors: Label): this {
    this.fixups.push({ at: this.words.length + 1, label: vectors });
    return this.op(Op.VBAR);
  }

  /** Starts a vector table; the next instruction is its IRQ vector. */
  vectors(label: Label): this {
    while (this.words.length % VECTORS_ALIGN !== 0) this.op(Op.SPIN);
    this.place(label);
    while (this.words.length % VECTORS_ALIGN !== IRQ_VECTOR) this.op(Op.SPIN);
    return this;
  }

  assemble(): Program {
    for (const { at, label } of this.fixups) this.words[at] = label.address - this.base;
    return { base: this.base, table: Int32Array.from(this.words), wide: Float64Array.from(this.wide) };
  }
}
