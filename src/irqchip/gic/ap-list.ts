import { guarded, reads, shared, writes } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { VgicIrq } from "./vgic-irq.js";

/** Runs of the merge sort: 2^20 entries. */
const BINS = 20;

/**
 * The active and pending interrupts of one vCPU, in the order in which they were queued (gic-v3.md A9). Changes hold
 * `lock`; only {@link isEmpty} may be asked without it.
 */
export class ApList {
  /** The kernel's ap_list_lock; of two, the one of the lowest vCPU id is taken first. */
  readonly lock: Spinlock;
  head: VgicIrq | null = null;
  tail: VgicIrq | null = null;
  count = 0;
  /** Says without the lock whether anything is listed. */
  private occupied = false;
  private readonly bins: (VgicIrq | null)[] = new Array<VgicIrq | null>(BINS).fill(null);

  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "vgic_cpu->ap_list_lock");
  }

  *isEmpty(): Step<boolean> {
    yield reads(this, "occupied");
    return !this.occupied;
  }

  *append(irq: VgicIrq): Step<void> {
    irq.apList = this;
    irq.apNext = null;
    irq.apPrevious = this.tail;
    if (this.tail === null) this.head = irq;
    else this.tail.apNext = irq;
    this.tail = irq;
    if (this.count++ > 0) return;
    yield writes(this, "occupied");
    this.occupied = true;
  }

  *remove(irq: VgicIrq): Step<void> {
    if (irq.apPrevious === null) this.head = irq.apNext;
    else irq.apPrevious.apNext = irq.apNext;
    if (irq.apNext === null) this.tail = irq.apPrevious;
    else irq.apNext.apPrevious = irq.apPrevious;
    irq.apNext = null;
    irq.apPrevious = null;
    irq.apList = null;
    if (--this.count > 0) return;
    yield writes(this, "occupied");
    this.occupied = false;
  }

  /** Orders by `sortKey`, lowest first, stable; merges runs of powers of two, as the kernel's list_sort does. */
  sort(): void {
    const { bins } = this;
    let used = 0;
    let next = this.head;
    while (next !== null) {
      let run = next;
      next = run.apNext;
      run.apNext = null;
      let bin = 0;
      for (let earlier = bins[0]; earlier !== null; earlier = bins[bin]) {
        run = merge(earlier, run);
        bins[bin++] = null;
      }
      bins[bin] = run;
      if (bin >= used) used = bin + 1;
    }
    let sorted: VgicIrq | null = null;
    for (let bin = 0; bin < used; bin++) {
      const earlier = bins[bin];
      bins[bin] = null;
      if (earlier !== null) sorted = sorted === null ? earlier : merge(earlier, sorted);
    }
    this.head = sorted;
    let previous: VgicIrq | null = null;
    for (let irq = sorted; irq !== null; irq = irq.apNext) {
      irq.apPrevious = previous;
      previous = irq;
    }
    this.tail = previous;
  }

  /** The INTIDs in order, for tests and dumps. */
  intids(): number[] {
    const all: number[] = [];
    for (let irq = this.head; irq !== null; irq = irq.apNext) all.push(irq.intid);
    return all;
  }
}
shared(ApList, "occupied");
guarded(ApList, (list) => list.lock, "head", "tail", "count");

/** Merges two ordered chains of `apNext`; of equals, those of `earlier` come first. */
function merge(earlier: VgicIrq, later: VgicIrq): VgicIrq {
  let a: VgicIrq | null = earlier;
  let b: VgicIrq | null = later;
  const first = a.sortKey <= b.sortKey ? a : b;
  if (first === a) a = a.apNext;
  else b = b.apNext;
  let last = first;
  while (a !== null && b !== null) {
    if (a.sortKey <= b.sortKey) {
      last.apNext = a;
      last = a;
      a = a.apNext;
    } else {
      last.apNext = b;
      last = b;
      b = b.apNext;
    }
  }
  last.apNext = a ?? b;
  return first;
}
