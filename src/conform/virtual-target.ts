import { Icc } from "../arch/gic/icc.js";
import { IchHcr } from "../arch/gic/gich.js";
import { GicV3 } from "../host/gic/gicv3.js";
import type { MmioDevice } from "../irqchip/contract.js";
import { RedistRegion } from "../irqchip/gic/redist-region.js";
import { createIts, type Its } from "../irqchip/gic/its/its.js";
import { createVgic, type Vgic } from "../irqchip/gic/vgic.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { KVM_MSI_VALID_DEVID } from "../uapi/kvm.js";
import { ReplayVm } from "./replay-vm.js";
import type { Compat, Observation, Target, TargetMaker } from "./target.js";
import type { ArmStep, ArmVector } from "./vector.js";
import { CREADR, CWRITER, encodingOf, ISR_FIQ, ISR_IRQ, isSpecial, ITS_QUEUE, MOST_DRAINED, VIRTUAL_TIMER_PPI } from "./virt-machine.js";
import { VirtualTimerLine } from "./virtual-timer-line.js";
import { bytesOf, hexOf, hexOfBytes, highOf, lowOf } from "./word.js";

/** NR_IRQS 288: the recorded VM has QEMU's number of SPIs. */
const SPIS = 256;
/** One legacy region for all. */
const REDISTRIBUTORS = 0x080a0000;
const ITS_BASE = 0x08080000;

/**
 * KVM's GICv3 as the guest sees it, through the list registers of a host with 4 of them (gic.md D0.7). Between steps no
 * vCPU is in the guest: one that does something enters, does it, and exits; what traps happens between an exit and an
 * entry.
 */
class VirtualTarget implements Target {
  private readonly host: GicV3;
  private readonly vm: ReplayVm;
  private readonly vgic: Vgic;
  private readonly its: Its | null;
  private readonly timers: readonly VirtualTimerLine[];

  constructor(cpus: number, hasIts: boolean, compat: Compat) {
    this.host = new GicV3({ cpus });
    this.vm = new ReplayVm(new Sim({ cpus }), this.host, cpus);
    const vgic = run(createVgic(this.vm, 3, null, { compat }));
    if (typeof vgic === "number") throw new Error(`KVM_CREATE_DEVICE answers ${vgic}`);
    this.vgic = vgic;
    vgic.dist.nrSpis = SPIS;
    const error = run(vgic.init());
    if (error !== 0) throw new Error(`INIT answers ${error}`);
    const its = hasIts ? run(createIts(vgic.dist)) : null;
    if (typeof its === "number") throw new Error(`KVM_CREATE_DEVICE of an ITS answers ${its}`);
    this.its = its;
    if (this.its !== null) {
      this.its.base = ITS_BASE;
      this.its.appear();
    }
    vgic.dist.redistRegions.push(new RedistRegion(0, REDISTRIBUTORS, 0));
    for (let cpu = 0; cpu < cpus; cpu++) {
      run(vgic.dist.frames.bindRedist(vgic.dist.cpus[cpu]));
      run(vgic.load(cpu, cpu));
    }
    this.timers = Array.from({ length: cpus }, () => new VirtualTimerLine());
  }

  *perform(step: ArmStep): Step<Observation> {
    switch (step.op) {
      case "read":
        return yield* this.read(step.reg, Number(step.off), step.size, step.cpu, step.rd ?? step.cpu);
      case "write":
        yield* this.write(step.reg, Number(step.off), step.size, step.cpu, step.rd ?? step.cpu, step.value);
        return null;
      case "sysRead":
        return yield* this.sysRead(step.reg, step.cpu);
      case "sysWrite":
        yield* this.sysWrite(step.reg, step.cpu, step.value);
        return null;
      case "setIrq":
        yield* this.vgic.inject(-1, step.intid, step.level === 1, null);
        return null;
      case "setPpi":
        yield* this.vgic.inject(step.cpu, step.intid, step.level === 1, null);
        return null;
      case "drain":
        return yield* this.drain(step.cpu);
      case "memWrite":
        this.vm.ram.memory.copyOut(Number(step.addr), bytesOf(step.data));
        return null;
      case "memRead":
        return this.memRead(Number(step.addr), step.size);
      case "itsCmd":
        return yield* this.command(step.dw, Number(step.slot), step.cwriter);
      case "msi":
        yield* this.vgic.injectMsi({ addressLo: ITS_BASE, addressHi: 0, data: Number(step.eventId), flags: KVM_MSI_VALID_DEVID, devid: Number(step.deviceId) });
        return null;
      default:
        throw new Error(`${step.op} reached the virtual target: a rule of left-out.ts is missing`);
    }
  }

