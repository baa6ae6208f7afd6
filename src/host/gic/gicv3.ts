import { SPURIOUS_INTID, type VirtualInterface } from "../../arch/gic/contract.js";
import { GicdCtlr } from "../../arch/gic/gicd.js";
import { GICR_SIZE } from "../../arch/gic/gicr.js";
import { GICR_V4_SIZE, GicrTyper } from "../../arch/gic/gicr-vlpi.js";
import { listRegistersOf, preemptionBitsOf } from "../../arch/gic/icc.js";
import { affinityOfId, sgi1rCluster, sgi1rIntid, sgi1rIsBroadcast, sgi1rTargetList } from "../../arch/gic/sgi.js";
import { block, writes } from "../../sim/access.js";
import type { IrqPort } from "../../arch/irq-port.js";
import type { Step } from "../../sim/step.js";
import { CpuInterface } from "./cpu-interface.js";
import { type AffinityMap, DistributorV3 } from "./distributor-v3.js";
import { IccRegisters } from "./icc-registers.js";
import { Ichv3 } from "./ich.js";
import { GENERIC_GICV3, type GicV3Implementation } from "./implementation.js";
import { IrqBit } from "./irq-state.js";
import { type HostRam, NO_RAM } from "./its/host-ram.js";
import type { ItsGic, PhysicalIts } from "./its/physical-its.js";
import { PendingCaches } from "./its/pending-caches.js";
import { RedistLpis } from "./its/redist-lpis.js";
import { VlpiChanges, VlpiFrame } from "./its/vlpi-frame.js";
import { GicBase } from "./physical-gic.js";
import { Redistributor } from "./redistributor.js";

/** Redistributors that follow each other: physical address of the first, and how many. */
export interface RedistRegion {
  readonly address: number;
  readonly count: number;
}

/** What distinguishes GICv3s. */
export interface GicV3Options {
  /** 1 to 512. */
  readonly cpus: number;
  /** INTIDs 0 to interrupts-1; a multiple of 32, or 1020. Default 1020. */
  readonly interrupts?: number;
  /** What {@link GicV3.boot} sets; 1 is what a host that runs guests uses. Default 1. */
  readonly eoiMode?: 0 | 1;
  /** 1 to 16; overrides ICH_VTR's field. */
  readonly listRegisters?: number;
  readonly implementation?: GicV3Implementation;
  /** Where LPIs and ITSs have their tables; without it there is no memory for any. */
  readonly ram?: HostRam;
  /** Where the redistributors stand, one after the other in each region. Default: all from 0x080a0000 on, the virt machine's. */
  readonly redistributors?: readonly RedistRegion[];
}

/** A physical GICv3 with one security state and affinity routing on (gic-v3.md A5-A8, A10; host-irq.md 2). */
export class GicV3 extends GicBase implements AffinityMap, ItsGic {
  readonly version = 3;
  readonly implementation: GicV3Implementation;
  /** High half of the last 64-bit register read. */
  high = 0;
  readonly ram: HostRam;
  caches: PendingCaches | null = null;
  /** GICv4.1: redistributors know a vPE by its number. */
  readonly is41: boolean;
  readonly itses: PhysicalIts[] = [];
  private readonly vlpiChanges: VlpiChanges;
  private readonly virtualPorts: (IrqPort | null)[];
  private readonly distributor: DistributorV3;
  private readonly redistributors: Redistributor[] = [];
  private readonly registers: IccRegisters[] = [];
  private readonly virtual: Ichv3[] = [];
  private readonly cpuByAffinity = new Map<number, number>();
  /** By CPU: the physical address of its redistributor. */
  private readonly redistAddresses: readonly number[];

