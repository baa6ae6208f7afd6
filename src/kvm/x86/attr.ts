import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { EFAULT, ENXIO } from "../../uapi/errno.js";
import { KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, kvm_device_attr } from "../../uapi/kvm.js";
import { KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVM_X86_GRP_SYSTEM, KVM_X86_XCOMP_GUEST_SUPP } from "../../uapi/x86.js";
import type { VcpuX86 } from "./vcpu.js";

const ATTR = new UserArgument(kvm_device_attr.size);
const VALUE = new UserArgument(8);

/** Is it this attribute, in halves of 32 bits? */
function names(group: number, attr: number): boolean {
  const { group: given, attr: number } = kvm_device_attr;
  return given.get(ATTR.view) === group && number.lo(ATTR.view) === attr && number.hi(ATTR.view) === 0;
}

/** KVM_HAS/GET/SET_DEVICE_ATTR on a vCPU: its TSC offset, which is kept and not used. */
export function vcpuAttr(vcpu: VcpuX86, process: Process, request: number, argument: number): number {
  if (!ATTR.copyIn(process, argument)) return -EFAULT;
  if (!names(KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET)) return -ENXIO;
  const address = kvm_device_attr.addr.getNumber(ATTR.view);
  if (request === KVM_HAS_DEVICE_ATTR) return 0;
  if (request === KVM_GET_DEVICE_ATTR) {
    VALUE.bytes.set(vcpu.tscOffset);
    return VALUE.copyOut(process, address) ? 0 : -EFAULT;
  }
  if (!VALUE.copyIn(process, address)) return -EFAULT;
  vcpu.tscOffset.set(VALUE.bytes);
  return 0;
}

/** KVM_HAS/GET_DEVICE_ATTR on /dev/kvm: the extended states that guests need permission for. None here. */
export function systemAttr(process: Process, request: number, argument: number): number {
  if (!ATTR.copyIn(process, argument)) return -EFAULT;
  if (!names(KVM_X86_GRP_SYSTEM, KVM_X86_XCOMP_GUEST_SUPP)) return -ENXIO;
  if (request === KVM_HAS_DEVICE_ATTR) return 0;
  VALUE.bytes.fill(0);
  return VALUE.copyOut(process, kvm_device_attr.addr.getNumber(ATTR.view)) ? 0 : -EFAULT;
}
