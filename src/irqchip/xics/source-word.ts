import type { Step } from "../../sim/step.js";
import { reads, writes } from "../../sim/access.js";
import { EINVAL, ENOENT } from "../../uapi/errno.js";
import {
  KVM_XICS_LEVEL_SENSITIVE_HI,
  KVM_XICS_MASKED_HI,
  KVM_XICS_PENDING_HI,
  KVM_XICS_PRESENTED_HI,
  KVM_XICS_PRIORITY_MASK_HI,
  KVM_XICS_QUEUED_HI,
} from "../../uapi/powerpc.js";
import type { SourceWord } from "../sources.js";
import { BLOCK_SHIFT, FIRST_IRQ, INDEX_MASK, LAST_IRQ, MASKED, PQ_PRESENTED, PQ_QUEUED } from "./constants.js";
import { type IcsBlock, KIND_EXISTS, KIND_LSI } from "./ics-block.js";
import type { Xics } from "./xics.js";

// The 64-bit word of a source (xics.md 5.3, 5.4, 6.1): destination in the low half, the rest in the high one.

/** May a source have this number (u32)? */
export const isSourceNumber = (irq: number): boolean => irq >= FIRST_IRQ && irq <= LAST_IRQ;

/** Rules 4 to 7 of 5.3 on a source of `block`: 0, or -EINVAL for a destination that nobody is. */
export function* writeSource(xics: Xics, block: IcsBlock, irq: number, word: SourceWord): Step<number> {
  const { hi } = word;
  const server = word.lo >>> 0;
  const priority = hi & KVM_XICS_PRIORITY_MASK_HI;
  if (priority !== MASKED) {
    const icp = yield* xics.findServer(server);
    if (icp === null) return -EINVAL;
  }
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  block.server[index] = server;
  block.savedPriority[index] = priority;
  block.priority[index] = (hi & KVM_XICS_MASKED_HI) !== 0 ? MASKED : priority;
  yield* block.resend.clear(index);
  yield* block.maskedPending.clear(index);
  yield writes(block, "pq");
  block.pq[index] = ((hi & (KVM_XICS_PRESENTED_HI | KVM_XICS_PENDING_HI)) !== 0 ? PQ_PRESENTED : 0) | ((hi & KVM_XICS_QUEUED_HI) !== 0 ? PQ_QUEUED : 0);
  yield writes(block, "kind");
  block.kind[index] = KIND_EXISTS | ((hi & KVM_XICS_LEVEL_SENSITIVE_HI) !== 0 ? KIND_LSI : 0);
  yield writes(block, "end");
  if (block.end <= index) block.end = index + 1;
  yield* block.lock.unlock();
  if ((hi & KVM_XICS_PENDING_HI) !== 0) yield* xics.deliver((block.id << BLOCK_SHIFT) | index, null, false, xics.virtualMode);
  return 0;
}

/** 6.1 into `word`: 0, or -ENOENT of a source that does not exist. A message in an XISR is not pending. */
export function* readSource(xics: Xics, irq: number, word: SourceWord): Step<number> {
  const block = yield* xics.findBlock(irq);
  if (block === null) return -ENOENT;
  const index = irq & INDEX_MASK;
  yield* block.lock.lock();
  yield reads(block, "kind");
  const kind = block.kind[index];
  yield reads(block, "pq");
  const pq = block.pq[index];
  const isMasked = block.priority[index] === MASKED;
  const isLsi = (kind & KIND_LSI) !== 0;
  const isMarked = !isLsi && ((yield* block.maskedPending.has(index)) || (yield* block.resend.has(index)));
  const isPending = isLsi ? (pq & PQ_PRESENTED) !== 0 : isMarked;
  word.lo = block.server[index] | 0;
  word.hi =
    (isMasked ? KVM_XICS_MASKED_HI | block.savedPriority[index] : block.priority[index]) |
    (isLsi ? KVM_XICS_LEVEL_SENSITIVE_HI : 0) |
    (isPending ? KVM_XICS_PENDING_HI : 0) |
    ((pq & PQ_PRESENTED) !== 0 ? KVM_XICS_PRESENTED_HI : 0) |
    ((pq & PQ_QUEUED) !== 0 ? KVM_XICS_QUEUED_HI : 0);
  yield* block.lock.unlock();
  return (kind & KIND_EXISTS) !== 0 ? 0 : -ENOENT;
}
