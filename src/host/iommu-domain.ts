import { reads, shared, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { ENOMEM } from "../uapi/errno.js";
import type { ReservedRegion } from "./iommu-group.js";
import type { PinnedPages } from "./memory.js";

const DOORBELL_PAGE = 4096;

/** A page of doorbells in the window of an MSI cookie: what is written there reaches `address`. */
export interface DoorbellPage {
  readonly iova: number;
  readonly address: number;
}

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
  /** In the order of their first use; they live as long as the domain (host-irq.md 5.4). */
  private doorbells: DoorbellPage[] = [];

  /** @param msiWindow the MSI cookie: where doorbells are mapped; null where messages need no mapping */
  constructor(
    readonly iommu: string,
    readonly enforcesCoherency: boolean,
    private readonly msiWindow: ReservedRegion | null = null,
  ) {}

  /**
   * The I/O virtual address of a doorbell, whose page is mapped, for writes, on its first use; the address itself
   * without a cookie; -ENOMEM when the window is full.
   */
  *prepareDoorbell(address: number): Step<number> {
    if (this.msiWindow === null) return address;
    yield writes(this, "doorbells");
    const inPage = address % DOORBELL_PAGE;
    const known = this.doorbells.find((page) => page.address === address - inPage);
    if (known !== undefined) return known.iova + inPage;
    const iova = Number(this.msiWindow.start) + this.doorbells.length * DOORBELL_PAGE;
    if (iova + DOORBELL_PAGE - 1 > Number(this.msiWindow.end)) return -ENOMEM;
    this.doorbells.push({ iova, address: address - inPage });
    return iova + inPage;
  }

  /** The doorbell that a written address reaches; -1 where no doorbell is mapped. */
  *doorbellAt(iova: number): Step<number> {
    yield reads(this, "doorbells");
    const inPage = iova % DOORBELL_PAGE;
    for (let i = 0; i < this.doorbells.length; i++) if (this.doorbells[i].iova === iova - inPage) return this.doorbells[i].address + inPage;
    return -1;
  }

  /** The pages of doorbells, for tests and dumps. */
  *doorbellPages(): Step<readonly DoorbellPage[]> {
    yield reads(this, "doorbells");
    return this.doorbells;
  }

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
shared(IommuDomain, "mappings", "doorbells");
