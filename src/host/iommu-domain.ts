import { reads, shared, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import type { PinnedPages } from "./memory.js";

/** A run of I/O virtual addresses that reaches pinned pages. */
export interface IommuMapping {
  readonly iova: bigint;
  readonly size: bigint;
  readonly pages: PinnedPages;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
}

/** The page tables of one IOMMU context: mappings in ascending order. */
export class IommuDomain {
  private mappings: IommuMapping[] = [];

  constructor(
    readonly iommu: string,
    readonly enforcesCoherency: boolean,
  ) {}

  *map(mapping: IommuMapping): Step<void> {
    yield writes(this, "mappings");
    const at = this.mappings.findIndex((each) => each.iova > mapping.iova);
    this.mappings.splice(at < 0 ? this.mappings.length : at, 0, mapping);
  }

  /** Removes the mapping that begins at `iova`; DMA that comes later faults (host-irq.md 5.3). */
  *unmap(iova: bigint): Step<void> {
    yield writes(this, "mappings");
    const at = this.mappings.findIndex((each) => each.iova === iova);
    if (at >= 0) this.mappings.splice(at, 1);
  }

  /** The mapping of an address, or null: a translation fault. */
  *translate(iova: bigint): Step<IommuMapping | null> {
    yield reads(this, "mappings");
    return this.mappings.find((each) => iova >= each.iova && iova < each.iova + each.size) ?? null;
  }

  /** Bytes mapped, for tests and dumps. */
  get mappedBytes(): bigint {
    return this.mappings.reduce((sum, each) => sum + each.size, 0n);
  }
}
shared(IommuDomain, "mappings");
