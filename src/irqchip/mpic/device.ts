import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EEXIST, EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import { KVM_DEV_MPIC_BASE_ADDR, KVM_DEV_MPIC_GRP_IRQ_ACTIVE, KVM_DEV_MPIC_GRP_MISC, KVM_DEV_MPIC_GRP_REGISTER } from "../../uapi/powerpc.js";
import type { IrqchipVcpu, KvmDeviceOps, MmioDevice } from "../contract.js";
import type { SourceController, SourceWord } from "../sources.js";
import { Ivpr, MPIC_CPUS, MPIC_SIZE, MPIC_SOURCES } from "./constants.js";
import type { MpicVcpu } from "./contract.js";
import type { Mpic } from "./mpic.js";
import { readRegister, RegisterValue, writeRegister } from "./registers.js";

const U64 = new UserArgument(8);
const U32 = new UserArgument(4);

// Of a source's word: urgencies that there are, and the MPIC's own bits (VECTORS.md has the table).
const URGENCY_MASK = 0xf;
const POLARITY = 1 << 1;
const OUTPUT_SHIFT = 2;
const VECTOR_SHIFT = 5;

/** KVM_DEV_TYPE_FSL_MPIC_20 and _42 (mpic.md 3): attributes, the register window, and the calls of 2013. */
export class MpicDevice implements KvmDeviceOps, MmioDevice, SourceController {
  readonly name: string;
  readonly firstSource = 0;
  readonly lastSource = MPIC_SOURCES - 1;
  /** {@link MmioDevice}: registers have 32 bits. */
  high = 0;
  isRefused = false;
  private baseLo = 0;
  private baseHi = 0;

  /** @param released detaches what is outside */
  constructor(
    readonly mpic: Mpic,
    private readonly released: { detach(): Step<void> },
  ) {
    this.name = mpic.model.name;
  }

  /** 3: 0, -EPERM, -EEXIST or -EBUSY, in this order. */
  *connect(vcpu: MpicVcpu, cpu: number, isBusy: boolean): Step<number> {
    const { mpic } = this;
    if (cpu >= MPIC_CPUS) return -EPERM;
    yield* mpic.lock.lock();
    const slot = mpic.cpus[cpu];
    const result = slot.vcpu !== null ? -EEXIST : isBusy ? -EBUSY : 0;
    if (result === 0) {
      slot.vcpu = vcpu;
      mpic.nbCpus = Math.max(mpic.nbCpus, cpu + 1);
    }
    yield* mpic.lock.unlock();
    return result;
  }