  constructor(options: GicV3Options) {
    super(options.cpus, options.interrupts ?? 1020, options.eoiMode ?? 1);
    const implementation = options.implementation ?? GENERIC_GICV3;
    const listRegisters = options.listRegisters ?? listRegistersOf(implementation.vtr);
    const vtr = (implementation.vtr & ~0x1f) | (listRegisters - 1);
    this.implementation = implementation;
    this.ram = options.ram ?? NO_RAM;
    this.vlpiChanges = new VlpiChanges(this.cpus);
    this.virtualPorts = new Array<IrqPort | null>(this.cpus).fill(null);
    const hasVlpis = (implementation.gicrTyper & GicrTyper.VLPIS) !== 0;
    const regions = options.redistributors ?? [{ address: VIRT_REDIST_BASE, count: this.cpus }];
    const stride = hasVlpis ? GICR_V4_SIZE : GICR_SIZE;
    this.redistAddresses = regions.flatMap(({ address, count }) => Array.from({ length: count }, (_, i) => address + i * stride));
    this.is41 = (implementation.gicrTyper & GicrTyper.RVPEID) !== 0;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const affinity = affinityOfId(cpu);
      this.cpuByAffinity.set(affinity, cpu);
      const lpis = new RedistLpis(this.ram, this.state.candidates[cpu]);
      const vlpis = hasVlpis ? new VlpiFrame(this.ram, this.is41, cpu, this.vlpiChanges) : null;
      this.redistributors.push(new Redistributor(this.state, cpu, affinity, implementation, lpis, vlpis));
      this.interfaces.push(new CpuInterface(this.state.candidates[cpu], preemptionBitsOf(vtr)));
      this.registers.push(new IccRegisters(this.state, cpu, this.interfaces[cpu], vtr));
      this.virtual.push(new Ichv3(this, cpu, vtr, vlpis, implementation.vlpiWinsTie));
    }
    this.distributor = new DistributorV3(this.state, this, implementation);
  }

  /** GICv4.1, before vPEs are mapped: their pending bits stay in the GIC while they are. */
  cachePendingTables(): void {
    this.caches = new PendingCaches(this.ram);
  }

  /** Writes to VLPI frames that software must not make, so far. */
  get misuses(): number {
    return this.vlpiChanges.misuses;
  }

  redistAddress(cpu: number): number {
    return this.redistAddresses[cpu];
  }

  redistAt(address: number): number {
    const cpu = this.redistAddresses.indexOf(address);
    return cpu < this.cpus ? cpu : -1;
  }

  /** Packed affinity to CPU number, -1 when no PE has it. */
  cpuOf(affinity: number): number {
    return this.cpuByAffinity.get(affinity) ?? -1;
  }

  /** What Linux programs at boot (host-irq.md 2.1): everything group 1, priority 0xA0, SPIs level to CPU 0, SGIs enabled. */
  boot(): void {
    const { state } = this;
    this.distributor.write(0, 4, GicdCtlr.ENABLE_GRP1, 0);
    for (let word = 0; word < state.words; word++) state.setWord(word, -1, IrqBit.GROUP1);
    for (let intid = 32; intid < this.interrupts; intid++) state.setPriority(0, intid, BOOT_PRIORITY);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const cpuInterface = this.interfaces[cpu];
      cpuInterface.mask = BOOT_MASK;
      cpuInterface.eoiMode = this.eoiMode;
      state.setCpuGroups(cpu, 2);
      for (let intid = 0; intid < 32; intid++) state.setPriority(cpu, intid, BOOT_PRIORITY);
      state.setWord(cpu, 0xffff, IrqBit.ENABLED);
      this.redistributors[cpu].write(WAKER_OFFSET, 4, 0, 0);
    }
  }

  *sendSgi(_from: number, to: number, sgi: number): Step<void> {
    yield writes(this, "GIC");
    this.state.set(to, sgi, IrqBit.LATCH);
    if (this.state.isDirty) yield* this.drive();
  }

  *acknowledge(cpu: number): Step<number> {
    yield writes(this, "GIC");
    const intid = this.take(cpu, 1);
    if (this.state.isDirty) yield* this.drive();
    return intid;
  }

  *endOfInterrupt(cpu: number, iar: number): Step<void> {
    yield writes(this, "GIC");
    this.end(cpu, 1, iar);
    if (this.state.isDirty) yield* this.drive();
  }

  *deactivate(cpu: number, iar: number): Step<void> {
    yield writes(this, "GIC");
    if (this.interfaces[cpu].eoiMode === 1) this.finish(cpu, iar);
    if (this.state.isDirty) yield* this.drive();
  }

  *deactivateHw(cpu: number, intid: number): Step<void> {
    yield writes(this, "GIC");
    this.finish(cpu, intid);
    if (this.state.isDirty) yield* this.drive();
  }

  *setTarget(intid: number, cpu: number): Step<void> {
    yield writes(this, "GIC");
    const affinity = affinityOfId(cpu);
    this.distributor.setRoute(intid, affinity & 0xffffff, affinity >>> 24);
    if (this.state.isDirty) yield* this.drive();
  }

  virtualInterface(cpu: number): VirtualInterface {
    return this.virtual[cpu];
  }

  /** The same with its registers. */
  ich(cpu: number): Ichv3 {
    return this.virtual[cpu];
  }

  /** Low 32 bits; the upper ones of a 64-bit access are in {@link high}. RAZ where nothing is. */
  *readGicd(offset: number, size: number): Step<number> {
    yield writes(this, "GIC");
    const low = this.distributor.read(offset, size);
    this.high = this.distributor.high;
    return low;
  }

  *writeGicd(offset: number, size: number, lo: number, hi: number): Step<void> {
    yield writes(this, "GIC");
    this.distributor.write(offset, size, lo, hi);
    if (this.state.isDirty) yield* this.drive();
  }

  /** `frame` is the CPU whose redistributor is meant, whoever accesses it. */
  *readGicr(frame: number, offset: number, size: number): Step<number> {
    yield writes(this, "GIC");
    const low = this.redistributors[frame].read(offset, size);
    this.high = this.redistributors[frame].high;
    return low;
  }

  *writeGicr(frame: number, offset: number, size: number, lo: number, hi = 0): Step<void> {
    yield writes(this, "GIC");
    this.redistributors[frame].write(offset, size, lo, hi);
    yield* this.settle();
  }

  /** Reads ICC_*, by the encoding of icc.ts; 0 for what is not readable. */
  *readSysreg(cpu: number, encoding: number): Step<number> {
    yield writes(this, "GIC");
    const group = IccRegisters.acknowledges(encoding);
    const value = group === -1 ? this.registers[cpu].read(encoding) : this.take(cpu, group);
    if (this.state.isDirty) yield* this.drive();
    return value;
  }

  /** Writes ICC_*; nothing happens where it is not writable. */
  *writeSysreg(cpu: number, encoding: number, lo: number, hi: number): Step<void> {
    yield writes(this, "GIC");
    const ended = IccRegisters.ends(encoding);
    if (ended !== -1) this.end(cpu, ended, lo & 0xffffff);
    else if (IccRegisters.deactivates(encoding)) {
      if (this.interfaces[cpu].eoiMode === 1) this.finish(cpu, lo & 0xffffff);
    } else {
      const generated = IccRegisters.generates(encoding);
      if (generated !== -1) this.generateSgis(cpu, generated, lo, hi);
      else this.registers[cpu].write(encoding, lo);
    }
    if (this.state.isDirty) yield* this.drive();
  }

  /** The physical LPIs of a CPU; the caller has announced the GIC. */
  lpis(cpu: number): RedistLpis {
    return this.redistributors[cpu].lpis;
  }

  /** The VLPI frame of a CPU; the caller has announced the GIC. */
  vlpis(cpu: number): VlpiFrame {
    const { vlpis } = this.redistributors[cpu];
    if (vlpis === null) throw new Error("this GIC has no virtual LPIs");
    return vlpis;
  }

  /** A fault to inject: the CPU's redistributor says Dirty for ever (hazard R15). */
  stick(cpu: number): void {
    const { vlpis } = this.redistributors[cpu];
    if (vlpis !== null) vlpis.isStuck = true;
  }

  /** The CPU's redistributor is done with the pending table of a vPE that came or left ({@link VlpiFrame.parseLater}). */
  *settleVlpis(cpu: number): Step<void> {
    yield writes(this, "GIC");
    this.vlpis(cpu).settle();
    yield* this.settle();
  }

  *settle(): Step<void> {
    if (this.state.isDirty) yield* this.drive();
    while (!this.vlpiChanges.isEmpty) {
      const cpu = this.vlpiChanges.take();
      const port = this.virtualPorts[cpu];
      yield writes(this.virtual[cpu], "IRQ");
      if (port !== null) yield* port.irq(true);
      yield writes(this, "GIC");
    }
  }

  /** Told when a vLPI has come for the vPE that is resident on a CPU, or may have. */
  connectVirtual(cpu: number, port: IrqPort): void {
    this.virtualPorts[cpu] = port;
  }

  private take(cpu: number, group: 0 | 1): number {
    const intid = this.interfaces[cpu].take(group);
    if (intid >= FIRST_LPI) this.lpis(cpu).change(intid, false);
    else if (intid !== SPURIOUS_INTID) this.state.acknowledge(cpu, intid);
    return intid;
  }

  /** An LPI has nothing to deactivate. */
  private end(cpu: number, group: 0 | 1, intid: number): void {
    if ((intid >= this.interrupts && intid < FIRST_LPI) || !this.interfaces[cpu].drop(group)) return;
    if (this.interfaces[cpu].eoiMode === 0) this.finish(cpu, intid);
  }

  private finish(cpu: number, intid: number): void {
    if (intid < this.interrupts) this.state.clear(cpu, intid, IrqBit.ACTIVE);
  }

  /** With one security state an SGI register generates only SGIs of its own group (A8). */
  private generateSgis(from: number, group: 0 | 1, lo: number, hi: number): void {
    const sgi = sgi1rIntid(lo);
    if (sgi1rIsBroadcast(hi)) {
      for (let cpu = 0; cpu < this.cpus; cpu++) if (cpu !== from) this.pendSgi(cpu, sgi, group);
      return;
    }
    const cluster = sgi1rCluster(lo, hi);
    for (let list = sgi1rTargetList(lo); list !== 0; list &= list - 1) {
      const cpu = this.cpuOf(cluster | (31 - Math.clz32(list & -list)));
      if (cpu >= 0) this.pendSgi(cpu, sgi, group);
    }
  }

  private pendSgi(cpu: number, sgi: number, group: 0 | 1): void {
    if (this.state.groupOf(cpu, sgi) === group) this.state.set(cpu, sgi, IrqBit.LATCH);
  }
}
block(GicV3, "distributor", "redistributors", "registers");

const BOOT_PRIORITY = 0xa0;
const BOOT_MASK = 0xf0;
const WAKER_OFFSET = 0x14;
const FIRST_LPI = 8192;
const VIRT_REDIST_BASE = 0x080a0000;
