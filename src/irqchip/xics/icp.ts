import { block, reads, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import { Lifetime } from "../../sim/lifetime.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { AtomicBitmap } from "./bitmap.js";
import { BLOCKS, MASKED, XICS_IPI } from "./constants.js";
import type { XicsVcpu } from "./contract.js";

const NEED_RESEND = 2;
const OUT = 1;

const cpprOf = (word: number): number => word >>> 24;
const mfrrOf = (word: number): number => (word >> 16) & 0xff;
const pendingOf = (word: number): number => (word >> 8) & 0xff;
const wordOf = (cppr: number, mfrr: number, pending: number, flags: number): number => (cppr << 24) | (mfrr << 16) | (pending << 8) | flags;

/** What a transaction displaced is below it; {@link Icp.requestIpi} sets it when a resend scan is due. */
export const RESEND_DUE = 1 << 30;
/** {@link Icp.tryToDeliver} did not admit. */
export const NOT_ADMITTED = -1;

/** How a changed presentation controller reaches its vCPU: the halves of xics.md 14 differ here. */
export interface Presenter {
  /** The external-interrupt request of `icp` is up. `isSelf`: its own vCPU made the change. */
  external(icp: Icp, isSelf: boolean): Step<void>;
}

/**
 * The presentation controller of one vCPU (xics.md 2.3). CPPR, MFRR, pending priority, XISR and two flags are one unit
 * of 64 bits, read whole and replaced only if nobody changed it meanwhile; every method is one such transaction (8.1).
 */
export class Icp {
  /** CPPR, MFRR, pending priority, flags: the most significant byte first. */
  private word = wordOf(0, MASKED, MASKED, 0);
  private xisr = 0;
  /** Blocks that may hold sources to be sent again here. */
  readonly resendMap: AtomicBitmap = new AtomicBitmap(BLOCKS);
  /** What the real-mode half of its vCPU left to virtual mode; null without one. */
  realMode: { readonly kicks: number; readonly notifications: number } | null = null;

  private readonly lifetime: Lifetime;

  /** @param server the number by which it is addressed (u32) */
  constructor(
    private readonly sim: Sim,
    readonly vcpu: XicsVcpu,
    readonly server: number,
  ) {
    this.lifetime = new Lifetime("presentation controller", server);
    this.lifetime.spans(this, this.resendMap);
  }

  /** Its vCPU, or the device, goes: who has found it before uses what is freed. */
  free(): void {
    this.lifetime.free();
  }

  /** Replaces the unit if it is still the old one; the external interrupt is asserted here, and never taken back (R8). */
  private *tryUpdate(oldWord: number, oldXisr: number, word: number, xisr: number, by: Presenter, isSelf: boolean): Step<boolean> {
    const out = xisr !== 0 && pendingOf(word) < cpprOf(word);
    yield writes(this, "unit");
    if (this.word !== oldWord || this.xisr !== oldXisr) return false;
    this.word = out ? word | OUT : word & ~OUT;
    this.xisr = xisr;
    if (this.sim.tracing) this.sim.emit(Ev.xics_icp, this.server, oldWord >>> 0, oldXisr, this.word >>> 0, xisr);
    if (out) yield* by.external(this, isSelf);
    else if (this.sim.hazards.lowerForeign) yield* this.vcpu.lowerExternal();
    return true;
  }

  /** 8.2: what was displaced (0: nothing), or {@link NOT_ADMITTED}. Equality loses. */
  *tryToDeliver(irq: number, priority: number, by: Presenter): Step<number> {
    for (;;) {
      yield reads(this, "unit");
      const { word, xisr } = this;
      const isAdmitted = cpprOf(word) > priority && mfrrOf(word) > priority && pendingOf(word) > priority;
      const isDone = isAdmitted
        ? yield* this.tryUpdate(word, xisr, wordOf(cpprOf(word), mfrrOf(word), priority, word & NEED_RESEND), irq, by, false)
        : yield* this.tryUpdate(word, xisr, word | NEED_RESEND, xisr, by, false);
      if (isDone) return isAdmitted ? xisr : NOT_ADMITTED;
    }
  }

  /** 8.5: the owner's priority falls, or an EOI sets it. True: a resend scan is due. */
  *lowerPriority(cppr: number, by: Presenter): Step<boolean> {
    for (;;) {
      yield reads(this, "unit");
      const { word, xisr } = this;
      const mfrr = mfrrOf(word);
      const showsIpi = mfrr < cppr && mfrr <= pendingOf(word);
      const pending = showsIpi ? mfrr : pendingOf(word);
      const isDone = yield* this.tryUpdate(word, xisr, wordOf(cppr, mfrr, pending, 0), showsIpi ? XICS_IPI : xisr, by, true);
      if (isDone) return (word & NEED_RESEND) !== 0;
    }
  }

  /**
   * The owner's priority rises: what was rejected, 0 for nothing.
   * @param cppr as {@link argument} has it
   */
  *raisePriority(cppr: number, by: Presenter): Step<number> {
    for (;;) {
      yield reads(this, "unit");
      const { word, xisr } = this;
      const isRejected = cppr <= pendingOf(word);
      const pending = isRejected ? MASKED : pendingOf(word);
      const isDone = yield* this.tryUpdate(word, xisr, wordOf(cppr & 0xff, mfrrOf(word), pending, word & NEED_RESEND), isRejected ? 0 : xisr, by, true);
      if (isDone) return isRejected ? xisr : 0;
    }
  }

  /** H_XIRR's transaction: the XIRR before it. With nothing pending nothing is written. */
  *accept(by: Presenter): Step<number> {
    for (;;) {
      yield reads(this, "unit");
      const { word, xisr } = this;
      const xirr = (cpprOf(word) << 24) | xisr;
      if (xisr === 0) return xirr;
      const isDone = yield* this.tryUpdate(word, xisr, wordOf(pendingOf(word), mfrrOf(word), MASKED, word & NEED_RESEND), 0, by, true);
      if (isDone) return xirr;
    }
  }

  /**
   * H_IPI's transaction: what was displaced, with {@link RESEND_DUE} where a scan is due.
   * @param mfrr as {@link argument} has it: above 0xff it raises nothing now
   */
  *requestIpi(mfrr: number, by: Presenter, isSelf: boolean): Step<number> {
    for (;;) {
      yield reads(this, "unit");
      const { word, xisr } = this;
      const isShown = mfrr < cpprOf(word) && mfrr <= pendingOf(word);
      const isScanned = mfrr > mfrrOf(word);
      const pending = isShown ? mfrr : pendingOf(word);
      const flags = isScanned ? 0 : word & NEED_RESEND;
      const isDone = yield* this.tryUpdate(word, xisr, wordOf(cpprOf(word), mfrr & 0xff, pending, flags), isShown ? XICS_IPI : xisr, by, isSelf);
      if (isDone) return (isShown ? xisr : 0) | (isScanned && (word & NEED_RESEND) !== 0 ? RESEND_DUE : 0);
    }
  }

  /** 12.2's transaction, the word known to be consistent. True: a resend scan is due. What was presented before is forgotten. */
  *restore(cppr: number, xisr: number, mfrr: number, pending: number, by: Presenter): Step<boolean> {
    for (;;) {
      yield reads(this, "unit");
      const { word: old, xisr: oldXisr } = this;
      const keepsResend = mfrr <= mfrrOf(old);
      const isDone = yield* this.tryUpdate(old, oldXisr, wordOf(cppr, mfrr, pending, keepsResend ? old & NEED_RESEND : 0), xisr, by, false);
      if (isDone) return !keepsResend && (old & NEED_RESEND) !== 0;
    }
  }

  /** Step 10 of 8.3, behind a full barrier: is the failed delivery still noted, or has a scan taken the note? */
  *needsResend(): Step<boolean> {
    yield reads(this, "unit");
    return (this.word & NEED_RESEND) !== 0;
  }

  /** The unit, into `into`. */
  *read(into: IcpState): Step<void> {
    yield reads(this, "unit");
    this.look(into);
  }

  /** {@link read} without a point: for inspection, when nothing runs. */
  look(into: IcpState): void {
    const { word } = this;
    into.cppr = cpprOf(word);
    into.mfrr = mfrrOf(word);
    into.pendingPriority = pendingOf(word);
    into.xisr = this.xisr;
    into.needResend = (word & NEED_RESEND) !== 0;
    into.out = (word & OUT) !== 0;
  }
}
block(Icp, "word", "xisr");

/** 12.2, but for the block of a source: may a word have these fields together? */
export function isConsistent(cppr: number, xisr: number, mfrr: number, pending: number): boolean {
  if (xisr === 0) return pending === MASKED;
  return pending < cppr && (xisr === XICS_IPI ? pending === mfrr : pending < mfrr);
}

/** Of KVM_REG_PPC_ICP_STATE's halves: would KVM_SET_ONE_REG take them, where the source's block exists? */
export const isRestorable = ({ hi, lo }: { readonly hi: number; readonly lo: number }): boolean => isConsistent(hi >>> 24, hi & 0xff_ffff, lo >>> 24, (lo >>> 16) & 0xff);

/** A copy of the unit. */
export class IcpState {
  cppr = 0;
  mfrr = 0;
  pendingPriority = 0;
  xisr = 0;
  needResend = false;
  out = false;

  /** XIRR as the guest sees it, int32. */
  get xirr(): number {
    return (this.cppr << 24) | this.xisr;
  }
}

/**
 * A register value as the comparisons of xics.md 9.1 need it, which do not truncate: the low byte, with bit 8 for
 * everything above it.
 */
export const argument = (lo: number, hi: number): number => (hi === 0 && lo >>> 0 <= 0xff ? lo : 0x100 | (lo & 0xff));
