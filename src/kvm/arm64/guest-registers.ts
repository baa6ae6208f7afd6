/** PSTATE.I: interrupts masked. */
export const PSTATE_I = 0x80;
/** EL1h with D, A, I and F masked: how a vCPU starts. */
const PSTATE_RESET = 0x3c5;

/** The architectural registers of one vCPU, as far as interrupts and user space need them; 64-bit ones as int32 halves. */
export class GuestRegisters {
  /** x0 to x30. */
  readonly xLo = new Int32Array(31);
  readonly xHi = new Int32Array(31);
  sp = 0;
  pc = 0;
  pstate = PSTATE_RESET;
  spEl1 = 0;
  elrEl1 = 0;
  spsrEl1 = 0;
  vbarEl1 = 0;
  sctlrEl1 = 0;

  constructor(
    /** MPIDR_EL1: bit 31 and the affinity that KVM derives from the vCPU's id (gic-v3.md A1). */
    readonly mpidr: number,
  ) {}

  reset(): void {
    this.xLo.fill(0);
    this.xHi.fill(0);
    this.sp = this.pc = this.spEl1 = this.elrEl1 = this.spsrEl1 = this.vbarEl1 = this.sctlrEl1 = 0;
    this.pstate = PSTATE_RESET;
  }

  /** Takes an IRQ exception: the return address and PSTATE are kept, interrupts are masked (vector VBAR + 0x280). */
  takeIrq(): void {
    this.elrEl1 = this.pc;
    this.spsrEl1 = this.pstate;
    this.pstate |= PSTATE_I;
    this.pc = this.vbarEl1 + 0x280;
  }

  /** ERET. */
  exceptionReturn(): void {
    this.pc = this.elrEl1;
    this.pstate = this.spsrEl1;
  }
}

/** MPIDR_EL1 of a vCPU id, int32: Aff0 = id[3:0], Aff1 = id[11:4], Aff2 = id[19:12] (gic-v3.md A1). */
export function mpidrOf(id: number): number {
  return 0x80000000 | 0 | (id & 0xf) | (((id >> 4) & 0xff) << 8) | (((id >> 12) & 0xff) << 16);
}
