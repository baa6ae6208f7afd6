import { reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import { Lifetime } from "../../sim/lifetime.js";
import { type Step, STRAIGHT } from "../../sim/step.js";
import { EEXIST, EINVAL } from "../../uapi/errno.js";
import { BLOCK_SHIFT, BLOCKS, INDEX_MASK, isSource, MASKED, PQ_PRESENTED, PQ_QUEUED } from "./constants.js";
import type { XicsVcpu, XicsVm } from "./contract.js";
import { Icp, IcpState, NOT_ADMITTED, type Presenter } from "./icp.js";
import { IcsBlock, KIND_EXISTS, KIND_LSI } from "./ics-block.js";

/** Server numbers below it are looked up in an array. */
const DENSE = 4096;

/** Virtual mode: a vCPU is kicked by whoever changed its presentation controller, itself left out. */
class VirtualMode implements Presenter {
  *external(icp: Icp, isSelf: boolean): Step<void> {
    yield* icp.vcpu.raiseExternal();
    if (!isSelf) yield* icp.vcpu.kickExternal();
  }
}

/**
 * The XICS of one VM (xics.md): sources in blocks that come into being when they are written to, one presentation
 * controller per connected vCPU, and the delivery between them, which holds at most one block's lock at a time (19).
 */
export class Xics {
  private readonly blocks: (IcsBlock | null)[] = new Array<IcsBlock | null>(BLOCKS).fill(null);
  /** One above the highest block that exists. */
  private blockEnd = 0;
  /** Presentation controllers by server number: those that user space numbers densely, and others. */
  private readonly servers: (Icp | undefined)[] = [];
  private readonly sparse = new Map<number, Icp>();
  readonly virtualMode: Presenter = new VirtualMode();

  private readonly hazards: Hazards;
  private readonly lifetime = new Lifetime("XICS");

  constructor(readonly vm: XicsVm) {
    this.lifetime.spans(this);
    this.hazards = vm.sim.hazards;
  }

  /** 5.2, rows 6 and 7: the presentation controller, or -EEXIST. */
  *connect(vcpu: XicsVcpu, server: number): Step<Icp | number> {
    yield writes(this, "servers");
    if ((this.servers[server] ?? this.sparse.get(server)) !== undefined) return -EEXIST;
    const icp = new Icp(this.vm.sim, vcpu, server);
    if (server < DENSE) this.servers[server] = icp;
    else this.sparse.set(server, icp);
    return icp;
  }

  *disconnect(icp: Icp): Step<void> {
    yield writes(this, "servers");
    if (icp.server < DENSE) this.servers[icp.server] = undefined;
    else this.sparse.delete(icp.server);
  }

  /** Null where no vCPU has this number. */
  *findServer(server: number): Step<Icp | null> {
    yield reads(this, "servers");
    const icp = server < this.servers.length ? this.servers[server] : this.sparse.get(server);
    return icp ?? null;
  }

  /** The block of a source (u32), null where none was created. */
  *findBlock(irq: number): Step<IcsBlock | null> {
    const id = irq >>> BLOCK_SHIFT;
    if (id >= BLOCKS) return null;
    yield reads(this, "blocks");
    return this.blocks[id];
  }

  /** The block of a source that may be created; two who find it missing get the same one (R23). */
  *findOrCreateBlock(irq: number): Step<IcsBlock> {
    const found = yield* this.findBlock(irq);
    if (found !== null) return found;
    yield* this.vm.lock.lock();
    const made = yield* this.createBlock(irq);
    yield* this.vm.lock.unlock();
    return made;
  }

  /** The block of a source that may be created, kvm.lock held. */
  *createBlock(irq: number): Step<IcsBlock> {
    const id = irq >>> BLOCK_SHIFT;
    // Its end first: a scan that finds a source marked in the block has to go so far. Linux has them in the other order.
    if (!this.hazards.blockBeforeEnd) yield* this.reach(id);
    yield writes(this, "blocks");
    const made = (this.hazards.createBlockTwice ? null : this.blocks[id]) ?? new IcsBlock(this.vm.sim, id);
    this.blocks[id] = made;
    if (this.hazards.blockBeforeEnd) yield* this.reach(id);
    return made;
  }

  private *reach(id: number): Step<void> {
    yield writes(this, "blockEnd");
    if (this.blockEnd <= id) this.blockEnd = id + 1;
  }

  /** The device's end: its sources go. The presentation controllers were detached before (R24). */
  *free(): Step<void> {
    yield writes(this, "blockEnd");
    const end = this.blockEnd;
    this.blockEnd = 0;
    for (let id = 0; id < end; id++) {
      yield writes(this, "blocks");
      const block = this.blocks[id];
      this.blocks[id] = null;
      if (block !== null) yield* block.free();
    }
    this.lifetime.free();
  }

  /**
   * An input event (7.1): 0, or -EINVAL of a source that does not exist.
   * @param isHigh the level of an LSI; a message when true, nothing when false, of an MSI
   */
  *input(irq: number, isHigh: boolean): Step<number> {
    const block = yield* this.findBlock(irq);
    if (block === null) return this.drop(irq, "no block", -EINVAL);
    const index = irq & INDEX_MASK;
    yield reads(block, "kind");
    block.assertAlive();
    const kind = block.kind[index];
    if ((kind & KIND_EXISTS) === 0) return this.drop(irq, "no source", -EINVAL);
    if ((kind & KIND_LSI) === 0 && !isHigh) return 0;
    const presents = (kind & KIND_LSI) === 0 ? yield* this.trigger(block, index) : yield* this.drive(block, index, isHigh);
    if (presents) yield* this.deliver(irq, null, false, this.virtualMode);
    return 0;
  }

  /** Is it an LSI that exists? */
  *isLevel(irq: number): Step<boolean> {
    const block = yield* this.findBlock(irq);
    if (block === null) return false;
    yield reads(block, "kind");
    return block.kind[irq & INDEX_MASK] === (KIND_EXISTS | KIND_LSI);
  }

  /** A message: P, and Q when P was set. True: it is to be presented. */
  private *trigger(block: IcsBlock, index: number): Step<boolean> {
    for (;;) {
      yield reads(block, "pq");
      const old = block.pq[index];
      const pq = ((old << 1) & (PQ_PRESENTED | PQ_QUEUED)) | PQ_PRESENTED;
      const isSwapped = yield* this.swapPq(block, index, old, pq);
      if (isSwapped) return pq === PQ_PRESENTED;
    }
  }

  /** A level: P follows the line; a high one that is known already is nothing new. */
  private *drive(block: IcsBlock, index: number, isHigh: boolean): Step<boolean> {
    for (;;) {
      yield reads(block, "pq");
      const old = block.pq[index];
      if (isHigh && (old & PQ_PRESENTED) !== 0) return false;
      const isSwapped = yield* this.swapPq(block, index, old, isHigh ? PQ_PRESENTED : 0);
      if (!isSwapped) continue;
      if (!isHigh && this.hazards.retractLevel) yield* this.retract(block, index);
      return isHigh;
    }
  }

  /** What R9 forbids: the presentation of a level that fell goes, and with it what has taken its place since the look. */
  private *retract(block: IcsBlock, index: number): Step<void> {
    yield* block.lock.lock();
    const server = block.server[index];
    yield* block.lock.unlock();
    const icp = yield* this.findServer(server);
    if (icp === null) return;
    const seen = new IcpState();
    yield* icp.read(seen);
    if (seen.xisr === ((block.id << BLOCK_SHIFT) | index)) yield* icp.restore(seen.cppr, 0, seen.mfrr, MASKED, this.virtualMode);
  }

  /**
   * 8.3: presents a source, then whatever that displaced, until nothing is displaced or nothing is admitted. A rejected
   * source always goes the whole way again: what was not admissible a moment ago may be by now (R5).
   * @param hint a presentation controller that is probably the source's
   * @param checksResend a scan's: deliver only what is still marked (R3)
   */
  *deliver(irq: number, hint: Icp | null, checksResend: boolean, by: Presenter): Step<void> {
    let next = irq;
    let icp = hint;
    let mustBeMarked = checksResend;
    let isRejected = false;
    while (isSource(next)) {
      const block = yield* this.findBlock(next);
      if (block === null) return;
      const index = next & INDEX_MASK;
      yield* block.lock.lock();
      const hasMoved = icp !== null && block.server[index] !== icp.server && !this.hazards.keepServerOfRejected;
      if (icp === null || hasMoved) icp = yield* this.findServer(block.server[index]); // R6
      if (icp === null) this.drop(next, "no server", 0);
      const isWanted = icp !== null && (!mustBeMarked || this.hazards.scanUnasked || (yield* block.resend.has(index)));
      if (icp === null || !isWanted) {
        yield* block.lock.unlock();
        return;
      }
      if (mustBeMarked) block.resends++;
      if (isRejected) block.rejects++;
      const displaced = isRejected && this.hazards.markRejected ? yield* this.markOnly(block, index, icp, by) : yield* this.present(block, index, icp, by);
      yield* block.lock.unlock();
      mustBeMarked = false;
      if (displaced === AGAIN) continue;
      if (isSource(displaced) && this.vm.sim.tracing) this.vm.sim.emit(Ev.xics_reject, displaced, next);
      isRejected = true;
      next = displaced;
    }
  }

  /** Steps 5 to 10, the block's lock held: what was displaced, 0 where nothing more is to be done, or {@link AGAIN}. */
  private *present(block: IcsBlock, index: number, icp: Icp, by: Presenter): Step<number> {
    const { sim } = this.vm;
    const irq = (block.id << BLOCK_SHIFT) | index;
    const priority = block.priority[index];
    yield* block.resend.clear(index);
    if (priority === MASKED) {
      if (!this.hazards.forgetMasked) yield* block.maskedPending.set(index);
      if (sim.tracing) sim.emit(Ev.xics_masked_pending, irq);
      return 0;
    }
    const displaced = yield* icp.tryToDeliver(irq, priority, by);
    if (sim.tracing) sim.emit(Ev.xics_deliver, irq, priority, icp.server, displaced !== NOT_ADMITTED ? 1 : 0);
    if (displaced !== NOT_ADMITTED) return displaced;
    yield* this.mark(block, index, icp);
    // Whoever consumed the note since then may have scanned before the bit was there (R1).
    const isNoted = this.hazards.forgetConsumedNote || (yield* icp.needsResend());
    if (isNoted) return 0;
    yield* block.resend.clear(index);
    return AGAIN;
  }

  /** What R5 forbids: a note and a mark, as if nobody could have taken meanwhile what displaced it. */
  private *markOnly(block: IcsBlock, index: number, icp: Icp, by: Presenter): Step<number> {
    yield* icp.tryToDeliver((block.id << BLOCK_SHIFT) | index, MASKED, by);
    return yield* this.mark(block, index, icp);
  }

  /** The mark first, then the bit of the map: who takes the bit finds the mark (R2). */
  private *mark(block: IcsBlock, index: number, icp: Icp): Step<number> {
    const isEarly = this.hazards.mapBeforeMark;
    if (isEarly) yield* icp.resendMap.set(block.id);
    yield* block.resend.set(index);
    if (!isEarly) yield* icp.resendMap.set(block.id);
    return 0;
  }

  /** 8.4: sources marked in the blocks of the map, in the order of their numbers and not of their priorities (R26). */
  *resend(icp: Icp, by: Presenter): Step<void> {
    yield reads(this, "blockEnd");
    const end = this.blockEnd;
    let blocks = "";
    for (let id = nextOf(icp.resendMap, 0, end); id < end; id = nextOf(icp.resendMap, id + 1, end)) {
      const isFlagged = yield* icp.resendMap.testAndClear(id);
      if (isFlagged && this.vm.sim.tracing) blocks += blocks === "" ? String(id) : ` ${id}`;
      const block = isFlagged ? yield* this.findBlock(id << BLOCK_SHIFT) : null;
      if (block !== null) yield* this.resendBlock(block, icp, by);
    }
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.xics_resend, icp.server, blocks);
  }

  private *resendBlock(block: IcsBlock, icp: Icp, by: Presenter): Step<void> {
    yield reads(block, "end");
    const { end } = block;
    for (let index = nextOf(block.resend, 0, end); index < end; index = nextOf(block.resend, index + 1, end)) {
      const isMarked = yield* block.resend.has(index);
      if (isMarked) yield* this.deliver((block.id << BLOCK_SHIFT) | index, icp, true, by);
    }
  }

  /** 7.2, an EOI of a source of a block by a server: is it to be presented again? */
  *endOf(block: IcsBlock, index: number, { server }: Icp): Step<boolean> {
    yield reads(block, "kind");
    block.assertAlive();
    const isLsi = (block.kind[index] & KIND_LSI) !== 0;
    for (;;) {
      yield reads(block, "pq");
      const old = block.pq[index];
      const pq = isLsi ? old : old >> 1;
      const isSwapped = isLsi || (yield* this.swapPq(block, index, old, pq));
      if (!isSwapped) continue;
      if (this.vm.sim.tracing) this.vm.sim.emit(Ev.xics_eoi, server, (block.id << BLOCK_SHIFT) | index, old, pq);
      return (pq & PQ_PRESENTED) !== 0;
    }
  }

  /** A trigger and an EOI meet here: without the compare a Q could be left behind that nobody ends (R11). */
  private *swapPq(block: IcsBlock, index: number, old: number, pq: number): Step<boolean> {
    yield writes(block, "pq");
    if (block.pq[index] !== old && !this.hazards.swapPqBlindly) return false;
    block.pq[index] = pq;
    return true;
  }

  private drop(irq: number, reason: string, result: number): number {
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.xics_drop, irq, reason);
    return result;
  }

  /** The first source from `from` on that exists, -1 for none: for inspection, as below. */
  nextExisting(from: number): number {
    for (let irq = from; irq < this.blockEnd << BLOCK_SHIFT; irq++) {
      const block = this.blocks[irq >> BLOCK_SHIFT];
      if (block === null || (irq & INDEX_MASK) >= block.end) irq |= INDEX_MASK;
      else if ((block.kind[irq & INDEX_MASK] & KIND_EXISTS) !== 0) return irq;
    }
    return -1;
  }

  /** Blocks that exist, ascending, and presentation controllers by number: for inspection, when nothing runs. */
  get createdBlocks(): readonly IcsBlock[] {
    return this.blocks.filter((block) => block !== null);
  }
  get connected(): readonly Icp[] {
    return [...this.servers.filter((icp) => icp !== undefined), ...this.sparse.values()];
  }
}
shared(Xics, "blocks", "blockEnd", "servers");

/** {@link Xics.present}: what noted the failure was consumed meanwhile; from the top. */
const AGAIN = -1;

/** Where a scan looks next: at every bit while others run, and straight at those that are set where nobody does. */
function nextOf(map: { next(from: number, end: number): number }, from: number, end: number): number {
  return STRAIGHT ? map.next(from, end) : from;
}
