import type { PhysicalGic } from "../../arch/gic/contract.js";
import { shared } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { ArmIrqchipVm, MmioDevice } from "../contract.js";
import type { LrDriver } from "./lr-driver.js";
import type { RedistRegion } from "./redist-region.js";
import type { Its } from "./its/its.js";
import { LruTranslations, TRANSLATIONS_PER_VCPU } from "./its/cache-lru.js";
import { Lpis } from "./its/lpis.js";
import { BASER_RESET } from "./its/lpi-tables.js";
import { VgicV4 } from "./v4/v4.js";
import { VGIC_ADDR_UNDEF, VgicCpu } from "./vgic-cpu.js";
import { RegisterFrames } from "./vgic-frames.js";
import type { Hazards } from "../../sim/hazards.js";
import { VGIC_MAX_SPI, VGIC_NR_PRIVATE_IRQS, type VgicIrq } from "./vgic-irq.js";

/** Whose rules hold where kernels differ (gic.md D0.5, D7): v5-2017 is Linux 4.14 with the GICv4 series of October 2017. */
export const VGIC_COMPATS = ["newest", "linux-6.1", "v5-2017"] as const;
export type VgicCompat = (typeof VGIC_COMPATS)[number];

/** A register frame: the guest's by MMIO, user space's by attributes. */
export interface UserFrame extends MmioDevice {
  /** Reads a 32-bit word into {@link VgicDist.userValue}; `cpu` is whose banked registers are meant. 0 or -ENXIO. */
  userRead(cpu: VgicCpu, offset: number): Step<number>;
  /** 0 or a negative errno. */
  userWrite(cpu: VgicCpu, offset: number, value: number): Step<number>;
  /** Is there a register that user space may name? */
  has(offset: number): boolean;
}

/** The register frames that the guest sees. */
export interface VgicFrames {
  readonly distributor: UserFrame;
  /** Bytes of the distributor's frame. */
  readonly distributorSize: number;
  /** Gives the vCPU its redistributor frame where a region has room (gic-v3.md A3.3): 0 or the bus's errno. */
  bindRedist(cpu: VgicCpu): Step<number>;
  releaseRedist(cpu: VgicCpu): Step<void>;
  /** The vCPU's redistributor, wherever it is mapped. */
  redist(cpu: VgicCpu): UserFrame;
}

/** The distributor and what belongs to the VM as a whole: the kernel's struct vgic_dist (gic-v3.md A2). */
export class VgicDist {
  readonly sim: Sim;
  readonly hostGic: PhysicalGic;
  /** List registers of the host's CPUs. */
  readonly nrLr: number;
  /** ICH_VTR_EL2 or GICH_VTR of the host's CPUs. */
  readonly vtr: number;
  /** Rules of Linux 6.1, which v5-2017 had already. */
  readonly isLinux61: boolean;
  /** What the GICv4 series of 2017 had and Linux 6.1 has no more. */
  readonly is2017: boolean;
  readonly hazards: Hazards;
  /** kvm->arch.config_lock: creation, addresses, INIT, register access from user space. */
  readonly configLock: Mutex;

  /** GICD_CTLR.EnableGrp1 (GICv2: bit 0). */
  enabled = false;
  /** GICD_CTLR.nASSGIreq. */
  nassgireq = false;
  /** GICD_IIDR.Revision: 2 or 3, with newest also 1. */
  implementationRev = 3;
  /** 0 while user space has not set NR_IRQS and INIT has not run. */
  nrSpis = 0;
  readonly spis: VgicIrq[] = [];
  /** By vCPU index. */
  readonly cpus: VgicCpu[] = [];
  private readonly byAffinity = new Map<number, VgicCpu>();
  private readonly byId = new Map<number, VgicCpu>();
  initialized = false;
  /** Mapped by the first KVM_RUN. */
  ready = false;
  distBase = VGIC_ADDR_UNDEF;
  /** GICv2: where the guest sees GICC. */
  cpuInterfaceBase = VGIC_ADDR_UNDEF;
  /** By ascending index. */
  readonly redistRegions: RedistRegion[] = [];
  readonly frames: VgicFrames;
  /** An ITS exists: the distributor and the redistributors say that they have LPIs. */
  hasIts = false;
  readonly itses: Its[] = [];
  readonly lpis: Lpis;
  /** GICv4; null where the host has none, or is not to use it. */
  readonly v4: VgicV4 | null;
  /** [6.1]: one translation cache for all ITSs, which before 2019 remembers nothing; null where each has its own. */
  readonly lruTranslations: LruTranslations | null;
  /** GICR_PROPBASER, one value for all redistributors. */
  propbaserLow = BASER_RESET;
  propbaserHigh = 0;
  /** What a register read from user space returned; config_lock. */
  userValue = 0;

  constructor(
    readonly vm: ArmIrqchipVm,
    hostGic: PhysicalGic,
    readonly model: 2 | 3,
    readonly compat: VgicCompat,
    readonly driver: LrDriver,
  ) {
    this.sim = vm.sim;
    this.hazards = vm.sim.hazards;
    this.hostGic = hostGic;
    const host = hostGic.virtualInterface(0);
    this.nrLr = host.listRegisters;
    this.vtr = host.vtr;
    this.is2017 = compat === "v5-2017" || this.hazards.rulesSince2017;
    this.isLinux61 = compat === "linux-6.1" || this.is2017;
    this.lpis = new Lpis(vm.sim, this.cpus);
    this.lruTranslations = this.isLinux61 ? new LruTranslations(this.lpis, this.is2017 ? 0 : TRANSLATIONS_PER_VCPU) : null;
    // The series knows no GICv4.1, whose registers are others.
    this.v4 = model === 3 && vm.directIts && !(this.is2017 && vm.directIts.is41) ? new VgicV4(this, vm.directIts) : null;
    this.configLock = new Mutex(vm.sim, "kvm->arch.config_lock");
    this.frames = new RegisterFrames(this);
  }

  addCpu(cpu: VgicCpu): void {
    this.cpus[cpu.index] = cpu;
    this.byAffinity.set(cpu.affinity, cpu);
    this.byId.set(cpu.vcpu.id, cpu);
  }

  /** INTIDs 0 to this - 1 exist, LPIs apart. */
  get nrIrqs(): number {
    return this.nrSpis + VGIC_NR_PRIVATE_IRQS;
  }

  /** An SGI or PPI of `cpu`, or an SPI; null where there is none. */
  irq(cpu: VgicCpu | null, intid: number): VgicIrq | null {
    if (intid < VGIC_NR_PRIVATE_IRQS) return cpu === null || intid < 0 ? null : cpu.privateIrqs[intid];
    const spi = intid - VGIC_NR_PRIVATE_IRQS;
    return spi < this.spis.length ? this.spis[spi] : null;
  }

  isValidSpi(intid: number): boolean {
    return intid >= VGIC_NR_PRIVATE_IRQS && intid <= VGIC_MAX_SPI && intid - VGIC_NR_PRIVATE_IRQS < this.spis.length;
  }

  /** The vCPU that an RDbase names, by its id ([6.1]: in the order of creation), or null (gic-its.md B4). */
  cpuByRdbase(rdbase: number): VgicCpu | null {
    if (this.isLinux61) return rdbase < this.cpus.length ? this.cpus[rdbase] : null;
    return this.byId.get(rdbase) ?? null;
  }

  /** The vCPU with this affinity (Aff3.Aff2.Aff1.Aff0), or null. */
  cpuByAffinity(affinity: number): VgicCpu | null {
    return this.byAffinity.get(affinity) ?? null;
  }
}
shared(VgicDist, "enabled", "propbaserLow");
