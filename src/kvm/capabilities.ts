import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import type { Vm } from "./vm.js";

/** Answers that no architecture changes (kvm-irq-core.md 0.3, host-irq.md 4.1). */
const COMMON: ReadonlyMap<number, number> = new Map([
  [K.KVM_CAP_USER_MEMORY, 1],
  [K.KVM_CAP_IRQ_ROUTING, K.KVM_MAX_IRQ_ROUTES],
  [K.KVM_CAP_IRQFD, 1],
  [K.KVM_CAP_IOEVENTFD, 1],
  [K.KVM_CAP_SIGNAL_MSI, 1],
  [K.KVM_CAP_IRQFD_RESAMPLE, 1],
  [K.KVM_CAP_DEVICE_CTRL, 1],
  [K.KVM_CAP_IOEVENTFD_NO_LENGTH, 1],
  [K.KVM_CAP_IOEVENTFD_ANY_LENGTH, 1],
  [K.KVM_CAP_IMMEDIATE_EXIT, 1],
  [K.KVM_CAP_HALT_POLL, 1],
]);

/** The common answer to KVM_CHECK_EXTENSION, or null where the architecture has the word. */
export function commonCapability(capability: number, withheld?: ReadonlySet<number>): number | null {
  return withheld?.has(capability) === true ? 0 : (COMMON.get(capability) ?? null);
}

/** KVM_CHECK_EXTENSION on a VM descriptor; unknown: 0. */
export function* checkVmExtension(vm: Vm, _process: Process, capability: number): Step<number> {
  return commonCapability(capability, vm.arch.withheld) ?? vm.arch.capability(capability);
}

const argument = new UserArgument(K.kvm_enable_cap.size);
const { view } = argument;

/** KVM_ENABLE_CAP on a VM descriptor. No capability has flags. */
export function* enableCap(vm: Vm, process: Process, address: number): Step<number> {
  if (!argument.copyIn(process, address)) return -EFAULT;
  if (K.kvm_enable_cap.flags.get(view) !== 0) return -EINVAL;
  const arg0 = K.kvm_enable_cap.args[0].getNumber(view);
  const capability = K.kvm_enable_cap.cap.get(view);
  if (capability !== K.KVM_CAP_HALT_POLL) return vm.arch.enableCapability(capability, arg0);
  if (arg0 > 0xffff_ffff) return -EINVAL;
  vm.haltPollMaxNs = arg0;
  return 0;
}
