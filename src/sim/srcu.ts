import { block, blocked, counts, reads, shared, type Waitable, writes } from "./access.js";
import { current } from "./context.js";
import { Ev } from "./event.js";
import { LockError } from "./lock.js";
import type { Sim } from "./sim.js";
import { STRAIGHT, type Step } from "./step.js";

/** Few, so that they take no memory of their own: more where more grace periods come at once. */
const EPOCHS = 16;

/**
 * Sleepable read-copy-update: a wait for a grace period ends when every reader section entered before the wait began
 * has been left; later ones do not delay it (kvm-irq-core.md 0.4).
 */
export class Srcu {
  /** Open sections by the epoch in which they were entered, a ring. */
  private open = new Int32Array(EPOCHS);
  private epoch = 0;

  constructor(
    private readonly sim: Sim,
    readonly domain: string,
  ) {}

  /** Enters a reader section; the result goes to {@link readUnlock}. */
  *readLock(): Step<number> {
    yield counts(this, "epoch");
    const section = this.epoch;
    this.open[section & (this.open.length - 1)]++;
    if (!STRAIGHT) this.noteEntry(section);
    return section;
  }

  /** Leaves the section that {@link readLock} gave, by the context that entered it; sections may be left in any order. */
  *readUnlock(section: number): Step<void> {
    yield counts(this, "epoch");
    if (!STRAIGHT) this.noteExit(section);
    this.open[section & (this.open.length - 1)]--;
  }

  private noteEntry(section: number): void {
    const { sections, sectionIndices } = current();
    sections.push(this);
    sectionIndices.push(section);
  }

  private noteExit(section: number): void {
    const { name, sections, sectionIndices } = current();
    if (!sections.includes(this)) throw new LockError(`${name} leaves a section of ${this.domain} and is in none`);
    let at = sections.length - 1;
    while (at >= 0 && (sections[at] !== this || sectionIndices[at] !== section)) at--;
    if (at < 0) throw new LockError(`${name} leaves a section of ${this.domain} with ${section}, which is not what it was given when it entered`);
    sections.splice(at, 1);
    sectionIndices.splice(at, 1);
  }

  /**
   * Blocks for a grace period, and may so even where no reader is inside. From inside a section of this domain it would wait
   * for itself: reported (H33), in the straight build as the deadlock that it is.
   */
  *synchronize(): Step<void> {
    if (this.heldByCurrent()) throw new LockError(`${current().name} waits for ${this.domain} inside its own reader section`);
    this.sim.mightSleep();
    this.sim.emit(Ev.srcu_wait, this.domain);
    yield writes(this, "epoch");
    const grace = new GracePeriod(this, this.epoch);
    if (this.open[(this.epoch + 1) & (this.open.length - 1)] > 0) this.widen(); // the next epoch's place is still an older one's
    this.epoch++;
    if (!grace.isOpen()) yield* this.sim.wait(grace); // looked at by the access above
  }

  /** Is the running context inside a section of this domain? */
  heldByCurrent(): boolean {
    return current().sections.includes(this);
  }

  /** Have all sections been left that were entered up to an epoch? */
  isLeft(last: number): boolean {
    const mask = this.open.length - 1;
    for (let e = Math.max(0, this.epoch - mask); e <= last; e++) if (this.open[e & mask] > 0) return false;
    return true;
  }

  private widen(): void {
    const { length } = this.open;
    const wider = new Int32Array(2 * length);
    for (let e = Math.max(0, this.epoch + 1 - length); e <= this.epoch; e++) wider[e & (2 * length - 1)] = this.open[e & (length - 1)];
    this.open = wider;
  }
}
shared(Srcu, "epoch");

class GracePeriod implements Waitable {
  constructor(
    readonly watches: Srcu,
    private readonly epoch: number,
  ) {}

  isOpen(): boolean {
    return this.watches.isLeft(this.epoch);
  }
}

/** A consistent snapshot of what one writer at a time changes: readers retry while the count moved. */
export class SeqCount implements Waitable {
  private count = 0;

  get watches(): object {
    return this;
  }

  /** No writer is at work. */
  isOpen(): boolean {
    return (this.count & 1) === 0;
  }

  *writeBegin(): Step<void> {
    yield writes(this, "count");
    this.count++;
  }

  *writeEnd(): Step<void> {
    yield writes(this, "count");
    this.count++;
  }

  /** Spins while a writer is at work. Where every reader runs to its end no writer can be; an explorer lets the reader stand. */
  *readBegin(): Step<number> {
    yield blocked(this);
    return this.count;
  }

  *changedSince(begin: number): Step<boolean> {
    yield reads(this, "count");
    return this.count !== begin;
  }
}
block(SeqCount, "count");
