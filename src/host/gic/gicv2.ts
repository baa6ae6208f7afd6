import { SPURIOUS_INTID, type VirtualInterface } from "../../arch/gic/contract.js";
import { GICC_V2, Gicc, GiccCtlr } from "../../arch/gic/gicc.js";
import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { CpuInterface } from "./cpu-interface.js";
import { DistributorV2 } from "./distributor-v2.js";
import { Gichv2 } from "./gich.js";
import { IrqBit } from "./irq-state.js";
import { GicBase } from "./physical-gic.js";
import { SgiSources } from "./sgi-sources.js";

/** What distinguishes GICv2s. */
export interface GicV2Options {
  /** 1 to 8. */
  readonly cpus: number;
  /** INTIDs 0 to interrupts-1; a multiple of 32, or 1020. Default 1020. */
  readonly interrupts?: number;
  /** What {@link GicV2.boot} sets; 1 is what a host that runs guests uses. Default 1. */
  readonly eoiMode?: 0 | 1;
  /** 1 to 64. Default 4. */
  readonly listRegisters?: number;
}

/** 5 priority bits, as GIC-400 with the non-secure view's binary point. */
const PRIORITY_BITS = 5;
const BOOT_PRIORITY = 0xa0;
const BOOT_MASK = 0xf0;
/** GICC_IIDR and GICV_IIDR: GIC-400 r0p1, architecture version 2. */
const IIDR = 0x0202143b;

const intidOf = (iar: number): number => iar & 0x3ff;
const sourceOf = (iar: number): number => (iar >>> 10) & 7;

/** A physical GICv2 with GICH and GICV, as a non-secure host sees it (host-irq.md 2). */
export class GicV2 extends GicBase {
  readonly version = 2;
  private readonly sgis: SgiSources;
  private readonly distributor: DistributorV2;
  private readonly virtual: Gichv2[] = [];

