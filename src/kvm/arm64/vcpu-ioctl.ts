import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { KVM_ARM_TARGET_GENERIC_V8, KVM_REG_ARM64_U64_HI } from "../../uapi/arm.js";
import { E2BIG, EFAULT, EINVAL, ENOEXEC } from "../../uapi/errno.js";
import {
  KVM_ARM_VCPU_FINALIZE,
  KVM_ARM_VCPU_INIT,
  KVM_GET_MP_STATE,
  KVM_GET_ONE_REG,
  KVM_GET_REG_LIST,
  KVM_SET_MP_STATE,
  KVM_SET_ONE_REG,
  KVM_SET_SIGNAL_MASK,
  kvm_mp_state,
  kvm_one_reg,
  kvm_reg_list,
  kvm_vcpu_init,
} from "../../uapi/kvm.js";
import { UserArgument } from "../../host/user-argument.js";
import { signalMask } from "../signal-mask.js";
import { getOneReg, REGISTER_IDS, RegisterValue, setOneReg } from "./one-reg.js";
import type { Vcpu } from "./vcpu.js";
import { checkInit, getMpState, initVcpu, setMpState } from "./vcpu-init.js";
import { VcpuDescriptor } from "../vcpu-descriptor.js";

const INIT = new UserArgument(kvm_vcpu_init.size);
const ONE_REG = new UserArgument(kvm_one_reg.size);
const MP_STATE = new UserArgument(kvm_mp_state.size);
const REG_LIST = new UserArgument(kvm_reg_list.size);
const U64 = new UserArgument(8);
const VALUE = new RegisterValue();

/** The descriptor of an Arm vCPU. */
export class VcpuFile extends VcpuDescriptor {
  constructor(override readonly vcpu: Vcpu) {
    super();
  }

  protected override *dispatch(process: Process, request: number, argument: number): Step<number> {
    return yield* dispatch(this.vcpu, process, request, argument);
  }
}

function* dispatch(vcpu: Vcpu, process: Process, request: number, argument: number): Step<number> {
  switch (request) {
    case KVM_ARM_VCPU_INIT:
      return yield* vcpuInit(vcpu, process, argument);
    case KVM_GET_ONE_REG:
      return yield* oneReg(vcpu, process, argument, false);
    case KVM_SET_ONE_REG:
      return yield* oneReg(vcpu, process, argument, true);
    case KVM_GET_REG_LIST:
      return regList(vcpu, process, argument);
    case KVM_GET_MP_STATE:
      kvm_mp_state.mp_state.set(MP_STATE.view, yield* getMpState(vcpu));
      return MP_STATE.copyOut(process, argument) ? 0 : -EFAULT;
    case KVM_SET_MP_STATE:
      if (!MP_STATE.copyIn(process, argument)) return -EFAULT;
      return yield* setMpState(vcpu, kvm_mp_state.mp_state.get(MP_STATE.view));
    case KVM_ARM_VCPU_FINALIZE:
      // SVE is the only feature that is finalised, and no host here has it.
      return vcpu.isInitialized ? -EINVAL : -ENOEXEC;
    case KVM_SET_SIGNAL_MASK:
      return signalMask(vcpu, process, argument);
    default:
      return -EINVAL;
  }
}

function* vcpuInit(vcpu: Vcpu, process: Process, argument: number): Step<number> {
  if (!INIT.copyIn(process, argument)) return -EFAULT;
  const { target, features } = kvm_vcpu_init;
  let rest = 0;
  for (let i = 1; i < features.length; i++) rest |= features[i].get(INIT.view);
  const first = features[0].get(INIT.view) | 0;
  const checked = checkInit(target.get(INIT.view), KVM_ARM_TARGET_GENERIC_V8, first, rest);
  return checked < 0 ? checked : yield* initVcpu(vcpu, first);
}

function* oneReg(vcpu: Vcpu, process: Process, argument: number, isSet: boolean): Step<number> {
  if (!vcpu.isInitialized) return -ENOEXEC;
  if (!ONE_REG.copyIn(process, argument)) return -EFAULT;
  const lo = kvm_one_reg.id.lo(ONE_REG.view) | 0;
  const hi = kvm_one_reg.id.hi(ONE_REG.view);
  const address = kvm_one_reg.addr.getNumber(ONE_REG.view);
  if (!isSet) {
    const found = yield* getOneReg(vcpu, lo, hi, VALUE);
    if (found < 0) return found;
    U64.view.setInt32(0, VALUE.low, true);
    U64.view.setInt32(4, VALUE.high, true);
    return U64.copyOut(process, address) ? 0 : -EFAULT;
  }
  VALUE.set(0);
  if (U64.copyIn(process, address)) {
    VALUE.low = U64.view.getInt32(0, true);
    VALUE.high = U64.view.getInt32(4, true);
    return yield* setOneReg(vcpu, lo, hi, VALUE);
  }
  return -EFAULT;
}

/** When there is no room for all, the number goes back with -E2BIG. */
function regList(vcpu: Vcpu, process: Process, argument: number): number {
  if (!vcpu.isInitialized) return -ENOEXEC;
  if (!REG_LIST.copyIn(process, argument)) return -EFAULT;
  const room = kvm_reg_list.n.getNumber(REG_LIST.view);
  kvm_reg_list.n.setNumber(REG_LIST.view, REGISTER_IDS.length);
  if (!REG_LIST.copyOut(process, argument)) return -EFAULT;
  if (room < REGISTER_IDS.length) return -E2BIG;
  for (let i = 0; i < REGISTER_IDS.length; i++) {
    U64.view.setInt32(0, REGISTER_IDS[i], true);
    U64.view.setUint32(4, KVM_REG_ARM64_U64_HI, true);
    if (!U64.copyOut(process, argument + kvm_reg_list.size + 8 * i)) return -EFAULT;
  }
  return 0;
}