  /** Into the guest and out again. */
  private *cycle(cpu: number): Step<void> {
    yield* this.vm.enter(this.vgic, cpu);
    yield* this.vm.exit(this.vgic, cpu);
  }

  private *read(reg: string, offset: number, size: number, cpu: number, owner: number): Step<string> {
    yield* this.cycle(cpu);
    const frame = this.frameOf(reg, owner);
    const low = yield* frame.mmioRead(this.vm.vcpus[cpu], offset, size);
    const high = size === 8 ? frame.high : 0;
    yield* this.cycle(cpu);
    return hexOf(low, high);
  }

  private *write(reg: string, offset: number, size: number, cpu: number, owner: number, value: string): Step<void> {
    yield* this.cycle(cpu);
    yield* this.frameOf(reg, owner).mmioWrite(this.vm.vcpus[cpu], offset, size, lowOf(value), highOf(value));
    yield* this.cycle(cpu);
  }

  private memRead(address: number, size: number): string {
    const bytes = new Uint8Array(size);
    if (!this.vm.ram.memory.copyIn(address, bytes)) throw new Error(`the vector reads at ${address.toString(16)}, where it has no RAM`);
    return hexOfBytes(bytes);
  }

  /** vCPU 0 queues a command and looks how far the ITS has come. */
  private *command(dw: readonly string[], slot: number, cwriter: string): Step<string> {
    dw.forEach((word, i) => {
      this.vm.ram.memory.setU32(ITS_QUEUE + slot + 8 * i, lowOf(word) >>> 0);
      this.vm.ram.memory.setU32(ITS_QUEUE + slot + 8 * i + 4, highOf(word) >>> 0);
    });
    yield* this.write("GITS_CWRITER", CWRITER, 8, 0, 0, cwriter);
    return yield* this.read("GITS_CREADR", CREADR, 8, 0, 0);
  }

  private frameOf(reg: string, owner: number): MmioDevice {
    const { dist } = this.vgic;
    if (reg.startsWith("GITS") && this.its !== null) return this.its;
    return reg.startsWith("GICD") ? dist.frames.distributor : dist.frames.redist(dist.cpus[owner]);
  }

  private *sysRead(reg: string, cpu: number): Step<string> {
    const vif = this.host.ich(cpu);
    yield* this.vm.enter(this.vgic, cpu);
    const value = reg === "ISR_EL1" ? (vif.isSignalled(1) ? ISR_IRQ : 0) | (vif.isSignalled(0) ? ISR_FIQ : 0) : yield* vif.readIcv(encodingOf(reg));
    yield* this.vm.exit(this.vgic, cpu);
    return hexOf(value);
  }

  private *sysWrite(reg: string, cpu: number, value: string): Step<void> {
    if (this.timers[cpu].write(reg, value)) {
      yield* this.cycle(cpu);
      yield* this.vgic.inject(cpu, VIRTUAL_TIMER_PPI, this.timers[cpu].isHigh, null);
      yield* this.cycle(cpu);
      return;
    }
    const encoding = encodingOf(reg);
    yield* this.vm.enter(this.vgic, cpu);
    if (this.traps(encoding, cpu)) {
      yield* this.vm.exit(this.vgic, cpu);
      yield* this.vgic.guestSysregWrite(cpu, encoding, lowOf(value), highOf(value));
      yield* this.vm.enter(this.vgic, cpu);
    } else yield* this.host.ich(cpu).writeIcv(encoding, lowOf(value));
    yield* this.vm.exit(this.vgic, cpu);
  }

  private traps(encoding: number, cpu: number): boolean {
    if (encoding === Icc.DIR) return (this.host.ich(cpu).hcr & IchHcr.TDIR) !== 0;
    return encoding === Icc.SGI0R || encoding === Icc.SGI1R || encoding === Icc.ASGI1R;
  }

  /** Every vCPU takes part once first, so that what has to move has moved. */
  private *drain(cpu: number): Step<number[]> {
    for (let each = 0; each < this.vm.vcpus.length; each++) yield* this.cycle(each);
    const taken: number[] = [];
    const vif = this.host.ich(cpu);
    while (taken.length < MOST_DRAINED) {
      yield* this.vm.enter(this.vgic, cpu);
      const intid = yield* vif.readIcv(Icc.IAR1);
      const isNone = isSpecial(intid);
      if (!isNone) yield* vif.writeIcv(Icc.EOIR1, intid);
      yield* this.vm.exit(this.vgic, cpu);
      if (isNone) break;
      taken.push(intid);
    }
    return taken;
  }
}

/** Held to what KVM answered, where that differs from QEMU. */
export const VIRTUAL: TargetMaker = {
  make: (vector: ArmVector, compat: Compat): Target => new VirtualTarget(vector.cpus ?? 1, vector.machine?.includes("its=on") ?? false, compat),
  answersAs: "kvm",
};
