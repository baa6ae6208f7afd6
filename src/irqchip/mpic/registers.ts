import type { Step } from "../../sim/step.js";
import { ENXIO } from "../../uapi/errno.js";
import { FIRST_IPI, FIRST_TIMER, MPIC_SOURCES, MSI_REGISTERS, NOTHING_READ } from "./constants.js";
import type { Mpic } from "./mpic.js";

// The register map of mpic.md 4: 32-bit registers in regions. Every access is made with the controller's lock held.

/** What a read gave: 0 with the value in `value`, or -ENXIO. */
export class RegisterValue {
  value = 0;
}

interface Region {
  readonly start: number;
  readonly size: number;
  /** The value as int32; -ENXIO by {@link Refused}. */
  read(mpic: Mpic, offset: number, cpu: number, into: RegisterValue): Step<number>;
  write(mpic: Mpic, offset: number, cpu: number, value: number): Step<number>;
}

const FRR_VERSION = 2;
const COUNT_INHIBIT = 1 << 31;
const TOGGLE = 1 << 31;

class Global implements Region {
  readonly start = 0;
  readonly size = 0x10f0;

  *read(mpic: Mpic, offset: number, cpu: number, into: RegisterValue): Step<number> {
    into.value = NOTHING_READ;
    if ((offset & 0xf) !== 0) return 0;
    if (offset >= 0x40 && offset <= 0xb0) return cpu < 0 ? 0 : yield* readCpu(mpic, offset, cpu, into);
    if (offset >= 0x10a0 && offset <= 0x10d0) into.value = mpic.ivpr[FIRST_IPI + ((offset - 0x10a0) >> 4)];
    else into.value = readGlobal(mpic, offset);
    return 0;
  }

  *write(mpic: Mpic, offset: number, cpu: number, value: number): Step<number> {
    if ((offset & 0xf) !== 0) return 0;
    if (offset >= 0x40 && offset <= 0xb0) return cpu < 0 ? 0 : yield* writeCpu(mpic, offset, cpu, value);
    if (offset >= 0x10a0 && offset <= 0x10d0) yield* mpic.writeIvpr(FIRST_IPI + ((offset - 0x10a0) >> 4), value);
    else if (offset === 0x1020) yield* mpic.writeGcr(value);
    else if (offset === 0x1090) return -ENXIO; // a reset of CPUs is user space's
    else if (offset === 0x10e0) mpic.spuriousVector = value & 0xffff;
    return 0;
  }
}

function readGlobal(mpic: Mpic, offset: number): number {
  switch (offset) {
    case 0x0000:
      return mpic.model.brr1;
    case 0x1000:
      return ((mpic.model.reportedSources - 1) << 16) | ((mpic.nbCpus - 1) << 8) | FRR_VERSION;
    case 0x1020:
      return mpic.gcr;
    case 0x1080:
    case 0x1090:
      return 0;
    case 0x10e0:
      return mpic.spuriousVector;
    default:
      return NOTHING_READ;
  }
}

/** The read decoder forgets that the region does not begin at a timer: each register reads as the next one (mpic.md 4), unless that is repaired. */
class Timers implements Region {
  readonly start = 0x10f0;
  readonly size = 0x220;

  *read(mpic: Mpic, offset: number, cpu: number, into: RegisterValue): Step<number> {
    into.value = NOTHING_READ;
    if ((offset & 0xf) !== 0) return 0;
    if (offset === 0) {
      into.value = mpic.timerFrequency;
      return 0;
    }
    const at = mpic.isFixed ? offset - 0x10 : offset;
    const timer = (at >> 6) & 3;
    if (mpic.isFixed) mpic.repaired("timers", FIRST_TIMER + timer, cpu);
    into.value = [mpic.timerCount[timer], mpic.timerBase[timer], mpic.ivpr[FIRST_TIMER + timer], mpic.idr[FIRST_TIMER + timer]][(at >> 4) & 3];
    return 0;
  }

  *write(mpic: Mpic, offset: number, _cpu: number, value: number): Step<number> {
    if ((offset & 0xf) !== 0) return 0;
    if (offset === 0) {
      mpic.timerFrequency = value;
      return 0;
    }
    const at = offset - 0x10;
    const timer = (at >> 6) & 3;
    switch ((at >> 4) & 3) {
      case 1:
        if ((mpic.timerCount[timer] & TOGGLE) !== 0 && (value & COUNT_INHIBIT) === 0 && (mpic.timerBase[timer] & COUNT_INHIBIT) !== 0) mpic.timerCount[timer] &= ~TOGGLE;
        mpic.timerBase[timer] = value;
        break;
      case 2:
        yield* mpic.writeIvpr(FIRST_TIMER + timer, value);
        break;
      case 3:
        yield* mpic.writeIdr(FIRST_TIMER + timer, value);
        break;
    }
    return 0;
  }
}

