import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import { kvm_signal_mask } from "../uapi/kvm.js";
import type { VcpuCore } from "./vcpu-core.js";

const SIGNAL_MASK = new UserArgument(kvm_signal_mask.size);
const SET = new UserArgument(8);

/** KVM_SET_SIGNAL_MASK. A null argument takes the mask away. The kernel takes 8 bytes of mask. */
export function signalMask(vcpu: VcpuCore, process: Process, argument: number): number {
  vcpu.hasSignalMask = false;
  if (argument === 0) return 0;
  if (!SIGNAL_MASK.copyIn(process, argument)) return -EFAULT;
  if (kvm_signal_mask.len.get(SIGNAL_MASK.view) !== 8) return -EINVAL;
  if (!SET.copyIn(process, argument + kvm_signal_mask.size)) return -EFAULT;
  vcpu.signalMaskLo = SET.view.getInt32(0, true);
  vcpu.signalMaskHi = SET.view.getInt32(4, true);
  vcpu.hasSignalMask = true;
  return 0;
}
