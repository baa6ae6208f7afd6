import { block, reads, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { ItsVm, ItsVpe } from "../../../host/its/its-vm.js";
import type { ItsDriver } from "../../../host/its/its-driver.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";
import type { VgicIrq } from "../vgic-irq.js";

/** What GICv4 keeps of one vCPU. */
export class V4Cpu {
  /** IN_WFI: its vPE stays away, whoever loads the vCPU meanwhile (hazard R10). */
  isInWfi = false;

  constructor(
    readonly cpu: VgicCpu,
    readonly vpe: ItsVpe,
  ) {}
}

/** GICv4 for one VM (gic-v4.md C2): its vPEs, and the LPIs that devices inject past the host. */
export class VgicV4 {
  /** its_vm */
  readonly vm: ItsVm;
  /** By vCPU; empty while there are no vPEs. */
  cpus: V4Cpu[] = [];
  /** 4.1: the guest's SGIs are the hardware's. */
  hasVsgis = false;
  /** VLPIs, and which host irq is which; a reference to each LPI is held. */
  private readonly direct = new Set<number>();
  private readonly byHostIrq = new Map<number, number>();

  constructor(
    readonly dist: VgicDist,
    readonly driver: ItsDriver,
  ) {
    this.vm = new ItsVm(dist.sim, driver.nodes.length);
  }

  get is41(): boolean {
    return this.driver.is41;
  }

  /** supports_direct_msis (C2.1). */
  get isSupported(): boolean {
    return this.is41 || this.dist.hasIts;
  }

  get hasVpes(): boolean {
    return this.cpus.length > 0;
  }

  /** Is this LPI a VLPI? Nothing holds the answer but the LPI's own lock, with its `hw`. */
  *isDirect(intid: number): Step<boolean> {
    yield reads(this, "direct");
    return this.direct.has(intid);
  }

  /** The LPI that a host irq is; 0: none. */
  *lpiOf(hostIrq: number): Step<number> {
    yield reads(this, "direct");
    return this.byHostIrq.get(hostIrq) ?? 0;
  }

  *enter(irq: VgicIrq, hostIrq: number): Step<void> {
    yield writes(this, "direct");
    this.byHostIrq.set(hostIrq, irq.intid);
    this.direct.add(irq.intid);
  }

  *leave(irq: VgicIrq, hostIrq: number): Step<void> {
    yield writes(this, "direct");
    this.byHostIrq.delete(hostIrq);
    this.direct.delete(irq.intid);
  }

  /** The vPE of a vCPU, null without vPEs. */
  vpeOf(cpu: VgicCpu | null): ItsVpe | null {
    return cpu === null || cpu.index >= this.cpus.length ? null : this.cpus[cpu.index].vpe;
  }
}
block(VgicV4, "direct", "byHostIrq");
