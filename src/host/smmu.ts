import { block, writes } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import type { Hazards } from "../sim/hazards.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { DoorbellPort, IommuUnit } from "./iommu/unit.js";

/** Why a transaction was terminated, numbered as SMMUv3's events are (host-irq.md 5.3). */
export const SMMU_FAULTS = { C_BAD_STREAMID: 0x02, F_TRANSLATION: 0x10, F_PERMISSION: 0x13 } as const;

export type SmmuFault = keyof typeof SMMU_FAULTS;

/** One record: of the event queue on SMMUv3, of the fault registers on SMMUv2. */
export interface SmmuEvent {
  readonly fault: SmmuFault;
  readonly stream: number;
  readonly iova: number;
  readonly isWrite: boolean;
}

export interface SmmuOptions {
  /** Stream ids below this exist. Default 2^16. */
  streams?: number;
  /** Records that the event queue holds (SMMUv3). Default 512. */
  queueLength?: number;
}

/** What one SMMU of Arm's does with DMA that it does not let through (host-irq.md 5.1, 5.3). */
export class Smmu implements IommuUnit {
  readonly streams: number;
  readonly hazards: Hazards;
  doorbells: DoorbellPort | null = null;
  private readonly queueLength: number;
  /** SMMUv3's event queue, or what SMMUv2's contexts reported. */
  private readonly queue: SmmuEvent[] = [];
  /** Events that found the queue full. */
  private lost = 0;
  /** SMMUv2: transactions of streams that no context serves. */
  private globalFaults = 0;

  constructor(
    private readonly sim: Sim,
    readonly kind: "smmuv2" | "smmuv3",
    options: SmmuOptions = {},
  ) {
    this.hazards = sim.hazards;
    this.streams = options.streams ?? 2 ** 16;
    this.queueLength = options.queueLength ?? 512;
  }

  /** A stream without a domain: SMMUv3 aborts it without a record, so that only the trace has it; SMMUv2 records a global fault. */
  *unattached(stream: number, iova: number, isWrite: boolean): Step<void> {
    if (stream >= this.streams) yield* this.fault("C_BAD_STREAMID", stream, iova, isWrite);
    else if (this.kind === "smmuv2") {
      yield writes(this, "SMMU");
      this.globalFaults++;
      this.sim.emit(Ev.iommu_fault, stream, iova, isWrite ? 1 : 0, "global");
    } else this.sim.emit(Ev.iommu_fault, stream, iova, isWrite ? 1 : 0, "aborted");
  }

  *refused(stream: number, iova: number, isWrite: boolean, isMapped: boolean): Step<void> {
    yield* this.fault(isMapped ? "F_PERMISSION" : "F_TRANSLATION", stream, iova, isWrite);
  }

  *fault(fault: SmmuFault, stream: number, iova: number, isWrite: boolean): Step<void> {
    yield writes(this, "SMMU");
    if (this.queue.length < this.queueLength) this.queue.push({ fault, stream, iova, isWrite });
    else this.lost++;
    this.sim.emit(Ev.iommu_fault, stream, iova, isWrite ? 1 : 0, fault);
  }

  /** The records, and how many were lost, for tests and reports. */
  get events(): { readonly records: readonly SmmuEvent[]; readonly lost: number; readonly globalFaults: number } {
    return { records: this.queue, lost: this.lost, globalFaults: this.globalFaults };
  }
}
block(Smmu, "queue", "lost", "globalFaults");
