import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { SourceWord } from "../../irqchip/sources.js";
import { readIcpWord, writeIcpWord } from "../../irqchip/xics/device.js";
import type { Step } from "../../sim/step.js";
import { EBADF, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { KVM_GET_REGS, KVM_INTERRUPT_SET_LEVEL, KVM_INTERRUPT_UNSET, KVM_REG_PPC_ICP_STATE_HI, KVM_REG_PPC_ICP_STATE_LO, kvm_regs, KVM_SET_REGS, MSR_EE } from "../../uapi/powerpc.js";
import { KvmDeviceFile } from "../device.js";
import type { PpcVcpu } from "./vcpu.js";
import { connectMpic } from "./mpic.js";
import { connectXics } from "./xics.js";
import { signalMask } from "../signal-mask.js";
import { VcpuDescriptor } from "../vcpu-descriptor.js";

const ENABLE_CAP = new UserArgument(K.kvm_enable_cap.size);
const ONE_REG = new UserArgument(K.kvm_one_reg.size);
const U64 = new UserArgument(8);
const REGS = new UserArgument(kvm_regs.size);
const INTERRUPT = new UserArgument(K.kvm_interrupt.size);
const MP_STATE = new UserArgument(K.kvm_mp_state.size);

/** The descriptor of a vCPU on POWER. */
export class PpcVcpuFile extends VcpuDescriptor {
  constructor(override readonly vcpu: PpcVcpu) {
    super();
  }

  /** KVM_INTERRUPT is for a vCPU that runs. KVM_SET_ONE_REG, too, keeps the vCPU out of its guest: its owner alone changes a CPPR, and compares without a transaction (R25). */
  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    const isUnlocked = request === K.KVM_INTERRUPT || (request === K.KVM_SET_ONE_REG && this.vcpu.vm.hazards.oneRegUnlocked);
    return isUnlocked && this.vcpu.vm.admits(process) >= 0 ? yield* this.dispatch(process, request, argument) : yield* super.ioctl(process, request, argument);
  }

  protected override *dispatch(process: Process, request: number, argument: number): Step<number> {
    const { vcpu } = this;
    switch (request) {
      case K.KVM_INTERRUPT:
        return yield* interrupt(vcpu, process, argument);
      case K.KVM_ENABLE_CAP:
        return yield* enableCap(vcpu, process, argument);
      case K.KVM_GET_ONE_REG:
        return yield* oneReg(vcpu, process, argument, false);
      case K.KVM_SET_ONE_REG:
        return yield* oneReg(vcpu, process, argument, true);
      case KVM_GET_REGS:
        readRegs(vcpu);
        return REGS.copyOut(process, argument) ? 0 : -EFAULT;
      case KVM_SET_REGS:
        return REGS.copyIn(process, argument) ? writeRegs(vcpu) : -EFAULT;
      case K.KVM_SET_SIGNAL_MASK:
        return signalMask(vcpu, process, argument);
      case K.KVM_GET_MP_STATE:
        K.kvm_mp_state.mp_state.set(MP_STATE.view, K.KVM_MP_STATE_RUNNABLE);
        return MP_STATE.copyOut(process, argument) ? 0 : -EFAULT;
      default:
        return -EINVAL;
    }
  }
}

/** KVM_INTERRUPT: an external interrupt of user space's controller; whatever is not UNSET raises, and SET_LEVEL stays until UNSET. */
function* interrupt(vcpu: PpcVcpu, process: Process, argument: number): Step<number> {
  if (!INTERRUPT.copyIn(process, argument)) return -EFAULT;
  const level = K.kvm_interrupt.irq.get(INTERRUPT.view);
  if (level === KVM_INTERRUPT_UNSET) yield* vcpu.lowerExternal();
  else yield* vcpu.interrupt(level !== KVM_INTERRUPT_SET_LEVEL);
  return 0;
}

/** What is modelled of them: general registers, program counter, EE of MSR and of what an interrupt saved. The rest reads as 0. */
function readRegs({ regs }: PpcVcpu): void {
  const { view } = REGS;
  new Uint8Array(view.buffer).fill(0);
  kvm_regs.pc.setNumber(view, regs.pc);
  kvm_regs.msr.setHalves(view, regs.isEnabled ? MSR_EE : 0, 0);
  kvm_regs.srr0.setNumber(view, regs.srr0);
  kvm_regs.srr1.setHalves(view, regs.wasEnabled ? MSR_EE : 0, 0);
  for (let i = 0; i < kvm_regs.gpr.length; i++) kvm_regs.gpr[i].setHalves(view, regs.lo[i], regs.hi[i]);
}

function writeRegs({ regs }: PpcVcpu): number {
  const { view } = REGS;
  regs.pc = kvm_regs.pc.getNumber(view);
  regs.isEnabled = (kvm_regs.msr.lo(view) & MSR_EE) !== 0;
  regs.srr0 = kvm_regs.srr0.getNumber(view);
  regs.wasEnabled = (kvm_regs.srr1.lo(view) & MSR_EE) !== 0;
  for (let i = 0; i < kvm_regs.gpr.length; i++) {
    regs.lo[i] = kvm_regs.gpr[i].lo(view);
    regs.hi[i] = kvm_regs.gpr[i].hi(view);
  }
  return 0;
}

/** xics.md 5.2, mpic.md 3: a controller for a vCPU. */
function* enableCap(vcpu: PpcVcpu, process: Process, argument: number): Step<number> {
  if (!ENABLE_CAP.copyIn(process, argument)) return -EFAULT;
  const { cap, flags, args } = K.kvm_enable_cap;
  if (flags.get(ENABLE_CAP.view) !== 0) return -EINVAL;
  const capability = cap.get(ENABLE_CAP.view);
  if (capability === K.KVM_CAP_PPC_EPR && vcpu.arch.hasProxy) {
    vcpu.asksForVector = args[0].lo(ENABLE_CAP.view) !== 0 || args[0].hi(ENABLE_CAP.view) !== 0;
    return 0;
  }
  if (capability !== vcpu.arch.controllerCapability) return -EINVAL;
  const server = args[1].lo(ENABLE_CAP.view);
  const file = process.file(args[0].lo(ENABLE_CAP.view));
  if (file === null) return -EBADF;
  const device = file instanceof KvmDeviceFile ? file.device : null;
  return capability === K.KVM_CAP_IRQ_XICS ? yield* connectXics(device, vcpu, server) : yield* connectMpic(device, vcpu, server);
}

/** xics.md 5.5: the one register there is here. */
function* oneReg(vcpu: PpcVcpu, process: Process, argument: number, isSet: boolean): Step<number> {
  if (!ONE_REG.copyIn(process, argument)) return -EFAULT;
  const { id, addr } = K.kvm_one_reg;
  const address = addr.getNumber(ONE_REG.view);
  if (id.hi(ONE_REG.view) !== KVM_REG_PPC_ICP_STATE_HI || id.lo(ONE_REG.view) !== KVM_REG_PPC_ICP_STATE_LO) return -EINVAL;
  if (isSet && !U64.copyIn(process, address)) return -EFAULT;
  const lo = U64.view.getInt32(0, true);
  const hi = U64.view.getInt32(4, true);
  const { icp, arch } = vcpu;
  if (icp === null || arch.xics === null) return -ENXIO;
  if (isSet) return yield* writeIcpWord(arch.xics, icp, lo, hi);
  const word = new SourceWord();
  yield* readIcpWord(icp, word);
  U64.view.setInt32(0, word.lo, true);
  U64.view.setInt32(4, word.hi, true);
  return U64.copyOut(process, address) ? 0 : -EFAULT;
}
