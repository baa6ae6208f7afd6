import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import {
  KVM_ARM_TARGET_GENERIC_V8,
  KVM_ARM_VCPU_HAS_EL2_E2H0,
  KVM_ARM_VCPU_POWER_OFF,
  KVM_ARM_VCPU_PSCI_0_2,
  KVM_ARM_VCPU_PTRAUTH_ADDRESS,
  KVM_ARM_VCPU_PTRAUTH_GENERIC,
} from "../../uapi/arm.js";
import { EINVAL, ENOENT } from "../../uapi/errno.js";
import { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_STOPPED, KVM_MP_STATE_SUSPENDED } from "../../uapi/kvm.js";
import { wakeUp } from "../kick.js";
import { powerOff } from "./psci.js";
import type { Vcpu } from "./vcpu.js";

const bit = (n: number): number => 1 << n;
const POWER_OFF = bit(KVM_ARM_VCPU_POWER_OFF);
const PTRAUTH = bit(KVM_ARM_VCPU_PTRAUTH_ADDRESS) | bit(KVM_ARM_VCPU_PTRAUTH_GENERIC);
/** What virq's hosts offer: no SVE, PMU, pointer authentication, 32-bit EL1 or nesting. */
export const HOST_FEATURES = POWER_OFF | bit(KVM_ARM_VCPU_PSCI_0_2);
const ALL_FEATURES = bit(KVM_ARM_VCPU_HAS_EL2_E2H0 + 1) - 1;

/** Checks of KVM_ARM_VCPU_INIT in their order (host-irq.md 4.7); `rest` is features[1] to [6] ORed. */
export function checkInit(target: number, hostTarget: number, features: number, rest: number): number {
  if (target !== KVM_ARM_TARGET_GENERIC_V8 && target !== hostTarget) return -EINVAL;
  if ((features & ~ALL_FEATURES) !== 0 || rest !== 0) return -ENOENT;
  if ((features & PTRAUTH) !== 0 && (features & PTRAUTH) !== PTRAUTH) return -EINVAL;
  if ((features & ~HOST_FEATURES) !== 0) return -EINVAL;
  return 0;
}

/** The part after the checks: the VM's feature set is fixed by the first, and a repeat resets the vCPU. */
export function* initVcpu(vcpu: Vcpu, features: number): Step<number> {
  const { vm } = vcpu;
  const set = features & ~POWER_OFF;
  if (vm.armFeatures >= 0 && vm.armFeatures !== set) return -EINVAL;
  vm.armFeatures = set;
  vcpu.features = features;
  vcpu.isInitialized = true;
  vcpu.regs.reset();
  if ((features & POWER_OFF) !== 0) {
    yield* powerOff(vcpu);
    return 0;
  }
  yield writes(vcpu, "isPoweredOff");
  vcpu.isPoweredOff = false;
  return 0;
}

export function* getMpState(vcpu: Vcpu): Step<number> {
  yield reads(vcpu, "isPoweredOff");
  return vcpu.isPoweredOff ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE;
}

/** 0 or -EINVAL. */
export function* setMpState(vcpu: Vcpu, state: number): Step<number> {
  if (state === KVM_MP_STATE_STOPPED) {
    yield* powerOff(vcpu);
    return 0;
  }
  if (state !== KVM_MP_STATE_RUNNABLE && state !== KVM_MP_STATE_SUSPENDED) return -EINVAL;
  yield writes(vcpu, "isPoweredOff");
  vcpu.isPoweredOff = false;
  yield* wakeUp(vcpu);
  return 0;
}
