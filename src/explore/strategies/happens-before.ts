import { AccessKind } from "../../sim/access.js";
import { conflicts, decides, Footprint } from "../footprint.js";
import { lowest } from "../strategy.js";
import { ACTORS } from "../trial.js";

/** A place at which another order was possible. */
export interface Reversal {
  /** The step before which the other order begins. */
  readonly depth: number;
  /** Who could begin it, as bits: one of them is enough. */
  readonly initials: number;
}

/**
 * The steps of one execution and the order that their conflicts put them in, as vector clocks: of each step, how many
 * steps of the execution it must follow, by actor. Finds the races: pairs of conflicting steps that nothing else puts in order.
 */
export class HappensBefore {
  readonly prints: Footprint[] = [];
  /** Who could move before each step, as bits; and whose context was woken and not entered yet. */
  private readonly enabled: number[] = [];
  private readonly ready: number[] = [];
  private readonly movers: number[] = [];
  /** For each step and actor: 1 + the actor's last step that comes before it, or is it; 0 for none. */
  private clocks = new Int32Array(64 * ACTORS);
  /** The actor's last step, -1 for none. */
  private readonly last = new Int32Array(ACTORS);
  private readonly clock = new Int32Array(ACTORS);
  private readonly firstOf = new Int32Array(ACTORS);
  private length = 0;

  /** Forgets the steps from `depth` on. */
  cut(depth: number): void {
    this.length = Math.min(this.length, depth);
    this.last.fill(-1);
    for (let i = 0; i < this.length; i++) this.last[this.movers[i]] = i;
  }

  /** A footprint for step `depth` to fill. */
  printFor(depth: number): Footprint {
    while (this.prints.length <= depth) this.prints.push(new Footprint());
    return this.prints[depth];
  }

  /** Takes in the step whose footprint is filled, and reports its races. */
  add(mover: number, enabled: number, ready: number, races: (reversal: Reversal) => void): void {
    const at = this.length;
    this.enabled[at] = enabled;
    this.ready[at] = ready;
    this.movers[at] = mover;
    if (this.clocks.length < (at + 1) * ACTORS) this.grow();
    const print = this.prints[at];
    this.raceWait(at, mover, print, races);
    this.order(at, mover, print, races);
    const row = at * ACTORS;
    for (let a = 0; a < ACTORS; a++) this.clocks[row + a] = this.clock[a];
    this.clocks[row + mover] = at + 1;
    this.last[mover] = at;
    this.length = at + 1;
  }

  /** An actor that cannot go on at the end waits for something: what may have shut it out is a race too. */
  stuck(mover: number, print: Footprint, races: (reversal: Reversal) => void): void {
    if (print.enters === 0 || this.isCancelled(print.enters)) this.raceWait(this.length, mover, print, races);
  }

  private isCancelled(context: number): boolean {
    for (let i = 0; i < this.length; i++) if ((this.prints[i].cancels & context) !== 0) return true;
    return false;
  }

  private grow(): void {
    const wider = new Int32Array(this.clocks.length * 2);
    wider.set(this.clocks);
    this.clocks = wider;
  }

  private startClock(mover: number): void {
    const last = this.last[mover];
    if (last < 0) this.clock.fill(0);
    else for (let a = 0; a < ACTORS; a++) this.clock[a] = this.clocks[last * ACTORS + a];
  }

  private join(step: number): void {
    const row = step * ACTORS;
    for (let a = 0; a < ACTORS; a++) if (this.clocks[row + a] > this.clock[a]) this.clock[a] = this.clocks[row + a];
  }

  private isAfter(step: number, earlier: number): boolean {
    return this.clocks[step * ACTORS + this.movers[earlier]] > earlier;
  }

  /** Leaves in `clock` what comes before the step, and reports the races of its unconditional part. */
  private order(at: number, mover: number, print: Footprint, races: (reversal: Reversal) => void): void {
    this.startClock(mover);
    for (let i = at - 1; i >= 0; i--) {
      const who = this.movers[i];
      if (who === mover || this.clock[who] > i) continue;
      const other = this.prints[i];
      if (!conflicts(other, print)) continue;
      if (!decides(other, print)) this.race(i, at, mover, print, races);
      this.join(i);
    }
  }

  /**
   * A lock, a condition or a wake: what let the step through is no race, what it could have come before is. Such a step lies further
   * back, so the order that the steps in between make is not asked, but only that of the waiter's own last step.
   */
  private raceWait(at: number, mover: number, print: Footprint, races: (reversal: Reversal) => void): void {
    if (!print.isConditional) return;
    this.startClock(mover);
    for (let i = at - 1; i >= 0; i--) {
      const who = this.movers[i];
      const other = this.prints[i];
      if (who === mover || this.clock[who] > i || !decides(other, print)) continue;
      if (print.kind === AccessKind.ACQUIRE && other.kind === AccessKind.RELEASE) continue;
      if (this.cannotComeBefore(i, mover, print)) continue;
      this.race(i, at, mover, print, races);
      this.join(i);
    }
  }

  /** Was the mover waiting before step `i`, or not woken, with nothing else on the way that could have let it through? */
  private cannotComeBefore(i: number, mover: number, print: Footprint): boolean {
    const could = print.enters !== 0 ? this.ready[i] : this.last[mover] >= i ? -1 : this.enabled[i];
    if ((could & (1 << mover)) !== 0) return false;
    for (let k = i + 1; k < this.length; k++) if (!this.isAfter(k, i) && conflicts(this.prints[k], print)) return false;
    return true;
  }

  /**
   * Steps `i` and `at` may come in the other order: then the steps after `i` that need not follow it come first. Reports
   * those of them that can begin (the initials of Abdulla et al.).
   */
  private race(i: number, at: number, mover: number, print: Footprint, races: (reversal: Reversal) => void): void {
    const { firstOf } = this;
    firstOf.fill(-1);
    let initials = 0;
    let seen = 0;
    for (let k = i + 1; k < at; k++) {
      const who = this.movers[k];
      if (this.isAfter(k, i) || (seen & (1 << who)) !== 0) continue;
      if (!this.followsAny(k, seen)) initials |= 1 << who;
      firstOf[who] = k;
      seen |= 1 << who;
    }
    if ((seen & (1 << mover)) === 0 && !this.followsSeen(mover, at, i, print, seen)) initials |= 1 << mover;
    initials &= this.enabled[i];
    if (initials !== 0) races({ depth: i, initials });
  }

  private followsAny(step: number, seen: number): boolean {
    for (let rest = seen; rest !== 0; rest &= rest - 1) if (this.clocks[step * ACTORS + lowest(rest)] > this.firstOf[lowest(rest)]) return true;
    return false;
  }

  /** Must the last step of the other order follow one of the others of it? */
  private followsSeen(mover: number, at: number, i: number, print: Footprint, seen: number): boolean {
    const last = this.last[mover];
    if (last >= 0 && this.followsAny(last, seen)) return true;
    for (let k = i + 1; k < at; k++) if (!this.isAfter(k, i) && conflicts(this.prints[k], print)) return true;
    return false;
  }
}
