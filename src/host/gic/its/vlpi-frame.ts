import {
  GICR_VLPI,
  GicrVlpi,
  propAddress,
  propIdBits,
  VPEND_DIRTY,
  VPEND_DOORBELL,
  VPEND_IDAI,
  VPEND_PENDING_LAST,
  VPEND_VALID,
  VPEND_VGRP0EN,
  VPEND_VGRP1EN,
  vpendAddress,
} from "../../../arch/gic/gicr-vlpi.js";
import { VpeRecord } from "./entries.js";
import type { HostRam } from "./host-ram.js";
import { type BestLpi, LpiSet } from "./lpi-set.js";
import { VpeLookup } from "./vpe-lookup.js";

/** Fields of GICR_VPENDBASER that keep what is written; Dirty is read only. */
const ADDRESS_40 = 0xffff0f80 | 0;
const KEPT_40 = VPEND_VALID | VPEND_IDAI | VPEND_PENDING_LAST | 0x070fffff;
const VPEID_41 = 0xffff;
const KEPT_41 = VPEND_VALID | VPEND_DOORBELL | VPEND_PENDING_LAST | VPEND_VGRP0EN | VPEND_VGRP1EN;
const MAX_ID_BITS = 16;
/** A redistributor that takes its time is done by this look at Dirty. */
const POLLS = 2;

/** CPUs with a vLPI that may be new to their guests, each at most once. */
export class VlpiChanges {
  /** Of all frames together. */
  misuses = 0;
  private readonly cpus: Int32Array;
  private readonly isMarked: Uint8Array;
  private count = 0;

  constructor(cpus: number) {
    this.cpus = new Int32Array(cpus);
    this.isMarked = new Uint8Array(cpus);
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  add(cpu: number): void {
    if (this.isMarked[cpu] !== 0) return;
    this.isMarked[cpu] = 1;
    this.cpus[this.count++] = cpu;
  }

  take(): number {
    const cpu = this.cpus[--this.count];
    this.isMarked[cpu] = 0;
    return cpu;
  }
}

/**
 * The VLPI frame of one GICv4 redistributor (gic-v4.md C1.2, C1.4): which vPE is resident, and its pending vLPIs. Each call
 * is part of one atomic access of the GIC.
 */
export class VlpiFrame {
  vpropbaserLow = 0;
  vpropbaserHigh = 0;
  vpendbaserLow = 0;
  vpendbaserHigh = 0;
  /** Dirty never clears: a fault to inject (hazard R15). */
  isStuck = false;
  /** Software changed a field under Valid, or wrote under Dirty: both are unpredictable. */
  misuses = 0;
  /** 4.1: GICR_VSGIPENDR. */
  sgiPending = 0;
  /** What {@link hosts} knows the resident vPE by, -1 without one. */
  private resident = -1;
  /** The pending vLPIs of the resident vPE. */
  private readonly set: LpiSet;
  /** Null: GICv4.0. */
  private readonly vpes: VpeLookup | null;
  /** Told when Dirty is set, for {@link settle} to come later; null: what Valid asks for is done with its write. */
  private onDirty: (() => void) | null = null;
  private isDirty = false;
  private polls = 0;

  constructor(
    private readonly ram: HostRam,
    is41: boolean,
    private readonly cpu = 0,
    private readonly changes: VlpiChanges | null = null,
  ) {
    this.set = new LpiSet(ram);
    this.vpes = is41 ? new VpeLookup(ram) : null;
  }

  get isValid(): boolean {
    return (this.vpendbaserHigh & VPEND_VALID) !== 0;
  }

  /** Dirty. */
  get isBusy(): boolean {
    return this.isDirty || this.isStuck;
  }

  /** Is this vPE resident here? 4.0 knows it by its pending table, 4.1 by its number. */
  hosts(vpeid: number, vpt: number): boolean {
    return this.resident === (this.vpes === null ? vpt : vpeid);
  }

  /** The best vLPI that the CPU may be signalled, -1. */
  get intid(): number {
    return this.set.intid;
  }

  /** Of that one. */
  get priority(): number {
    return this.set.priority;
  }

  get group(): 0 | 1 {
    return this.set.group;
  }

  /** The best of these groups alone (bit 0: group 0): what the guest has not on hides nothing. */
  bestIn(groups: number): BestLpi | null {
    return this.set.bestIn(groups);
  }

  read(row: number, isHighHalf: boolean): number {
    switch (row) {
      case GicrVlpi.VPROPBASER:
        return isHighHalf ? this.vpropbaserHigh : this.vpropbaserLow;
      case GicrVlpi.VPENDBASER:
        if (!isHighHalf) return this.vpendbaserLow;
        if (this.isDirty && ++this.polls === POLLS) this.settle();
        return this.vpendbaserHigh | (this.isStuck || this.isDirty ? VPEND_DIRTY : 0);
      case GicrVlpi.VSGIPENDR:
        return this.sgiPending;
      default:
        return 0;
    }
  }

