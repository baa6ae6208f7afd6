const NONE = 0xff;
const IPI = 2;

/** What a presentation controller tells the sources. */
export interface SourceControllers {
  rejected(irq: number): void;
  ended(irq: number): void;
  resend(): void;
}

/**
 * The presentation half of a physical XICS: one thread's registers, as QEMU's machines have them (xics.md 16). It admits
 * by CPPR and pending priority; MFRR is another request beside them.
 */
export class PhysicalIcp {
  cppr = 0;
  mfrr = NONE;
  xisr = 0;
  pendingPriority = NONE;
  /** The external-interrupt signal of the thread. */
  output = false;
  /** LINKA, LINKB, LINKC: stored, and nothing else. */
  readonly links = new Int32Array(3);

  constructor(private readonly sources: SourceControllers) {}

  get xirr(): number {
    return (this.cppr << 24) | this.xisr;
  }

  /** A source wants to be presented. */
  present(irq: number, priority: number): void {
    if (priority >= this.cppr || (this.xisr !== 0 && this.pendingPriority <= priority)) {
      this.sources.rejected(irq);
      return;
    }
    this.giveWay();
    this.show(irq, priority);
  }

  /** What is shown makes room. An IPI needs none: MFRR still has it. */
  private giveWay(): void {
    if (this.xisr !== 0 && this.xisr !== IPI) this.sources.rejected(this.xisr);
  }

  private show(irq: number, priority: number): void {
    this.xisr = irq;
    this.pendingPriority = priority;
    this.output = true;
  }

  setCppr(cppr: number): void {
    const before = this.cppr;
    this.cppr = cppr;
    if (cppr >= before) {
      if (this.xisr === 0) this.resend();
      return;
    }
    if (this.xisr === 0 || cppr > this.pendingPriority) return;
    const rejected = this.xisr;
    this.xisr = 0;
    this.pendingPriority = NONE;
    this.output = false;
    if (rejected !== IPI) this.sources.rejected(rejected);
  }

  setMfrr(mfrr: number): void {
    this.mfrr = mfrr;
    if (mfrr < this.cppr) this.checkIpi();
  }

  private checkIpi(): void {
    if (this.xisr !== 0 && this.pendingPriority <= this.mfrr) return;
    this.giveWay();
    this.show(IPI, this.mfrr);
  }

  /** The load of XIRR: with nothing pending, too, CPPR becomes the pending priority. */
  accept(): number {
    const { xirr } = this;
    this.output = false;
    this.cppr = this.pendingPriority;
    this.xisr = 0;
    this.pendingPriority = NONE;
    return xirr;
  }

  /** The store to XIRR. */
  eoi(xirr: number): void {
    this.cppr = xirr >>> 24;
    this.sources.ended(xirr & 0xff_ffff);
    if (this.xisr === 0) this.resend();
  }

  private resend(): void {
    if (this.mfrr < this.cppr) this.checkIpi();
    this.sources.resend();
  }
}
