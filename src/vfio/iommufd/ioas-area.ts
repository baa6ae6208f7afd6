import type { Process } from "../../host/process.js";
import { EFAULT, EINVAL, EOVERFLOW } from "../../uapi/errno.js";
import { LAST_IOVA } from "../iommu/iova-ranges.js";
import { type Pinned, pinPages } from "../iommu/type1-dma.js";

const PAGE = 4096n;

/** User memory that areas lie over: pinned from the first domain that needs it to the last, on its process's account. */
export class IoasPages {
  private pinned: Pinned | null = null;
  private users = 0;

  constructor(
    readonly process: Process,
    readonly vaddr: bigint,
    readonly length: bigint,
    readonly isWritable: boolean,
  ) {}

  /** The pages, held; -EFAULT, of a device's registers too, which cannot be held (pin_user_pages); -ENOMEM. */
  take(): Pinned | number {
    if (this.pinned === null) {
      if (this.process.memory.hasDeviceIn(Number(this.vaddr), Number(this.vaddr + this.length))) return -EFAULT;
      const pinned = pinPages(this.process, this.vaddr, this.length, this.isWritable);
      if (typeof pinned === "number") return pinned;
      this.pinned = pinned;
    }
    this.users++;
    return this.pinned;
  }

  giveBack(): void {
    if (--this.users > 0 || this.pinned === null) return;
    this.process.memory.unpin(this.pinned.pages);
    this.process.lockedMemory -= this.pinned.lockedBytes;
    this.pinned = null;
  }
}

/** Pages from an address on; -EINVAL for none, -EOVERFLOW past the end of the address space. */
export function newPages(process: Process, vaddr: bigint, length: bigint, isWritable: boolean): IoasPages | number {
  if (length === 0n || length > LAST_IOVA - PAGE) return -EINVAL;
  return vaddr + length > LAST_IOVA ? -EOVERFLOW : new IoasPages(process, vaddr, length, isWritable);
}

/** A run of I/O virtual addresses over a part of some pages. */
export interface IoasArea {
  readonly iova: bigint;
  readonly length: bigint;
  readonly pages: IoasPages;
  /** Where in the pages it begins, bytes. */
  readonly offset: bigint;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
}
