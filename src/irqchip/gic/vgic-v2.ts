import { LrV2, lr2Vintid } from "../../arch/gic/list-register.js";
import { type LrDriver, LrFlag } from "./lr-driver.js";
import type { VgicIrq } from "./vgic-irq.js";

/** GICH_LR<n>: the same rules in 32 bits, with the source CPU of an SGI (host-irq.md 2.3, gic-v3.md A9.7). */
export class VgicV2 implements LrDriver {
  lo = 0;
  hi = 0;

  encode(irq: VgicIrq, flags: number): void {
    let lr = irq.intid | ((irq.priority >> 3) << LrV2.PRIORITY_SHIFT);
    if (irq.group === 1) lr |= LrV2.GROUP1;
    if ((flags & LrFlag.PENDING) !== 0) lr |= LrV2.PENDING;
    if ((flags & LrFlag.ACTIVE) !== 0) lr |= LrV2.ACTIVE;
    if ((flags & LrFlag.EOI) !== 0) lr |= LrV2.EOI;
    if ((flags & LrFlag.HW) !== 0) lr |= LrV2.HW | (irq.hwintid << LrV2.PINTID_SHIFT);
    if (irq.isSgi()) lr |= ((flags & LrFlag.PENDING) !== 0 ? lowestSource(irq.source) : irq.activeSource) << LrV2.CPUID_SHIFT;
    this.lo = lr;
  }

  flagsOf(lo: number): number {
    let flags = (lo >>> LrV2.STATE_SHIFT) & LrFlag.STATE;
    if ((lo & LrV2.HW) !== 0) flags |= LrFlag.HW;
    else if ((lo & LrV2.EOI) !== 0) flags |= LrFlag.EOI;
    return flags;
  }

  intidOf(lo: number): number {
    return lr2Vintid(lo);
  }

  sourceOf(lo: number): number {
    return (lo & LrV2.CPUID_MASK) >>> LrV2.CPUID_SHIFT;
  }

  controlBits(): number {
    return 0;
  }
}

const lowestSource = (sources: number): number => 31 - Math.clz32(sources & -sources);