  /** `offset` from the start of the frame; a 32-bit access reaches one half. */
  write(offset: number, size: number, lo: number, hi: number): void {
    const row = GICR_VLPI.find(offset, size);
    const isHighHalf = size === 4 && (offset & 4) !== 0;
    if (row === GicrVlpi.VPROPBASER) {
      if (!isHighHalf) this.vpropbaserLow = lo;
      if (size === 8 || isHighHalf) this.vpropbaserHigh = size === 8 ? hi : lo;
    } else if (row === GicrVlpi.VPENDBASER) {
      this.writeVpendbaser(isHighHalf ? this.vpendbaserLow : lo, size === 8 ? hi : isHighHalf ? lo : this.vpendbaserHigh);
    } else if (row === GicrVlpi.VSGIR && this.vpes !== null) this.sgiPending = this.querySgis(lo & VPEID_41);
  }

  private writeVpendbaser(lo: number, hi: number): void {
    if (this.isDirty) {
      this.countMisuse();
      this.settle();
    }
    const wasValid = this.isValid;
    const before = this.vpendbaserHigh;
    const low = this.vpes === null ? lo & ADDRESS_40 : lo & VPEID_41;
    let high = hi & (this.vpes === null ? KEPT_40 : KEPT_41);
    const willBeValid = (high & VPEND_VALID) !== 0;
    if (wasValid && willBeValid) {
      if (low !== this.vpendbaserLow || ((high ^ this.vpendbaserHigh) & ~VPEND_PENDING_LAST) !== 0) this.countMisuse();
      return;
    }
    if (willBeValid) high |= VPEND_PENDING_LAST; // RES1
    else if (wasValid) high &= ~VPEND_PENDING_LAST;
    this.vpendbaserLow = low;
    this.vpendbaserHigh = high;
    this.resident = !willBeValid ? -1 : this.vpes === null ? vpendAddress(low, high) : low;
    if (willBeValid || wasValid) this.parse();
    if (willBeValid || wasValid) this.askDoorbell(low, wasValid && (hi & VPEND_DOORBELL) !== 0 ? groupsOf(before) : 0);
  }

  /** 4.1: for which groups the vPE that leaves has its doorbell rung; the one that comes, for none. */
  private askDoorbell(vpeid: number, groups: number): void {
    if (this.vpes?.find(this.vpropbaserLow, this.vpropbaserHigh, vpeid)) VpeRecord.ask(this.ram, this.vpes.at, groups);
  }

  private countMisuse(): void {
    this.misuses++;
    if (this.changes !== null) this.changes.misuses++;
  }

  private parse(): void {
    this.isDirty = true;
    this.polls = 0;
    if (this.onDirty === null) this.settle();
    else this.onDirty();
  }

  /**
   * From now on the redistributor takes its time over the pending table whenever Valid changes: Dirty reads as 1 until
   * {@link settle}, or until the {@link POLLS}th look. A vLPI that comes for the resident vPE has it settle first.
   */
  parseLater(onDirty: () => void): void {
    this.onDirty = onDirty;
  }

  /** The pending table is read, or left with PendingLast said. Nothing where that has been done. */
  settle(): void {
    if (!this.isDirty) return;
    this.isDirty = false;
    if (this.isValid) {
      this.open();
      if (this.onDirty !== null) this.changes?.add(this.cpu);
      return;
    }
    // Whatever its priority: one that waits behind another counts, an acknowledged one is pending no more.
    if (this.set.isAnyEnabled) this.vpendbaserHigh |= VPEND_PENDING_LAST;
    this.set.close();
  }

  private open(): void {
    if (this.vpes === null) {
      const idBits = Math.min(propIdBits(this.vpropbaserLow) + 1, MAX_ID_BITS);
      this.set.open(vpendAddress(this.vpendbaserLow, this.vpendbaserHigh), propAddress(this.vpropbaserLow, this.vpropbaserHigh), idBits);
      return;
    }
    const vpe = this.vpes.find(this.vpropbaserLow, this.vpropbaserHigh, this.vpendbaserLow & VPEID_41);
    if (vpe !== null) this.set.open(vpe.vpt, vpe.configuration, vpe.idBits, groupsOf(this.vpendbaserHigh), true);
  }

  /** A vLPI of the resident vPE came, or was taken back: did that change anything? Beyond its tables it is dropped. */
  change(intid: number, isPending: boolean): boolean {
    if (this.isDirty) this.settle();
    const isChanged = this.set.change(intid, isPending);
    if (isChanged && isPending) this.changes?.add(this.cpu);
    return isChanged;
  }

  /** INV, VINVALL of the resident vPE. */
  invalidate(): void {
    if (this.isDirty) this.settle();
    this.set.choose();
    this.changes?.add(this.cpu);
  }

  /** GICR_VSGIR: the pending SGIs of a vPE. */
  private querySgis(vpeid: number): number {
    const vpe = this.vpes?.find(this.vpropbaserLow, this.vpropbaserHigh, vpeid) ?? null;
    return vpe === null || !this.ram.has(vpe.vpt, 4) ? 0 : this.ram.word(vpe.vpt) & 0xffff;
  }
}

/** 4.1: the groups that are on, bit 0 for group 0. */
const groupsOf = (high: number): number => ((high & VPEND_VGRP0EN) === 0 ? 0 : 1) | ((high & VPEND_VGRP1EN) === 0 ? 0 : 2);
