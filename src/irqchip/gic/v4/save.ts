import { reads } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { freeDoorbells, requestDoorbells } from "./init.js";
import type { VgicV4 } from "./v4.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";

// Pending VLPIs into the guest's tables (gic-v4.md C6): GICv4.1 can, once no vPE is mapped (hazard R46).

/** Every vPE leaves the ITSs: what they cache goes into the pending tables. */
export function* unmapVpes(v4: VgicV4): Step<void> {
  yield* freeDoorbells(v4, v4.cpus.length);
}

/** And back, whatever happened between. */
export function* mapVpes(v4: VgicV4): Step<void> {
  yield* requestDoorbells(v4);
}

/** The bit of a VLPI in its vPE's pending table. */
export function* isVlpiPending(dist: VgicDist, target: VgicCpu | null, intid: number): Step<boolean> {
  const vpe = dist.v4?.vpeOf(target) ?? null;
  if (dist.v4 === null || vpe === null) return false;
  const { gic } = dist.v4.driver;
  yield reads(gic, "GIC");
  return ((gic.ram.u8(vpe.vpt + (intid >>> 3)) >>> (intid & 7)) & 1) !== 0;
}
