import type { Hazards } from "../../sim/hazards.js";
import type { Step } from "../../sim/step.js";

/** The interrupt controllers that a write behind an IOMMU may reach: false where no doorbell is. */
export interface DoorbellPort {
  writeDoorbell(stream: number, addressHi: number, addressLo: number, data: number): Step<boolean>;
}

/**
 * One IOMMU of the machine, as DMA meets it: what it does with transactions that it does not let through. Arm has
 * {@link Smmu}, a PC {@link DmaRemapping}. Whoever owns the group is told beside it: {@link IommuGroup.tell}.
 */
export interface IommuUnit {
  /** Stream ids, on PCI requester ids, below this exist. */
  readonly streams: number;
  readonly hazards: Hazards;
  /** Given by the bus; null where no message leads anywhere. */
  doorbells: DoorbellPort | null;
  /** Of a stream that has no domain. */
  unattached(stream: number, iova: number, isWrite: boolean): Step<void>;
  /** `isMapped`: there is a page, which does not allow it. */
  refused(stream: number, iova: number, isWrite: boolean, isMapped: boolean): Step<void>;
}
