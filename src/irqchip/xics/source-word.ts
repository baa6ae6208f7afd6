import type { Step } from "../../sim/step.js";
import { reads, writes } from "../../sim/access.js";
import { EINVAL, ENOENT } from "../../uapi/errno.js";
import type { SourceWord } from "../sources.js";
import { BLOCK_SHIFT, FIRST_IRQ, INDEX_MASK, LAST_IRQ, MASKED, PQ_PRESENTED, PQ_QUEUED } from "./constants.js";
import { type IcsBlock, KIND_EXISTS, KIND_LSI } from "./ics-block.js";
import type { Xics } from "./xics.js";

// The 64-bit word of a source (xics.md 5.3, 5.4, 6.1): destination in the low half, the rest in the high one.

/** The word's own bits are P and Q, as they are kept. */
const OWN_PQ = PQ_PRESENTED | PQ_QUEUED;

/** May a source have this number (u32)? */
export const isSourceNumber = (irq: number): boolean => irq >= FIRST_IRQ && irq <= LAST_IRQ;

/** Rules 4 to 7 of 5.3 on a source of `block`: 0, or -EINVAL for a destination that nobody is. */
export function* writeSource(xics: Xics, block: IcsBlock, irq: number, word: SourceWord): Step<number> {
  const { destination: server, priority, isLevel, isMasked, isPending, own } = word;
  if (priority !== MASKED) {
    const icp = yield* xics.findServer(server);
    if (icp === null) return -EINVAL;
  }
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  block.server[index] = server;
  block.savedPriority[index] = priority;
  block.priority[index] = isMasked ? MASKED : priority;
  yield* block.resend.clear(index);
  yield* block.maskedPending.clear(index);
  yield writes(block, "pq");
  block.pq[index] = (own & OWN_PQ) | (isPending ? PQ_PRESENTED : 0);
  yield writes(block, "kind");
  block.kind[index] = KIND_EXISTS | (isLevel ? KIND_LSI : 0);
  block.assertAlive();
  yield* block.reach(index);
  yield* block.lock.unlock();
  if (isPending) yield* xics.deliver((block.id << BLOCK_SHIFT) | index, null, false, xics.virtualMode);
  return 0;
}

/** 6.1 into `word`: 0, or -ENOENT of a source that does not exist. A message in an XISR is not pending. */
export function* readSource(xics: Xics, irq: number, word: SourceWord): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -ENOENT;
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  yield reads(block, "kind");
  block.assertAlive();
  const kind = block.kind[index];
  yield reads(block, "pq");
  const pq = block.pq[index];
  const isMasked = block.priority[index] === MASKED;
  const isLsi = (kind & KIND_LSI) !== 0;
  const isMarked = !isLsi && ((yield* block.maskedPending.has(index)) || (yield* block.resend.has(index)));
  const isPending = isLsi ? (pq & PQ_PRESENTED) !== 0 : isMarked;
  word.compose(block.server[index], isMasked ? block.savedPriority[index] : block.priority[index], isLsi, isMasked, isPending, pq);
  yield* block.lock.unlock();
  return (kind & KIND_EXISTS) !== 0 ? 0 : -ENOENT;
}
