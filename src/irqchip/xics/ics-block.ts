import { guarded, reads, shared, writes } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { AtomicBitmap } from "./bitmap.js";
import { MASKED, SOURCES_PER_BLOCK } from "./constants.js";

// What a source is, by {@link IcsBlock.kind}.
export const KIND_EXISTS = 1;
export const KIND_LSI = 2;

/**
 * 1,024 sources (xics.md 2.2), created by the first write to one of them: 8 bytes each and a bit. `pq` and `resend` change
 * and are looked at without the lock.
 */
export class IcsBlock {
  readonly lock: Spinlock;
  readonly server = new Uint32Array(SOURCES_PER_BLOCK);
  readonly priority = new Uint8Array(SOURCES_PER_BLOCK).fill(MASKED);
  /** What int-on brings back. */
  readonly savedPriority = new Uint8Array(SOURCES_PER_BLOCK).fill(MASKED);
  /** A delivery was tried while the priority was {@link MASKED}. */
  readonly maskedPending: AtomicBitmap = new AtomicBitmap(SOURCES_PER_BLOCK);
  /** A delivery failed, or a presentation was rejected: it is to be tried again. */
  readonly resend: AtomicBitmap = new AtomicBitmap(SOURCES_PER_BLOCK);
  readonly pq = new Uint8Array(SOURCES_PER_BLOCK);
  readonly kind = new Uint8Array(SOURCES_PER_BLOCK);
  /** One above the highest index that a word or RTAS gave a priority: what has none is never marked. */
  end = 0;
  private readonly lifetime: Lifetime;
  /** Marked sources that scans tried again, and sources that something displaced: the debug listing's totals. */
  resends = 0;
  rejects = 0;

  constructor(
    sim: Sim,
    readonly id: number,
  ) {
    this.lock = new Spinlock(sim, "ics.lock");
    this.lifetime = new Lifetime("block of XICS sources", id);
    this.lifetime.spans(this, this.lock, this.resend);
  }

  /** A source gets a priority, {@link lock} held. A scan that looks at `end` before this comes before the mark, too, which its server's note outlives (R1). */
  *reach(index: number): Step<void> {
    yield reads(this, "end");
    if (this.end > index) return;
    yield writes(this, "end");
    this.end = index + 1;
  }

  /** Its device is released: whoever still holds it would touch freed memory. */
  *free(): Step<void> {
    yield writes(this, "kind");
    this.lifetime.free();
  }

  assertAlive(): void {
    this.lifetime.touch();
  }
}
shared(IcsBlock, "pq", "kind", "end");
guarded(IcsBlock, (block) => block.lock, "server", "priority", "savedPriority", "maskedPending", "resends", "rejects");
