import { BLOCK_SHIFT, BLOCKS, PQ_PRESENTED, PQ_QUEUED, SOURCES_PER_BLOCK } from "./constants.js";
import { type Icp, IcpState, isConsistent } from "./icp.js";
import { type IcsBlock, KIND_EXISTS, KIND_LSI } from "./ics-block.js";
import type { Xics } from "./xics.js";

/** What the debug listing shows of one presentation controller (xics.md 15). */
export interface IcpInspection {
  readonly server: number;
  readonly cppr: number;
  readonly mfrr: number;
  readonly pendingPriority: number;
  readonly xisr: number;
  readonly needResend: boolean;
  readonly out: boolean;
  /** Would its word be taken back? Not where an IPI is presented whose MFRR has changed since (12.4). */
  readonly isRestorable: boolean;
  /** Numbers of the blocks in its resend map. */
  readonly resendBlocks: readonly number[];
}

/** What it shows of one source. */
export interface SourceInspection {
  readonly irq: number;
  /** RTAS changes slots of an existing block whether or not somebody created the source. */
  readonly exists: boolean;
  readonly isLsi: boolean;
  readonly server: number;
  readonly priority: number;
  readonly savedPriority: number;
  /** "--", "P-", "-Q" or "PQ". */
  readonly pq: string;
  readonly resend: boolean;
  readonly maskedPending: boolean;
}

/** A controller as it stands between two steps. */
export interface XicsInspection {
  readonly icps: readonly IcpInspection[];
  readonly sources: readonly SourceInspection[];
  readonly totals: XicsTotals;
}

/** What has happened since the controller was created. */
export interface XicsTotals {
  /** Hypercalls that real mode left to virtual mode: to kick another vCPU, to tell acknowledge listeners. */
  readonly realModeKicks: number;
  readonly realModeNotifications: number;
  /** Sources that resend scans tried again, and sources that another one displaced or a raised priority rejected. */
  readonly resends: number;
  readonly rejects: number;
}

/**
 * Numbers of the sources that exist, ascending, each looked up when it is asked for: what a VMM that did not keep its own
 * list moves (4.4). It goes on correctly when sources are created meanwhile.
 */
export class ExistingSources implements Iterable<number>, Iterator<number> {
  private next_ = 0;

  constructor(private readonly xics: Xics) {}

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<number, undefined> {
    const found = this.xics.nextExisting(this.next_);
    if (found < 0) return { done: true, value: undefined };
    this.next_ = found + 1;
    return { done: false, value: found };
  }
}

/**
 * The whole state, nothing changed by the look.
 * @param all also the slots of existing blocks whose sources do not exist
 */
export function inspectXics(xics: Xics, all = false): XicsInspection {
  const sources: SourceInspection[] = [];
  for (const block of xics.createdBlocks)
    for (let index = 0; index < SOURCES_PER_BLOCK; index++) if (all || (block.kind[index] & KIND_EXISTS) !== 0) sources.push(inspectSource(block, index));
  const totals = { realModeKicks: 0, realModeNotifications: 0, resends: 0, rejects: 0 };
  for (const { realMode } of xics.connected) {
    totals.realModeKicks += realMode?.kicks ?? 0;
    totals.realModeNotifications += realMode?.notifications ?? 0;
  }
  for (const { resends, rejects } of xics.createdBlocks) {
    totals.resends += resends;
    totals.rejects += rejects;
  }
  return { icps: xics.connected.map(inspectIcp), sources, totals };
}

function inspectIcp(icp: Icp): IcpInspection {
  const state = new IcpState();
  icp.look(state);
  const resendBlocks = Array.from({ length: BLOCKS }, (_, id) => id).filter((id) => icp.resendMap.at(id));
  const { cppr, mfrr, pendingPriority, xisr, needResend, out } = state;
  return { server: icp.server, cppr, mfrr, pendingPriority, xisr, needResend, out, isRestorable: isConsistent(cppr, xisr, mfrr, pendingPriority), resendBlocks };
}

/** The state of one source of a block. */
export function inspectSource(block: IcsBlock, index: number): SourceInspection {
  const kind = block.kind[index];
  const pq = block.pq[index];
  return {
    irq: (block.id << BLOCK_SHIFT) | index,
    exists: (kind & KIND_EXISTS) !== 0,
    isLsi: (kind & KIND_LSI) !== 0,
    server: block.server[index],
    priority: block.priority[index],
    savedPriority: block.savedPriority[index],
    pq: `${(pq & PQ_PRESENTED) !== 0 ? "P" : "-"}${(pq & PQ_QUEUED) !== 0 ? "Q" : "-"}`,
    resend: block.resend.at(index),
    maskedPending: block.maskedPending.at(index),
  };
}
