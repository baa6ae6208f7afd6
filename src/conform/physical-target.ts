import { Icc, systemRegisterNamed } from "../arch/gic/icc.js";
import { GicV3 } from "../host/gic/gicv3.js";
import { QEMU_GICV3 } from "../host/gic/implementation.js";
import { reads } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import type { Observation, Target, TargetMaker } from "./target.js";
import type { ArmStep, ArmVector } from "./vector.js";
import { VirtualTimerLine } from "./virtual-timer-line.js";
import { hexOf, highOf, lowOf } from "./word.js";

/** 32 private interrupts and 256 SPIs: QEMU's virt machine. */
const INTERRUPTS = 288;
const MOST_DRAINED = 64;
const FIRST_SPECIAL = 1020;
const LAST_SPECIAL = 1023;
const VIRTUAL_TIMER_PPI = 27;
const ISR_IRQ = 0x80;
const ISR_FIQ = 0x40;

/** The physical GICv3 with QEMU's implementation choices, driven by its registers and input lines. */
class PhysicalTarget implements Target {
  private readonly gic: GicV3;
  private readonly timers: readonly VirtualTimerLine[];

  constructor(cpus: number) {
    this.gic = new GicV3({ cpus, interrupts: INTERRUPTS, implementation: QEMU_GICV3 });
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
      default:
        throw new Error(`${step.op} reached the physical target: a rule of left-out.ts is missing`);
    }
  }

  private *read(reg: string, offset: number, size: number, frame: number): Step<string> {
    const isDistributor = reg.startsWith("GICD");
    const low = isDistributor ? yield* this.gic.readGicd(offset, size) : yield* this.gic.readGicr(frame, offset, size);
    return hexOf(low, this.gic.high);
  }

  private *write(reg: string, offset: number, size: number, frame: number, value: string): Step<void> {
    if (reg.startsWith("GICD")) yield* this.gic.writeGicd(offset, size, lowOf(value), highOf(value));
    else yield* this.gic.writeGicr(frame, offset, size, lowOf(value));
  }

  private *sysRead(reg: string, cpu: number): Step<string> {
    if (reg === "ISR_EL1") {
      yield reads(this.gic, "GIC");
      return hexOf([0, ISR_FIQ, ISR_IRQ][this.gic.interfaces[cpu].signalled() + 1]);
    }
    return hexOf(yield* this.gic.readSysreg(cpu, encodingOf(reg)));
  }

  private *sysWrite(reg: string, cpu: number, value: string): Step<void> {
    if (!this.timers[cpu].write(reg, value)) return yield* this.gic.writeSysreg(cpu, encodingOf(reg), lowOf(value), highOf(value));
    yield* this.gic.setPpi(cpu, VIRTUAL_TIMER_PPI, this.timers[cpu].isHigh);
  }

  private *drain(cpu: number): Step<number[]> {
    const taken: number[] = [];
    while (taken.length < MOST_DRAINED) {
      const intid = yield* this.gic.readSysreg(cpu, Icc.IAR1);
      if (intid >= FIRST_SPECIAL && intid <= LAST_SPECIAL) break;
      taken.push(intid);
      yield* this.gic.writeSysreg(cpu, Icc.EOIR1, intid, 0);
    }
    return taken;
  }
}

function encodingOf(reg: string): number {
  const register = systemRegisterNamed(reg);
  if (register === undefined) throw new Error(`${reg} reached the physical target: a rule of left-out.ts is missing`);
  return register.encoding;
}

/** Held to QEMU's answers. */
export const PHYSICAL: TargetMaker = {
  make: (vector: ArmVector): Target => new PhysicalTarget(vector.cpus ?? 1),
  answersAs: "qemu",
};
