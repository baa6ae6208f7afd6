import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, kvm_run } from "../../uapi/kvm.js";
import { kick, wakeUp } from "../kick.js";
import { CONTINUE, TO_USER } from "../run-result.js";
import { setExitReason } from "../run-page.js";
import { ArmRequest, type Vcpu } from "./vcpu.js";
import { waitForInterrupt } from "./wait-for-interrupt.js";
import { Request } from "../vcpu-core.js";

// Function ids: Arm DEN 0022. Bit 30 tells SMC64 from SMC32.
export const PSCI_VERSION = 0x84000000;
export const PSCI_CPU_SUSPEND = 0x84000001;
export const PSCI_CPU_OFF = 0x84000002;
export const PSCI_CPU_ON = 0x84000003;
export const PSCI_AFFINITY_INFO = 0x84000004;
export const PSCI_MIGRATE_INFO_TYPE = 0x84000006;
export const PSCI_SYSTEM_OFF = 0x84000008;
export const PSCI_SYSTEM_RESET = 0x84000009;
export const PSCI_FEATURES = 0x8400000a;
export const SMC64 = 0x40000000;

const PSCI_1_1 = 0x10001;
const SUCCESS = 0;
const NOT_SUPPORTED = -1;
const INVALID_PARAMETERS = -2;
const ALREADY_ON = -4;
const INTERNAL_FAILURE = -6;
const AFFINITY_MASK = 0xffffff;
const FEATURES: readonly number[] = [
  PSCI_VERSION,
  PSCI_CPU_SUSPEND,
  PSCI_CPU_OFF,
  PSCI_CPU_ON,
  PSCI_AFFINITY_INFO,
  PSCI_MIGRATE_INFO_TYPE,
  PSCI_SYSTEM_OFF,
  PSCI_SYSTEM_RESET,
  PSCI_FEATURES,
];

/** A hypercall: PSCI, or "not supported" in x0. */
export function* handleHvc(vcpu: Vcpu): Step<number> {
  vcpu.stat.hvcExits++;
  const { regs } = vcpu;
  const call = (regs.xLo[0] & ~SMC64) >>> 0;
  switch (call) {
    case PSCI_VERSION:
      return answer(vcpu, PSCI_1_1);
    case PSCI_FEATURES:
      return answer(vcpu, FEATURES.includes((regs.xLo[1] & ~SMC64) >>> 0) ? SUCCESS : NOT_SUPPORTED);
    case PSCI_CPU_SUSPEND:
      return yield* cpuSuspend(vcpu);
    case PSCI_CPU_OFF:
      yield* powerOff(vcpu);
      return CONTINUE;
    case PSCI_CPU_ON:
      return answer(vcpu, yield* cpuOn(vcpu));
    case PSCI_AFFINITY_INFO:
      return answer(vcpu, yield* affinityInfo(vcpu));
    case PSCI_MIGRATE_INFO_TYPE:
      return answer(vcpu, 2);
    case PSCI_SYSTEM_OFF:
      return yield* systemEvent(vcpu, KVM_SYSTEM_EVENT_SHUTDOWN);
    case PSCI_SYSTEM_RESET:
      return yield* systemEvent(vcpu, KVM_SYSTEM_EVENT_RESET);
    default:
      return answer(vcpu, NOT_SUPPORTED);
  }
}

function answer(vcpu: Vcpu, value: number): number {
  vcpu.regs.xLo[0] = value;
  vcpu.regs.xHi[0] = value >> 31;
  return CONTINUE;
}

/** KVM treats it as WFI; the hypercall's return address is behind it already. */
function* cpuSuspend(vcpu: Vcpu): Step<number> {
  answer(vcpu, SUCCESS);
  vcpu.regs.pc -= 4;
  return yield* waitForInterrupt(vcpu);
}

/** STOPPED: the vCPU leaves the guest and waits inside KVM_RUN (host-irq.md 4.7). */
export function* powerOff(vcpu: Vcpu): Step<void> {
  yield writes(vcpu, "isPoweredOff");
  vcpu.isPoweredOff = true;
  yield* vcpu.request(Request.SLEEP);
  yield* kick(vcpu);
}

/** The vCPU whose affinity is the argument in x1; null when there is none. */
function byAffinity(vcpu: Vcpu): Vcpu | null {
  const { armVcpus } = vcpu.vm;
  for (let i = 0; i < armVcpus.length; i++)
    if ((armVcpus[i].regs.mpidr & AFFINITY_MASK) === (vcpu.regs.xLo[1] & AFFINITY_MASK)) return armVcpus[i];
  return null;
}

function* cpuOn(vcpu: Vcpu): Step<number> {
  const { regs } = vcpu;
  const target = byAffinity(vcpu);
  if (target === null || !target.isInitialized) return INVALID_PARAMETERS;
  yield reads(target, "isPoweredOff");
  if (!target.isPoweredOff) return ALREADY_ON;
  target.resetPc = (regs.xHi[2] >>> 0) * 0x1_0000_0000 + (regs.xLo[2] >>> 0);
  target.resetX0Lo = regs.xLo[3];
  target.resetX0Hi = regs.xHi[3];
  yield* target.request(ArmRequest.VCPU_RESET);
  yield writes(target, "isPoweredOff");
  target.isPoweredOff = false;
  yield* wakeUp(target);
  return SUCCESS;
}

function* affinityInfo(vcpu: Vcpu): Step<number> {
  const target = byAffinity(vcpu);
  if (target === null) return INVALID_PARAMETERS;
  yield reads(target, "isPoweredOff");
  return target.isPoweredOff ? 1 : 0;
}

/** SYSTEM_OFF and SYSTEM_RESET: every vCPU is put to sleep first, then user space decides. */
function* systemEvent(vcpu: Vcpu, type: number): Step<number> {
  const { armVcpus, process } = vcpu.vm;
  for (let i = 0; i < armVcpus.length; i++) yield* powerOff(armVcpus[i]);
  answer(vcpu, INTERNAL_FAILURE);
  setExitReason(vcpu, KVM_EXIT_SYSTEM_EVENT);
  const { system_event } = kvm_run;
  process.memory.setU32(vcpu.runAddress + system_event.type.offset, type);
  process.memory.setU32(vcpu.runAddress + system_event.ndata.offset, 1);
  process.memory.setU64(vcpu.runAddress + system_event.data[0].offset, 0);
  return TO_USER;
}
