import { TYPER_PTA, TYPER_VLPIS } from "../../../arch/gic/gits.js";
import type { RedistLpis } from "./redist-lpis.js";
import { COLLECTION_ENTRY, collectionAt, DEVICE_ENTRY, DeviceEntry, InterruptEntry, ITT_ENTRY, VPE_ENTRY_40, VPE_ENTRY_41, VpeRecord } from "./entries.js";
import type { HostRam } from "./host-ram.js";
import type { ItsImplementation } from "./implementation.js";
import { ItsTable } from "./its-table.js";
import { changePendingBit, sgiConfigAddress } from "./lpi-set.js";
import type { PendingCaches } from "./pending-caches.js";
import type { VlpiFrame } from "./vlpi-frame.js";

/** What became of a command or a message. */
export const enum Outcome {
  DONE,
  /** A parameter is wrong: nothing happened. */
  SKIPPED,
  /** Memory could not be read: the queue stops until software asks to try again. */
  STALLED,
}

/** The redistributors, as an ITS reaches them. */
export interface Redistributors {
  readonly ram: HostRam;
  readonly cpus: number;
  lpis(cpu: number): RedistLpis;
  /** The VLPI frame of a GICv4 redistributor. */
  vlpis(cpu: number): VlpiFrame;
  /** Physical address of a CPU's: what RDbase names with GITS_TYPER.PTA. */
  redistAddress(cpu: number): number;
  /** The CPU whose redistributor stands there, -1 without. */
  redistAt(address: number): number;
  readonly is41: boolean;
  /** Null: each pending bit of a vPE is in memory at once. */
  readonly caches: PendingCaches | null;
}

/** End of the INTIDs that are LPIs: GICD_TYPER.IDbits is 16. */
const FIRST_LPI = 8192;
const END_LPI = 0x10000;
const VPE_ID_BITS = 16;

export const isLpi = (intid: number): boolean => intid >= FIRST_LPI && intid < END_LPI;

const field = (word: number, shift: number, bits: number): number => (word >>> shift) & ((1 << bits) - 1);

/**
 * The tables of a physical ITS in host memory, and the way of an event through them (gic-its.md B11, gic-v4.md C1.4). Checks
 * and answers are those of QEMU. Each call is part of one atomic access of the GIC.
 */
export class Translation {
  readonly ram: HostRam;
  readonly devices: ItsTable;
  readonly collections: ItsTable;
  readonly vpes: ItsTable;
  readonly eventBits: number;
  readonly isVirtual: boolean;
  readonly device = new DeviceEntry();
  readonly interrupt = new InterruptEntry();
  /** Where that entry lies. */
  interruptAt = 0;
  readonly vpe = new VpeRecord();
  vpeAt = 0;
  /** The last command was one that software must not send so: what became of it is this implementation's choice. */
  isUnpredictable = false;
  private readonly isAddress: boolean;

  constructor(
    readonly gic: Redistributors,
    private readonly implementation: ItsImplementation,
  ) {
    const { typerLow, typerHigh } = implementation;
    this.ram = gic.ram;
    this.eventBits = field(typerLow, 8, 5) + 1;
    this.isVirtual = (typerLow & TYPER_VLPIS) !== 0;
    this.isAddress = (typerLow & TYPER_PTA) !== 0;
    this.devices = new ItsTable(gic.ram, DEVICE_ENTRY, field(typerLow, 13, 5) + 1);
    this.collections = new ItsTable(gic.ram, COLLECTION_ENTRY, (typerHigh & 0x10) === 0 ? 16 : (typerHigh & 0xf) + 1);
    this.vpes = new ItsTable(gic.ram, gic.is41 ? VPE_ENTRY_41 : VPE_ENTRY_40, VPE_ID_BITS);
  }

  /** CPU that an RDbase names, -1 where there is none. */
  redistributor(rdbase: number, isVirtual = false): number {
    if (!this.isAddress) return (rdbase & 0xffff) < this.gic.cpus ? rdbase & 0xffff : -1;
    return this.gic.redistAt(rdbase * 0x10000 - (isVirtual ? this.implementation.vlpiRedistOffset : 0));
  }

  /** Loads the entry of a device. */
  findDevice(id: number): Outcome {
    if (id >= this.devices.entries) return Outcome.SKIPPED;
    const at = this.devices.find(id);
    if (at < 0) return at === -1 ? Outcome.SKIPPED : Outcome.STALLED;
    return this.device.load(this.ram, at) ? Outcome.DONE : Outcome.SKIPPED;
  }

  /** Finds the place of an event, its device loaded. */
  findSlot(event: number): Outcome {
    if (event >= this.device.events) return Outcome.SKIPPED;
    this.interruptAt = this.device.itt + event * ITT_ENTRY;
    return this.ram.has(this.interruptAt, ITT_ENTRY) ? Outcome.DONE : Outcome.STALLED;
  }

