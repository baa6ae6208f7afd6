import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { INDEX_MASK, MASKED } from "./constants.js";
import type { IcsBlock } from "./ics-block.js";
import type { Xics } from "./xics.js";

// What RTAS asks of the sources' external interrupt vector entries (xics.md 9.2). A source's block must exist, the source
// itself need not: the record of one that does not changes all the same. Each returns 0 or -EINVAL.

/** Server and priority of an entry. */
export class XiveEntry {
  server = 0;
  priority = 0;
}

/**
 * Sets an entry, under the block's lock. True: what was held back is to be delivered. The mark goes together with the
 * decision, so that no scan delivers it a second time (R4).
 * @param priority as the guest gave it: stored as a byte, compared whole
 */
function* writeEntry(xics: Xics, block: IcsBlock, index: number, server: number, priority: number, saved: number): Step<boolean> {
  block.server[index] = server;
  block.priority[index] = priority;
  block.savedPriority[index] = saved;
  yield* block.reach(index);
  if (priority === MASKED) return false;
  const isHeldBack = (yield* block.maskedPending.has(index)) || (yield* block.resend.has(index));
  if (!isHeldBack) return false;
  yield* block.maskedPending.clear(index);
  if (!xics.vm.sim.hazards.entryKeepsMark) yield* block.resend.clear(index);
  return true;
}

/** ibm,set-xive. */
export function* setXive(xics: Xics, irq: number, server: number, priority: number): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -EINVAL;
  const icp = yield* xics.findServer(server);
  if (icp === null) return -EINVAL;
  yield* block.lock.lock();
  const delivers = yield* writeEntry(xics, block, irq & INDEX_MASK, server, priority, priority);
  yield* block.lock.unlock();
  if (delivers) yield* xics.deliver(irq, icp, false, xics.virtualMode);
  return 0;
}

/** ibm,get-xive: the current priority, {@link MASKED} while masked. */
export function* getXive(xics: Xics, irq: number, into: XiveEntry): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -EINVAL;
  yield* block.lock.lock();
  into.server = block.server[irq & INDEX_MASK];
  into.priority = block.priority[irq & INDEX_MASK];
  yield* block.lock.unlock();
  return 0;
}

/**
 * ibm,int-off. A second one saves the mask itself: int-on then leaves it masked (R13). Server and priority are read under the
 * lock they are written under, so that a source's word is set before or behind the call (D7). Linux reads them before it.
 */
export function* intOff(xics: Xics, irq: number): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -EINVAL;
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  const server = block.server[index];
  const priority = block.priority[index];
  if (xics.vm.sim.hazards.entryReadEarly) {
    yield* block.lock.unlock();
    yield* block.lock.lock();
  }
  yield* writeEntry(xics, block, index, server, MASKED, priority);
  yield* block.lock.unlock();
  return 0;
}

/** ibm,int-on: the stored server must be somebody. What is written is what the lock then finds, as of {@link intOff}. */
export function* intOn(xics: Xics, irq: number): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -EINVAL;
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  const seenServer = block.server[index];
  const seenSaved = block.savedPriority[index];
  yield* block.lock.unlock();
  const icp = yield* xics.findServer(seenServer);
  if (icp === null) return -EINVAL;
  yield* block.lock.lock();
  const { entryReadEarly } = xics.vm.sim.hazards;
  const saved = entryReadEarly ? seenSaved : block.savedPriority[index];
  const delivers = yield* writeEntry(xics, block, index, entryReadEarly ? seenServer : block.server[index], saved, saved);
  yield* block.lock.unlock();
  if (delivers) yield* xics.deliver(irq, icp, false, xics.virtualMode);
  return 0;
}
