import { block, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { DoorbellPort, IommuUnit } from "../iommu/unit.js";

/** VT-d 7.1.3, of what translates without PASIDs: why a DMA is blocked. */
export const DMA_REMAPPING_FAULTS = { ROOT_NOT_PRESENT: 0x1, CONTEXT_NOT_PRESENT: 0x2, NO_WRITE: 0x5, NO_READ: 0x6 } as const;

export type DmaRemappingFault = keyof typeof DMA_REMAPPING_FAULTS;

/** One fault recording register (VT-d 11.4.14). */
export interface DmaRemappingRecord {
  readonly reason: DmaRemappingFault;
  readonly requesterId: number;
  /** Of the page. */
  readonly address: number;
  readonly isWrite: boolean;
}

export interface DmaRemappingOptions {
  /** Fault recording registers; default 8. */
  registers?: number;
}

const PAGE = 4096;

/** What VT-d's DMA remapping does with what it blocks (VT-d 7): one record each, as far as there are registers. */
export class DmaRemapping implements IommuUnit {
  readonly streams = 2 ** 16;
  readonly hazards: Hazards;
  doorbells: DoorbellPort | null = null;
  private readonly registers: number;
  private readonly records: DmaRemappingRecord[] = [];
  /** FSTS_REG.PFO: a fault found no register, and is known no more. */
  private hasOverflown = false;

  constructor(
    private readonly sim: Sim,
    options: DmaRemappingOptions = {},
  ) {
    this.hazards = sim.hazards;
    this.registers = options.registers ?? 8;
  }

  /** The driver blocks a requester by taking its context entry. */
  *unattached(requesterId: number, iova: number, isWrite: boolean): Step<void> {
    yield* this.fault(requesterId < this.streams ? "CONTEXT_NOT_PRESENT" : "ROOT_NOT_PRESENT", requesterId, iova, isWrite);
  }

  /** A page that is not there allows nothing: one reason for both. */
  *refused(requesterId: number, iova: number, isWrite: boolean): Step<void> {
    yield* this.fault(isWrite ? "NO_WRITE" : "NO_READ", requesterId, iova, isWrite);
  }

  private *fault(reason: DmaRemappingFault, requesterId: number, iova: number, isWrite: boolean): Step<void> {
    yield writes(this, "VT-d faults");
    if (this.records.length < this.registers) this.records.push({ reason, requesterId, address: iova - (iova % PAGE), isWrite });
    else this.hasOverflown = true;
    this.sim.emit(Ev.iommu_fault, requesterId, iova, isWrite ? 1 : 0, reason);
  }

  /** The registers, for tests and reports. */
  get events(): { readonly records: readonly DmaRemappingRecord[]; readonly hasOverflown: boolean } {
    return { records: this.records, hasOverflown: this.hasOverflown };
  }
}
block(DmaRemapping, "records", "hasOverflown");
