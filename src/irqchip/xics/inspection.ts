import { BLOCK_SHIFT, BLOCKS, PQ_PRESENTED, PQ_QUEUED, SOURCES_PER_BLOCK } from "./constants.js";
import { type Icp, IcpState } from "./icp.js";
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
}

/**
 * The whole state, nothing changed by the look.
 * @param all also the slots of existing blocks whose sources do not exist
 */
export function inspectXics(xics: Xics, all = false): XicsInspection {
  const sources: SourceInspection[] = [];
  for (const block of xics.createdBlocks)
    for (let index = 0; index < SOURCES_PER_BLOCK; index++) if (all || (block.kind[index] & KIND_EXISTS) !== 0) sources.push(inspectSource(block, index));
  return { icps: xics.connected.map(inspectIcp), sources };
}

function inspectIcp(icp: Icp): IcpInspection {
  const state = new IcpState();
  icp.look(state);
  const resendBlocks = Array.from({ length: BLOCKS }, (_, id) => id).filter((id) => icp.resendMap.at(id));
  const { cppr, mfrr, pendingPriority, xisr, needResend, out } = state;
  return { server: icp.server, cppr, mfrr, pendingPriority, xisr, needResend, out, resendBlocks };
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
