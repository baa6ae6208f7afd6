import { Icc, Ich } from "../arch/gic/icc.js";
import { GicV3 } from "../host/gic/gicv3.js";
import { QEMU_GICV3, QEMU_GICV4 } from "../host/gic/implementation.js";
import { HostRam } from "../host/gic/its/host-ram.js";
import { QEMU_ITS, QEMU_ITS_V4 } from "../host/gic/its/implementation.js";
import { PhysicalIts } from "../host/gic/its/physical-its.js";
import { reads } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import type { Observation, Target, TargetMaker } from "./target.js";
import type { ArmStep, ArmVector } from "./vector.js";
import { CREADR, CWRITER, encodingOf, ISR_FIQ, ISR_IRQ, isSpecial, ITS_QUEUE, MOST_DRAINED, VIRTUAL_TIMER_PPI } from "./virt-machine.js";
import { VirtualTimerLine } from "./virtual-timer-line.js";
import { bytesOf, hexOf, hexOfBytes, highOf, lowOf } from "./word.js";

/** 32 private interrupts and 256 SPIs: QEMU's virt machine. */
const INTERRUPTS = 288;
const RAM_START = 0x40000000;
const RAM_SIZE = 0x2000000;

/** The physical GICv3 or GICv4 and its ITS with QEMU's implementation choices, driven by registers, input lines and messages. */
class PhysicalTarget implements Target {
  private readonly gic: GicV3;
  private readonly timers: readonly VirtualTimerLine[];

  private readonly its: PhysicalIts;
  private readonly ram = new HostRam(RAM_START, RAM_SIZE);

  constructor(cpus: number, isV4: boolean) {
    this.gic = new GicV3({ cpus, interrupts: INTERRUPTS, implementation: isV4 ? QEMU_GICV4 : QEMU_GICV3, ram: this.ram });
    this.its = new PhysicalIts(this.gic, isV4 ? QEMU_ITS_V4 : QEMU_ITS);
    this.timers = Array.from({ length: cpus }, () => new VirtualTimerLine());
  }

  *perform(step: ArmStep): Step<Observation> {
    switch (step.op) {
      case "read":
        return yield* this.read(step.reg, Number(step.off), step.size, step.rd ?? step.cpu);
      case "write":
        yield* this.write(step.reg, Number(step.off), step.size, step.rd ?? step.cpu, step.value);
        return null;
      case "sysRead":
        return yield* this.sysRead(step.reg, step.cpu);
      case "sysWrite":
        yield* this.sysWrite(step.reg, step.cpu, step.value);
        return null;
      case "setIrq":
        yield* this.gic.setSpi(step.intid, step.level === 1);
        return null;
      case "setPpi":
        yield* this.gic.setPpi(step.cpu, step.intid, step.level === 1);
        return null;
      case "drain":
        return yield* this.drain(step.cpu);
      case "vSysRead":
        return hexOf(yield* this.gic.ich(step.cpu).readIcv(encodingOf(step.reg)));
      case "vSysWrite":
        yield* this.gic.ich(step.cpu).writeIcv(encodingOf(step.reg), lowOf(step.value));
        return null;
      case "vDrain":
        return yield* this.drainVirtual(step.cpu);
      case "memWrite":
        bytesOf(step.data).forEach((byte, i) => this.ram.setU8(Number(step.addr) + i, byte));
        return null;
      case "memRead":
        return hexOfBytes(Uint8Array.from({ length: step.size }, (_, i) => this.ram.u8(Number(step.addr) + i)));
      case "itsCmd":
        return yield* this.command(step.dw, Number(step.slot), step.cwriter);
      case "msi":
        yield* this.its.message(Number(step.deviceId), Number(step.eventId));
        return null;
    }
  }

  private *read(reg: string, offset: number, size: number, frame: number): Step<string> {
    if (reg.startsWith("GITS")) {
      const value = yield* this.its.read(offset, size);
      return hexOf(value, this.its.high);
    }
    const isDistributor = reg.startsWith("GICD");
    const low = isDistributor ? yield* this.gic.readGicd(offset, size) : yield* this.gic.readGicr(frame, offset, size);
    return hexOf(low, this.gic.high);
  }

  private *write(reg: string, offset: number, size: number, frame: number, value: string): Step<void> {
    if (reg.startsWith("GITS")) yield* this.its.write(offset, size, lowOf(value), highOf(value));
    else if (reg.startsWith("GICD")) yield* this.gic.writeGicd(offset, size, lowOf(value), highOf(value));
    else yield* this.gic.writeGicr(frame, offset, size, lowOf(value), highOf(value));
  }

  private *sysRead(reg: string, cpu: number): Step<string> {
    if (reg === "ISR_EL1") {
      yield reads(this.gic, "GIC");
      return hexOf([0, ISR_FIQ, ISR_IRQ][this.gic.interfaces[cpu].signalled() + 1]);
    }
    const encoding = encodingOf(reg);
    if (!reg.startsWith("ICH")) return hexOf(yield* this.gic.readSysreg(cpu, encoding));
    const vif = this.gic.ich(cpu);
    return hexOf(vif.readIch(encoding), encoding >= Ich.LR0 && encoding <= Ich.LR15 ? vif.lrHi[encoding - Ich.LR0] : 0);
  }

  private *sysWrite(reg: string, cpu: number, value: string): Step<void> {
    if (reg.startsWith("ICH")) return yield* this.gic.ich(cpu).writeIch(encodingOf(reg), lowOf(value), highOf(value));
    if (!this.timers[cpu].write(reg, value)) return yield* this.gic.writeSysreg(cpu, encodingOf(reg), lowOf(value), highOf(value));
    yield* this.gic.setPpi(cpu, VIRTUAL_TIMER_PPI, this.timers[cpu].isHigh);
  }

  /** Queues a command and looks how far the ITS has come. */
  private *command(dw: readonly string[], slot: number, cwriter: string): Step<string> {
    dw.forEach((word, i) => {
      this.ram.setWord(ITS_QUEUE + slot + 8 * i, lowOf(word));
      this.ram.setWord(ITS_QUEUE + slot + 8 * i + 4, highOf(word));
    });
    yield* this.its.write(CWRITER, 8, lowOf(cwriter), highOf(cwriter));
    return hexOf(yield* this.its.read(CREADR, 8));
  }

  private *drainVirtual(cpu: number): Step<number[]> {
    const taken: number[] = [];
    const vif = this.gic.ich(cpu);
    while (taken.length < MOST_DRAINED) {
      const intid = yield* vif.readIcv(Icc.IAR1);
      if (isSpecial(intid)) break;
      taken.push(intid);
      yield* vif.writeIcv(Icc.EOIR1, intid);
    }
    return taken;
  }

  private *drain(cpu: number): Step<number[]> {
    const taken: number[] = [];
    while (taken.length < MOST_DRAINED) {
      const intid = yield* this.gic.readSysreg(cpu, Icc.IAR1);
      if (isSpecial(intid)) break;
      taken.push(intid);
      yield* this.gic.writeSysreg(cpu, Icc.EOIR1, intid, 0);
    }
    return taken;
  }
}

/** Held to QEMU's answers. */
export const PHYSICAL: TargetMaker = {
  make: (vector: ArmVector): Target => new PhysicalTarget(vector.cpus ?? 1, vector.machine?.includes("gic-version=4") ?? false),
  answersAs: "qemu",
};