  *setAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    const attr = attrLo >>> 0;
    switch (group) {
      case KVM_DEV_MPIC_GRP_MISC:
        if (attr !== KVM_DEV_MPIC_BASE_ADDR || attrHi !== 0) return -ENXIO;
        return U64.copyIn(process, address) ? yield* this.setBase(U64.view.getUint32(0, true), U64.view.getUint32(4, true)) : -EFAULT;
      case KVM_DEV_MPIC_GRP_REGISTER:
        if (!U32.copyIn(process, address)) return -EFAULT;
        return isRegister(attr, attrHi) ? yield* writeRegister(this.mpic, attr, -1, U32.view.getInt32(0, true)) : -ENXIO;
      case KVM_DEV_MPIC_GRP_IRQ_ACTIVE:
        if (attr > MPIC_SOURCES || attrHi !== 0) return -EINVAL;
        if (!U32.copyIn(process, address)) return -EFAULT;
        return yield* this.setInput(attr, U32.view.getUint32(0, true));
      default:
        return -ENXIO;
    }
  }

  *getAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    const attr = attrLo >>> 0;
    const into = new RegisterValue();
    switch (group) {
      case KVM_DEV_MPIC_GRP_MISC:
        if (attr !== KVM_DEV_MPIC_BASE_ADDR || attrHi !== 0) return -ENXIO;
        U64.view.setUint32(0, this.baseLo, true);
        U64.view.setUint32(4, this.baseHi, true);
        return U64.copyOut(process, address) ? 0 : -EFAULT;
      case KVM_DEV_MPIC_GRP_REGISTER: {
        const result = isRegister(attr, attrHi) ? yield* readRegister(this.mpic, attr, -1, into) : -ENXIO;
        if (result !== 0) return result;
        break;
      }
      case KVM_DEV_MPIC_GRP_IRQ_ACTIVE:
        if (attr > MPIC_SOURCES || attrHi !== 0) return -EINVAL;
        yield* this.mpic.lock.lock();
        into.value = this.mpic.pending[attr];
        yield* this.mpic.lock.unlock();
        break;
      default:
        return -ENXIO;
    }
    U32.view.setInt32(0, into.value, true);
    return U32.copyOut(process, address) ? 0 : -EFAULT;
  }

  *hasAttr(_process: Process, group: number, attrLo: number, attrHi: number): Step<number> {
    if (group === KVM_DEV_MPIC_GRP_REGISTER) return 0;
    if (attrHi !== 0) return -ENXIO;
    if (group === KVM_DEV_MPIC_GRP_MISC) return attrLo === KVM_DEV_MPIC_BASE_ADDR ? 0 : -ENXIO;
    return group === KVM_DEV_MPIC_GRP_IRQ_ACTIVE && attrLo >>> 0 <= MPIC_SOURCES ? 0 : -ENXIO;
  }

  private *setInput(irq: number, value: number): Step<number> {
    if (value > 1) return -EINVAL;
    yield* this.drive(irq, value === 1);
    return 0;
  }

  /** An input, by anybody. */
  *drive(irq: number, isHigh: boolean): Step<void> {
    yield* this.mpic.lock.lock();
    yield* this.mpic.drive(irq, isHigh);
    yield* this.mpic.lock.unlock();
  }

  /** A message (6): its data goes to MSIIR, wherever its address points. */
  *message(data: number): Step<void> {
    yield* this.mpic.lock.lock();
    yield* this.mpic.message(data);
    yield* this.mpic.lock.unlock();
  }

  /** 5.9: what EPR shows a vCPU that takes its interrupt; null where it reads IACK by itself. */
  *takeProxied(cpu: number): Step<number | null> {
    yield* this.mpic.lock.lock();
    const vector = this.mpic.isProxied ? yield* this.mpic.acknowledge(cpu) : null;
    yield* this.mpic.lock.unlock();
    return vector;
  }

  /** The window: unmapped, then mapped unless the base is 0. */
  private *setBase(lo: number, hi: number): Step<number> {
    if ((lo & (MPIC_SIZE - 1)) !== 0) return -EINVAL;
    if (lo === this.baseLo && hi === this.baseHi) return 0;
    const { slotsLock, mmioBus } = this.mpic.vm;
    yield* slotsLock.lock();
    if (this.isMapped) yield* mmioBus.unregister(this.base, this);
    this.baseLo = lo;
    this.baseHi = hi;
    const result = this.isMapped ? yield* mmioBus.register(this.base, MPIC_SIZE, this) : 0;
    yield* slotsLock.unlock();
    return result;
  }

  private get isMapped(): boolean {
    return this.base !== 0;
  }

  private get base(): number {
    return this.baseHi * 0x1_0000_0000 + this.baseLo;
  }

  /** The register is read before the width is looked at: half an IACK acknowledges, and fails (M17). */
  *mmioRead(vcpu: IrqchipVcpu, offset: number, size: number): Step<number> {
    this.isRefused = false;
    const into = new RegisterValue();
    const isAligned = offset % size === 0;
    const cpu = isAligned ? yield* this.cpuOf(vcpu) : -1;
    const result = isAligned ? yield* readRegister(this.mpic, offset, cpu, into) : -EINVAL;
    this.isRefused = result !== 0 || (size !== 1 && size !== 4);
    return size === 1 ? (into.value >>> (8 * (3 - (offset & 3)))) & 0xff : into.value;
  }

  *mmioWrite(vcpu: IrqchipVcpu, offset: number, size: number, low: number, _high: number): Step<void> {
    const isWord = size === 4 && (offset & 3) === 0;
    const cpu = isWord ? yield* this.cpuOf(vcpu) : -1;
    const result = isWord ? yield* writeRegister(this.mpic, offset, cpu, low) : -ENXIO;
    this.isRefused = result !== 0;
  }

  /** The number that a vCPU was connected under, -1 for none. */
  private *cpuOf(vcpu: IrqchipVcpu): Step<number> {
    yield* this.mpic.lock.lock();
    let found = -1;
    for (let cpu = 0; cpu < MPIC_CPUS && found < 0; cpu++) if (this.mpic.cpus[cpu].vcpu?.id === vcpu.id) found = cpu;
    yield* this.mpic.lock.unlock();
    return found;
  }

  *destroy(): Step<void> {
    yield* this.released.detach();
    this.mpic.lifetime.free();
  }

  /**
   * The word's parts, in the order in which a restore loses nothing (mpic.md 7): what was pending goes while the targets are
   * still those that were told of it, the new input comes behind the mask, and the new mask last.
   */
  *setSource(irq: number, word: SourceWord): Step<number> {
    const { mpic } = this;
    const { destination, priority, isLevel, isMasked, isPending, own } = word;
    const ivpr =
      ((priority & URGENCY_MASK) << Ivpr.PRIORITY_SHIFT) |
      (isLevel ? Ivpr.LEVEL : 0) |
      ((own & POLARITY) !== 0 ? Ivpr.POLARITY : 0) |
      ((own >>> VECTOR_SHIFT) & Ivpr.VECTOR_MASK);
    yield* mpic.lock.lock();
    yield* mpic.setPending(irq, false);
    yield* mpic.writeIdr(irq, destination);
    mpic.writeIlr(irq, (own >> OUTPUT_SHIFT) & 3);
    yield* mpic.writeIvpr(irq, ivpr | Ivpr.MASK);
    if (isPending) yield* mpic.setPending(irq, true);
    if (!isMasked) yield* mpic.writeIvpr(irq, ivpr);
    yield* mpic.lock.unlock();
    return 0;
  }

  *getSource(irq: number, word: SourceWord): Step<number> {
    const { mpic } = this;
    yield* mpic.lock.lock();
    const ivpr = mpic.ivpr[irq];
    const own =
      ((ivpr & Ivpr.POLARITY) !== 0 ? POLARITY : 0) |
      (mpic.model.hasCriticalTargets ? 0 : mpic.output[irq] << OUTPUT_SHIFT) |
      ((ivpr & Ivpr.VECTOR_MASK) << VECTOR_SHIFT);
    word.compose(mpic.idr[irq], mpic.priorityOf(irq), mpic.isLevel[irq] !== 0, (ivpr & Ivpr.MASK) !== 0, mpic.pending[irq] !== 0, own);
    yield* mpic.lock.unlock();
    return 0;
  }
}

const isRegister = (attr: number, attrHi: number): boolean => attrHi === 0 && (attr & 3) === 0;
