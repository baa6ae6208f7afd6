import { guarded, type Guard } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { MappedIrqOps } from "../contract.js";
import type { ApList } from "./ap-list.js";
import type { VgicCpu } from "./vgic-cpu.js";

/** SGIs are 0 to 15, PPIs 16 to 31: one set per vCPU (gic-v3.md A1). */
export const VGIC_NR_SGIS = 16;
export const VGIC_NR_PRIVATE_IRQS = 32;
/** The first LPI. */
export const VGIC_MIN_LPI = 8192;
/** SPI INTIDs stay below. */
export const VGIC_MAX_SPI = 1019;

/** How an interrupt is triggered; the values are the kernel's. */
export const enum VgicConfig {
  EDGE = 0,
  LEVEL = 1,
}

/** What an LPI keeps while nobody works with it. */
export interface LpiState {
  readonly isEnabled: boolean;
  readonly isLatched: boolean;
  readonly priority: number;
}

const NOBODY: Guard = { heldByCurrent: () => false };

/**
 * One virtual interrupt: an SGI or PPI of a vCPU, an SPI of the VM, an LPI in use (gic-v3.md A2). Everything that
 * changes is protected by `lock`; the list links by the lock of the list.
 */
export class VgicIrq {
  readonly lock: Spinlock;
  /** The vCPU whose ap_list holds it; null when it is on none (I1). */
  vcpu: VgicCpu | null = null;
  /** Where it should go; null: an SPI routed to no vCPU, an LPI not mapped. */
  targetVcpu: VgicCpu | null;
  /** The emulated wire; edge interrupts neither read nor update it. */
  lineLevel = false;
  /** Edge pending, or written pending. */
  pendingLatch: boolean;
  active = false;
  enabled: boolean;
  /** 0xF8 is implemented (LPIs: 0xFC). */
  priority: number;
  group: 0 | 1;
  config: VgicConfig;
  /** Linked to the physical interrupt `hwintid`. */
  hw = false;
  /** -1 when linked to none. */
  hwintid = -1;
  ops: MappedIrqOps | null = null;
  /** GICv3 SPI: the affinity written to IROUTER. */
  mpidr = 0;
  /** GICv2: bit mask of target CPUs. */
  targets: number;
  /** GICv2 SGI: bit mask of CPUs that sent it and were not yet served. */
  source = 0;
  /** GICv2 SGI: the CPU whose SGI is active. */
  activeSource = 0;
  /** The in-kernel device that owns the line. */
  owner: object | null = null;
  /** A list register holds it now. */
  onLr = false;
  /** LPI: users, and the list that it is on (its/lpis.ts). */
  pins = 1;

  /** The ap_list that it is on, and its place there; by that list's lock. */
  apList: ApList | null = null;
  apNext: VgicIrq | null = null;
  apPrevious: VgicIrq | null = null;
  /** Place among the others when the list is sorted, as sampled at the last summary. */
  sortKey = 0;

  constructor(
    sim: Sim,
    public intid: number,
    target: VgicCpu | null,
    model: 2 | 3,
    lpi: LpiState | null = null,
  ) {
    this.lock = new Spinlock(sim, "irq->irq_lock");
    this.targetVcpu = target;
    this.targets = model === 2 && intid < VGIC_NR_PRIVATE_IRQS && target !== null ? 1 << target.vcpu.id : 0;
    this.enabled = lpi === null ? intid < VGIC_NR_SGIS : lpi.isEnabled;
    this.pendingLatch = lpi !== null && lpi.isLatched;
    this.priority = lpi === null ? 0 : lpi.priority;
    this.group = model === 3 ? 1 : 0;
    this.config = intid >= VGIC_NR_SGIS && intid < VGIC_NR_PRIVATE_IRQS ? VgicConfig.LEVEL : VgicConfig.EDGE;
  }

  /** Stands for another LPI from now on: nobody has a reference to it. */
  become(intid: number, target: VgicCpu | null, lpi: LpiState): void {
    this.intid = intid;
    this.targetVcpu = target;
    this.enabled = lpi.isEnabled;
    this.pendingLatch = lpi.isLatched;
    this.priority = lpi.priority;
    this.active = false;
    this.pins = 1;
  }

  /** Pending in effect (I4). */
  isPending(): boolean {
    return this.config === VgicConfig.EDGE ? this.pendingLatch : this.pendingLatch || this.lineLevel;
  }

  isSgi(): boolean {
    return this.intid < VGIC_NR_SGIS;
  }

  /** An SGI that is the hardware's (GICv4.1). */
  isVsgi(): boolean {
    return this.hw && this.intid < VGIC_NR_SGIS;
  }

  isPrivate(): boolean {
    return this.intid < VGIC_NR_PRIVATE_IRQS;
  }

  isSpi(): boolean {
    return this.intid >= VGIC_NR_PRIVATE_IRQS && this.intid < VGIC_MIN_LPI;
  }

  isLpi(): boolean {
    return this.intid >= VGIC_MIN_LPI;
  }

  /** Level, and linked to a physical interrupt: only rises of its line are observed. */
  isMappedLevel(): boolean {
    return this.config === VgicConfig.LEVEL && this.hw;
  }

  needsSwResample(): boolean {
    return this.ops !== null && this.ops.swResample;
  }
}
guarded(
  VgicIrq,
  (irq) => irq.lock,
  "vcpu",
  "targetVcpu",
  "lineLevel",
  "pendingLatch",
  "active",
  "enabled",
  "priority",
  "group",
  "config",
  "hw",
  "ops",
  "mpidr",
  "targets",
  "source",
  "activeSource",
  "owner",
  "onLr",
);
guarded(VgicIrq, (irq) => irq.apList?.lock ?? NOBODY, "apNext", "apPrevious", "sortKey");
