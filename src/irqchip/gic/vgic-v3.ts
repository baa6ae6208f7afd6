import { LrV3 } from "../../arch/gic/list-register.js";
import { IchHcr } from "../../arch/gic/gich.js";
import { type LrDriver, LrFlag } from "./lr-driver.js";
import type { VgicIrq } from "./vgic-irq.js";

/** ICH_LR<n>_EL2 and what only ICH_HCR_EL2 has (gic-v3.md A9.3, A9.7). */
export class VgicV3 implements LrDriver {
  lo = 0;
  hi = 0;

  encode(irq: VgicIrq, flags: number): void {
    let hi = irq.priority << LrV3.PRIORITY_SHIFT;
    if (irq.group === 1) hi |= LrV3.GROUP1;
    if ((flags & LrFlag.PENDING) !== 0) hi |= LrV3.PENDING;
    if ((flags & LrFlag.ACTIVE) !== 0) hi |= LrV3.ACTIVE;
    if ((flags & LrFlag.EOI) !== 0) hi |= LrV3.EOI;
    if ((flags & LrFlag.HW) !== 0) hi |= LrV3.HW | (irq.hwintid & LrV3.PINTID_MASK);
    this.lo = irq.intid;
    this.hi = hi;
  }

  flagsOf(_lo: number, hi: number): number {
    let flags = (hi >>> LrV3.STATE_SHIFT) & LrFlag.STATE;
    if ((hi & LrV3.HW) !== 0) flags |= LrFlag.HW;
    else if ((hi & LrV3.EOI) !== 0) flags |= LrFlag.EOI;
    return flags;
  }

  intidOf(lo: number): number {
    return lo;
  }

  sourceOf(): number {
    return 0;
  }

  /**
   * ICC_DIR traps always: without ICH_VTR_EL2.TDS (the host of gic-v3.md A1) it cannot be had alone, and an interrupt
   * acknowledged on another vCPU may be ended here (A9.10).
   */
  controlBits(sgis: number): number {
    return sgis === 0 ? IchHcr.TDIR | IchHcr.VSGI_EOI_COUNT : IchHcr.TDIR;
  }
}
