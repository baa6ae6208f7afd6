import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/** A transaction that an IOMMU did not let through. */
export interface DmaFault {
  /** Number of the IOMMU group, and the stream or requester id in it. */
  readonly group: number;
  readonly stream: number;
  readonly iova: number;
  readonly isWrite: boolean;
  /** Nothing is mapped there; what is mapped does not allow it; the group has no address space at all; another device's registers are mapped, and do not answer. */
  readonly reason: "unmapped" | "permission" | "blocked" | "unanswered";
}

const LENGTH = 512;

/**
 * The faults of the groups that one user has, oldest first, as far as they fit. Linux keeps them in the kernel's log
 * (host-irq.md 5.3); issue and review want them told to the owner, who alone can know what they mean.
 */
export class DmaFaults {
  private readonly queue: DmaFault[] = [];
  /** Faults that found no room. */
  private lost = 0;

  *add(fault: DmaFault): Step<void> {
    yield writes(this, "DMA faults");
    if (this.queue.length < LENGTH) this.queue.push(fault);
    else this.lost++;
  }

  /** The oldest goes out; null where there is none. `left` are there still; `lost` is counted from 0 again. */
  *take(): Step<{ readonly fault: DmaFault; readonly left: number; readonly lost: number } | null> {
    yield writes(this, "DMA faults");
    const fault = this.queue.shift();
    if (fault === undefined) return null;
    const { lost } = this;
    this.lost = 0;
    return { fault, left: this.queue.length, lost };
  }
}
block(DmaFaults, "queue", "lost");