  constructor(options: GicV2Options) {
    super(options.cpus, options.interrupts ?? 1020, options.eoiMode ?? 1);
    const { state } = this;
    for (let word = 0; word < state.words; word++) state.setWord(word, -1, IrqBit.GROUP1);
    this.sgis = new SgiSources(state);
    this.distributor = new DistributorV2(state, this.sgis);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      this.interfaces.push(new CpuInterface(state.candidates[cpu], PRIORITY_BITS));
      this.virtual.push(new Gichv2(this, cpu, options.listRegisters));
    }
  }

  /** What Linux programs at boot (host-irq.md 2.1): priority 0xA0, SPIs level to CPU 0, SGIs enabled. */
  boot(): void {
    const { state } = this;
    for (let intid = 32; intid < this.interrupts; intid++) {
      state.setPriority(0, intid, BOOT_PRIORITY);
      this.distributor.setTargets(intid, 1);
    }
    this.distributor.write(0, 0, 4, 1);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      for (let intid = 0; intid < 32; intid++) state.setPriority(cpu, intid, BOOT_PRIORITY);
      state.setWord(cpu, 0xffff, IrqBit.ENABLED);
      this.interfaces[cpu].mask = BOOT_MASK;
      this.interfaces[cpu].eoiMode = this.eoiMode;
      state.setCpuGroups(cpu, 2);
    }
  }

  *sendSgi(from: number, to: number, sgi: number): Step<void> {
    yield writes(this, "GIC");
    this.sgis.pend(to, sgi, 1 << from);
    if (this.state.isDirty) yield* this.drive();
  }

  *acknowledge(cpu: number): Step<number> {
    yield writes(this, "GIC");
    const iar = this.take(cpu);
    if (this.state.isDirty) yield* this.drive();
    return iar;
  }

  *endOfInterrupt(cpu: number, iar: number): Step<void> {
    yield writes(this, "GIC");
    this.end(cpu, iar);
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
    this.distributor.setTargets(intid, 1 << cpu);
    if (this.state.isDirty) yield* this.drive();
  }

  /** Of SGIs: writes ignored, as GICD_ISPENDR has it. */
  override *setPending(cpu: number, intid: number, isPending: boolean): Step<void> {
    if (intid >= 16) yield* super.setPending(cpu, intid, isPending);
  }

  override *setActive(cpu: number, intid: number, isActive: boolean): Step<void> {
    if (intid >= 16) return yield* super.setActive(cpu, intid, isActive);
    yield writes(this, "GIC");
    if (isActive) this.sgis.activate(cpu, intid, 1 << cpu);
    else this.sgis.deactivate(cpu, intid, 0xff);
    if (this.state.isDirty) yield* this.drive();
  }

  override isActive(cpu: number, intid: number): boolean {
    return intid < 16 ? ((this.sgis.activeSgis(cpu) >>> intid) & 1) !== 0 : super.isActive(cpu, intid);
  }

  virtualInterface(cpu: number): VirtualInterface {
    return this.virtual[cpu];
  }

  /** The same with its registers. */
  gich(cpu: number): Gichv2 {
    return this.virtual[cpu];
  }

  /** RAZ where nothing is; registers of INTID < 32 are the accessing CPU's. */
  *readGicd(cpu: number, offset: number, size: number): Step<number> {
    yield writes(this, "GIC");
    return this.distributor.read(cpu, offset, size);
  }

  *writeGicd(cpu: number, offset: number, size: number, value: number): Step<void> {
    yield writes(this, "GIC");
    this.distributor.write(cpu, offset, size, value);
    if (this.state.isDirty) yield* this.drive();
  }

  *readGicc(cpu: number, offset: number, size: number): Step<number> {
    yield writes(this, "GIC");
    const cpuInterface = this.interfaces[cpu];
    const { rules } = cpuInterface;
    switch (GICC_V2.find(offset, size)) {
      case Gicc.CTLR:
        return (this.state.cpuGroupsOf(cpu) === 0 ? 0 : GiccCtlr.ENABLE_GRP0) | (cpuInterface.eoiMode === 1 ? GiccCtlr.EOI_MODE : 0);
      case Gicc.PMR:
        return rules.mask;
      case Gicc.BPR:
        return rules.bpr1;
      case Gicc.IAR: {
        const iar = this.take(cpu);
        if (this.state.isDirty) yield* this.drive();
        return iar;
      }
      case Gicc.RPR:
        return rules.active.running();
      case Gicc.HPPIR:
        return this.withSource(cpu, cpuInterface.highestPending(1));
      case Gicc.APR:
        return offset === GICC_V2.table[Gicc.APR].offset ? rules.active.group1[0] : 0;
      case Gicc.IIDR:
        return IIDR;
      default:
        return 0;
    }
  }

  *writeGicc(cpu: number, offset: number, size: number, value: number): Step<void> {
    yield writes(this, "GIC");
    const cpuInterface = this.interfaces[cpu];
    switch (GICC_V2.find(offset, size)) {
      case Gicc.CTLR:
        cpuInterface.eoiMode = (value & GiccCtlr.EOI_MODE) === 0 ? 0 : 1;
        this.state.setCpuGroups(cpu, (value & GiccCtlr.ENABLE_GRP0) === 0 ? 0 : 2);
        break;
      case Gicc.PMR:
        cpuInterface.mask = value;
        break;
      case Gicc.BPR:
        cpuInterface.rules.bpr1 = value;
        cpuInterface.changed();
        break;
      case Gicc.EOIR:
        this.end(cpu, value);
        break;
      case Gicc.DIR:
        if (cpuInterface.eoiMode === 1) this.finish(cpu, value);
        break;
      case Gicc.APR:
        if (offset === GICC_V2.table[Gicc.APR].offset) cpuInterface.rules.active.group1[0] = value;
        cpuInterface.changed();
        break;
      default:
    }
    if (this.state.isDirty) yield* this.drive();
  }

  private take(cpu: number): number {
    const intid = this.interfaces[cpu].take(1);
    if (intid >= 16) {
      if (intid !== SPURIOUS_INTID) this.state.acknowledge(cpu, intid);
      return intid;
    }
    const source = this.sgis.next(cpu, intid);
    this.sgis.acknowledge(cpu, intid, source);
    return intid | (source << 10);
  }

  private withSource(cpu: number, intid: number): number {
    return intid < 16 ? intid | (this.sgis.next(cpu, intid) << 10) : intid;
  }

  private end(cpu: number, iar: number): void {
    if (intidOf(iar) >= this.interrupts || !this.interfaces[cpu].drop(1)) return;
    if (this.interfaces[cpu].eoiMode === 0) this.finish(cpu, iar);
  }

  private finish(cpu: number, iar: number): void {
    const intid = intidOf(iar);
    if (intid < 16) this.sgis.deactivate(cpu, intid, 1 << sourceOf(iar));
    else if (intid < this.interrupts) this.state.clear(cpu, intid, IrqBit.ACTIVE);
  }
}
block(GicV2, "distributor", "sgis");