  /** Loads device and event. */
  findInterrupt(device: number, event: number): Outcome {
    let outcome = this.findDevice(device);
    if (outcome === Outcome.DONE) outcome = this.findSlot(event);
    if (outcome !== Outcome.DONE) return outcome;
    return this.interrupt.load(this.ram, this.interruptAt) ? Outcome.DONE : Outcome.SKIPPED;
  }

  /** CPU of a collection; -1: skip, -2: stall. */
  collectionTarget(icid: number): number {
    if (icid >= this.collections.entries) return -1;
    const at = this.collections.find(icid);
    if (at < 0) return at;
    const cpu = collectionAt(this.ram, at);
    return cpu < this.gic.cpus ? cpu : -1;
  }

  /** Loads a vPE that is mapped. */
  findVpe(vpeid: number): Outcome {
    if (vpeid >= this.vpes.entries) return Outcome.SKIPPED;
    this.vpeAt = this.vpes.find(vpeid);
    if (this.vpeAt < 0) return this.vpeAt === -1 ? Outcome.SKIPPED : Outcome.STALLED;
    return this.vpe.load(this.ram, this.vpeAt, this.gic.is41) && this.vpe.redistributor < this.gic.cpus ? Outcome.DONE : Outcome.SKIPPED;
  }

  /** Is this vLPI inside the tables of the vPE that is loaded? */
  fitsVpe(intid: number): boolean {
    return intid >= FIRST_LPI && intid < this.vpe.endLpi;
  }

  /** An event comes, or its pending state is taken back: INT, CLEAR, DISCARD and a device's message. */
  signal(device: number, event: number, isPending: boolean): Outcome {
    const outcome = this.findInterrupt(device, event);
    if (outcome !== Outcome.DONE) return outcome;
    if (this.interrupt.isVirtual) return this.isVirtual ? this.signalVirtual(isPending) : Outcome.SKIPPED;
    const cpu = this.collectionTarget(this.interrupt.target);
    if (cpu < 0) return cpu === -1 ? Outcome.SKIPPED : Outcome.STALLED;
    this.gic.lpis(cpu).change(this.interrupt.intid, isPending);
    return Outcome.DONE;
  }

  private signalVirtual(isPending: boolean): Outcome {
    const { interrupt, vpe } = this;
    const outcome = this.findVpe(interrupt.target);
    if (outcome !== Outcome.DONE) return outcome;
    if (!this.fitsVpe(interrupt.intid)) return Outcome.SKIPPED;
    this.signalVpe(interrupt.target, vpe, interrupt.intid, isPending, interrupt.doorbell);
    return Outcome.DONE;
  }

  /** A vLPI at its vPE's redistributor: signalled where the vPE is resident, else the doorbell rings (C1.4). */
  signalVpe(vpeid: number, vpe: VpeRecord, intid: number, isPending: boolean, doorbell: number): void {
    const frame = this.gic.vlpis(vpe.redistributor);
    if (frame.hosts(vpeid, vpe.vpt)) {
      frame.change(intid, isPending);
      return;
    }
    changePendingBit(this.ram, vpe.vpt, intid, isPending);
    if (isPending) this.ring(vpe, intid, doorbell);
  }

  /** An SGI of the vPE that is loaded (4.1): pending in its table, signalled where it is resident. */
  signalSgi(vpeid: number, sgi: number): void {
    const { ram, vpe } = this;
    const frame = this.gic.vlpis(vpe.redistributor);
    if (frame.hosts(vpeid, vpe.vpt)) frame.change(sgi, true);
    else {
      changePendingBit(ram, vpe.vpt, sgi, true);
      const configuration = ram.u8(sgiConfigAddress(vpe.vpt, sgi));
      this.ringDefault(configuration, (configuration & 2) === 0 ? 0 : 1);
    }
  }

  /** 4.0: on every event, enabled or not. 4.1: the default doorbell, once after each residency, for what is enabled in a group that is on. */
  private ring(vpe: VpeRecord, intid: number, doorbell: number): void {
    const { gic, ram } = this;
    if (gic.is41) this.ringDefault(ram.u8(vpe.configuration + intid - FIRST_LPI), 1);
    else if (isLpi(doorbell)) gic.lpis(vpe.redistributor).change(doorbell, true);
  }

  private ringDefault(configuration: number, group: 0 | 1): void {
    const { gic, ram, vpe } = this;
    if (!isLpi(vpe.doorbell) || (configuration & 1) === 0) return;
    if (VpeRecord.takeRing(ram, this.vpeAt, group)) gic.lpis(vpe.redistributor).change(vpe.doorbell, true);
  }
}
