import type { Hazards } from "../../sim/hazards.js";
import type { VgicIrq } from "./vgic-irq.js";
import { VgicConfig } from "./vgic-irq.js";

/** What a list register says, whatever its layout. */
export const enum LrFlag {
  PENDING = 1,
  ACTIVE = 2,
  STATE = PENDING | ACTIVE,
  /** End-of-interrupt maintenance is requested; never with HW. */
  EOI = 4,
  HW = 8,
}

/** One layout of list registers: GICv2's 32 bits or GICv3's 64. */
export interface LrDriver {
  /** The image that the last `encode` made. */
  lo: number;
  hi: number;
  /** Makes the image of an interrupt with these flags; the caller holds its lock. */
  encode(irq: VgicIrq, flags: number): void;
  flagsOf(lo: number, hi: number): number;
  intidOf(lo: number): number;
  /** GICv2 SGIs: the source CPU; 0 elsewhere. */
  sourceOf(lo: number): number;
  /** Bits of the control register that only this version has: `sgis` listed. */
  controlBits(sgis: number): number;
}

/**
 * The state in which an interrupt goes into a list register (gic-v3.md A9.7). Pending and active together is only for
 * edge interrupts without a physical one: a level one is sampled again when it has ended, and a physical one keeps its
 * pending state in the physical distributor.
 */
export function lrFlags(irq: VgicIrq, hazards: Hazards): number {
  let flags = 0;
  let mayPend = true;
  if (irq.active) {
    flags = LrFlag.ACTIVE;
    if (irq.source !== 0) {
      flags |= LrFlag.EOI;
      mayPend = false;
    }
  }
  if (irq.hw && !irq.needsSwResample()) {
    flags |= LrFlag.HW;
    if (irq.active && !hazards.pendingActiveHw) mayPend = false; // K12
  } else if (irq.config === VgicConfig.LEVEL) {
    flags |= LrFlag.EOI;
    // The register would never be empty, so nobody would be told of the EOI, and the line stay high (Linux 67b5b673ad4d).
    if (irq.active && !hazards.levelActivePending) mayPend = false;
  }
  if (mayPend && irq.isPending()) {
    flags |= LrFlag.PENDING;
    if ((irq.source & (irq.source - 1)) !== 0) flags |= LrFlag.EOI;
  }
  return flags;
}

/** What the interrupt itself keeps once its image is in a list register (gic-v3.md A9.7). */
export function consume(irq: VgicIrq, flags: number): void {
  irq.onLr = true;
  if ((flags & LrFlag.PENDING) === 0) return;
  if (irq.config === VgicConfig.EDGE) irq.pendingLatch = false;
  if (irq.source !== 0) {
    irq.source &= irq.source - 1;
    if (irq.source !== 0) irq.pendingLatch = true;
  }
  if (irq.isMappedLevel()) irq.lineLevel = false;
}
