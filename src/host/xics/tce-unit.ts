import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { Hazards } from "../../sim/hazards.js";
import type { DoorbellPort, IommuUnit } from "../iommu/unit.js";

/** What a Power host bridge does with DMA that no entry of its tables lets through: it ends there. The freeze of EEH that follows is not modelled. */
export class TceUnit implements IommuUnit {
  readonly streams = 2 ** 16;
  readonly hazards: Hazards;
  doorbells: DoorbellPort | null = null;

  constructor(private readonly sim: Sim) {
    this.hazards = sim.hazards;
  }

  *unattached(requesterId: number, iova: number, isWrite: boolean): Step<void> {
    this.sim.emit(Ev.iommu_fault, requesterId, iova, isWrite ? 1 : 0, "no table");
  }

  *refused(requesterId: number, iova: number, isWrite: boolean, isMapped: boolean): Step<void> {
    this.sim.emit(Ev.iommu_fault, requesterId, iova, isWrite ? 1 : 0, isMapped ? "TCE permission" : "no TCE");
  }
}
