import type { Step } from "../../sim/step.js";
import { GicdV2 } from "./gicd-v2.js";
import { GicdV3 } from "./gicd-v3.js";
import { GicrV3 } from "./gicr-v3.js";
import { REDIST_SIZE } from "./redist-region.js";
import { VGIC_ADDR_UNDEF, type VgicCpu } from "./vgic-cpu.js";
import type { VgicDist, VgicFrames } from "./vgic-dist.js";
import type { VgicFrame } from "./vgic-frame.js";

const V3_DIST_SIZE = 0x10000;
const V2_DIST_SIZE = 0x1000;

/** The register frames of a GICv2 (a distributor) or GICv3 (and a redistributor for each vCPU). */
export class RegisterFrames implements VgicFrames {
  readonly distributor: VgicFrame;
  readonly distributorSize: number;
  private readonly redists: GicrV3[] = [];

  constructor(private readonly dist: VgicDist) {
    this.distributor = dist.model === 3 ? new GicdV3(dist) : new GicdV2(dist);
    this.distributorSize = dist.model === 3 ? V3_DIST_SIZE : V2_DIST_SIZE;
  }

  redist(cpu: VgicCpu): GicrV3 {
    this.redists[cpu.index] ??= new GicrV3(this.dist, cpu);
    return this.redists[cpu.index];
  }

  *bindRedist(cpu: VgicCpu): Step<number> {
    if (cpu.rdBase !== VGIC_ADDR_UNDEF) return 0;
    const region = this.dist.redistRegions.find((each) => !each.isFull());
    if (region === undefined) return 0;
    const base = region.base + region.used * REDIST_SIZE;
    const error = yield* this.dist.vm.mmioBus.register(base, REDIST_SIZE, this.redist(cpu));
    if (error !== 0) return error;
    cpu.rdBase = base;
    cpu.rdRegion = region;
    cpu.rdIndex = region.used++;
    return 0;
  }

  *releaseRedist(cpu: VgicCpu): Step<void> {
    if (cpu.rdBase === VGIC_ADDR_UNDEF) return;
    yield* this.dist.vm.mmioBus.unregister(cpu.rdBase, this.redist(cpu));
    cpu.rdBase = VGIC_ADDR_UNDEF;
    cpu.rdRegion = null;
  }
}