class Messages implements Region {
  readonly start = 0x1600;
  readonly size = 0x200;

  *read(mpic: Mpic, offset: number, _cpu: number, into: RegisterValue): Step<number> {
    if ((offset & 0xf) !== 0) return -ENXIO;
    into.value = 0;
    if (offset < MSI_REGISTERS << 4) into.value = yield* mpic.readMsir(offset >> 4);
    else if (offset === 0x120) for (let i = 0; i < MSI_REGISTERS; i++) into.value |= mpic.msir[i] === 0 ? 0 : 1 << i;
    return 0;
  }

  *write(mpic: Mpic, offset: number, _cpu: number, value: number): Step<number> {
    if (offset === 0x140) yield* mpic.message(value);
    return 0;
  }
}

class Summary implements Region {
  readonly start = 0x3800;
  readonly size = 0x800;

  *read(_mpic: Mpic, _offset: number, _cpu: number, into: RegisterValue): Step<number> {
    into.value = 0;
    return 0;
  }

  *write(): Step<number> {
    return 0;
  }
}

class Sources implements Region {
  readonly start = 0x1_0000;
  readonly size = MPIC_SOURCES * 0x20;

  *read(mpic: Mpic, offset: number, _cpu: number, into: RegisterValue): Step<number> {
    const irq = offset >> 5;
    const register = offset & 0x1f;
    into.value = NOTHING_READ;
    if (register === 0x00) into.value = mpic.ivpr[irq];
    else if (register === 0x10) into.value = mpic.idr[irq];
    else if (register === 0x18 && !mpic.model.hasCriticalTargets) into.value = mpic.output[irq];
    return 0;
  }

  *write(mpic: Mpic, offset: number, _cpu: number, value: number): Step<number> {
    const irq = offset >> 5;
    const register = offset & 0x1f;
    if (register === 0x00) yield* mpic.writeIvpr(irq, value);
    else if (register === 0x10) yield* mpic.writeIdr(irq, value);
    else if (register === 0x18) mpic.writeIlr(irq, value);
    return 0;
  }
}

/** Every CPU's registers, whoever accesses them. */
class Cpus implements Region {
  readonly start = 0x2_0000;
  readonly size = 0x1_f100;

  *read(mpic: Mpic, offset: number, _cpu: number, into: RegisterValue): Step<number> {
    return yield* readCpu(mpic, offset & 0xfff, offset >> 12, into);
  }

  *write(mpic: Mpic, offset: number, _cpu: number, value: number): Step<number> {
    return yield* writeCpu(mpic, offset & 0xfff, offset >> 12, value);
  }
}

function* readCpu(mpic: Mpic, offset: number, cpu: number, into: RegisterValue): Step<number> {
  into.value = NOTHING_READ;
  switch (offset) {
    case 0x80:
      into.value = mpic.cpus[cpu].ctpr;
      break;
    case 0x90:
      into.value = cpu;
      break;
    case 0xa0:
      into.value = yield* mpic.acknowledge(cpu);
      break;
    case 0xb0:
      into.value = 0;
      break;
  }
  return 0;
}

function* writeCpu(mpic: Mpic, offset: number, cpu: number, value: number): Step<number> {
  if (offset >= 0x40 && offset <= 0x70 && (offset & 0xf) === 0) yield* mpic.sendIpi((offset - 0x40) >> 4, value);
  else if (offset === 0x80) yield* mpic.writeCtpr(cpu, value);
  else if (offset === 0xb0) yield* mpic.endOfInterrupt(cpu);
  return 0;
}

const REGIONS: readonly Region[] = [new Global(), new Timers(), new Messages(), new Summary(), new Sources(), new Cpus()];

function regionOf(offset: number): Region | null {
  for (let i = 0; i < REGIONS.length; i++) if (offset >= REGIONS[i].start && offset < REGIONS[i].start + REGIONS[i].size) return REGIONS[i];
  return null;
}

/**
 * A read by a CPU, or by nobody (-1), with the side effects of the register: 0, or -ENXIO where there is none.
 * @param offset from the base, any byte of the register's
 */
export function* readRegister(mpic: Mpic, offset: number, cpu: number, into: RegisterValue): Step<number> {
  const region = regionOf(offset);
  if (region === null) return -ENXIO;
  yield* mpic.lock.lock();
  const result = yield* region.read(mpic, offset - region.start, cpu, into);
  yield* mpic.lock.unlock();
  return result;
}

/** A write of 32 bits: 0, or -ENXIO where there is no register, or it is user space's. */
export function* writeRegister(mpic: Mpic, offset: number, cpu: number, value: number): Step<number> {
  const region = regionOf(offset);
  if (region === null) return -ENXIO;
  yield* mpic.lock.lock();
  const result = yield* region.write(mpic, offset - region.start, cpu, value);
  yield* mpic.lock.unlock();
  return result;
}
