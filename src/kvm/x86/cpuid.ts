import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { E2BIG, EFAULT, EINVAL } from "../../uapi/errno.js";
import * as X from "../../uapi/x86.js";
import type { VcpuX86 } from "./vcpu.js";

const MAX_ENTRIES = 256;
const HEADER = new UserArgument(X.kvm_cpuid2.size);
const ENTRY = new UserArgument(X.kvm_cpuid_entry2.size);
const FEATURES = 1;
const XSAVE = 0xd;
/** Leaf 0xd's size of the area: of everything supported, and of what XCR0 enables after reset. */
const XSAVE_SUPPORTED_BYTES = 832;
const XSAVE_RESET_BYTES = 576;
const ADDRESS_SIZES = 0x8000_0008;
/** MAXPHYADDR where CPUID does not say. */
const DEFAULT_PHYSICAL_BITS = 36;

/**
 * KVM_SET_CPUID2: the local APIC's modes and the width of addresses are made of it. Once the vCPU has run, only what it has
 * already may be set again (Linux, kvm_set_cpuid; seen on 6.18).
 */
export function* setCpuid(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!HEADER.copyIn(process, argument)) return -EFAULT;
  const count = X.kvm_cpuid2.nent.get(HEADER.view);
  if (count > MAX_ENTRIES) return -E2BIG;
  const entries = new Uint8Array(count * X.kvm_cpuid_entry2.size);
  let ecx = 0;
  let physicalBits = DEFAULT_PHYSICAL_BITS;
  for (let i = 0; i < count; i++) {
    if (!ENTRY.copyIn(process, argument + X.kvm_cpuid2.size + i * X.kvm_cpuid_entry2.size)) return -EFAULT;
    const leaf = X.kvm_cpuid_entry2.function.get(ENTRY.view);
    // KVM keeps the size current: what it answers as supported is not what a vCPU has.
    if (leaf === XSAVE && !vcpu.hasRun) X.kvm_cpuid_entry2.ebx.set(ENTRY.view, XSAVE_RESET_BYTES);
    entries.set(ENTRY.bytes, i * X.kvm_cpuid_entry2.size);
    if (leaf === FEATURES) ecx = X.kvm_cpuid_entry2.ecx.get(ENTRY.view);
    if (leaf === ADDRESS_SIZES) physicalBits = X.kvm_cpuid_entry2.eax.get(ENTRY.view) & 0xff;
  }
  if (vcpu.hasRun) return isSame(vcpu.cpuid, entries) ? 0 : -EINVAL;
  if (physicalBits > 52) return -EINVAL;
  vcpu.cpuid = entries;
  if (vcpu.apic === null) return 0;
  const hasX2apic = (ecx & X.CPUID_1_ECX_X2APIC) !== 0;
  yield* vcpu.apic.setCpuid({ hasX2apic, hasTscDeadline: (ecx & X.CPUID_1_ECX_TSC_DEADLINE) !== 0, physicalBits });
  return 0;
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Leaf, EAX, EBX, ECX of what KVM_GET_SUPPORTED_CPUID answers: what concerns interrupts, and the leaf that KVM changes. */
const SUPPORTED: readonly (readonly [leaf: number, eax: number, ebx: number, ecx: number])[] = [
  [0, XSAVE, 0, 0],
  [FEATURES, 0, 0, (X.CPUID_1_ECX_X2APIC | X.CPUID_1_ECX_TSC_DEADLINE) >>> 0],
  [XSAVE, 7, XSAVE_SUPPORTED_BYTES, XSAVE_SUPPORTED_BYTES],
  [0x8000_0000, ADDRESS_SIZES, 0, 0],
  [ADDRESS_SIZES, 46, 0, 0],
];

/** KVM_GET_SUPPORTED_CPUID on the system descriptor; -E2BIG where the entries have no room. */
export function supportedCpuid(process: Process, argument: number): number {
  if (!HEADER.copyIn(process, argument)) return -EFAULT;
  if (X.kvm_cpuid2.nent.get(HEADER.view) < SUPPORTED.length) return -E2BIG;
  X.kvm_cpuid2.nent.set(HEADER.view, SUPPORTED.length);
  if (!HEADER.copyOut(process, argument)) return -EFAULT;
  for (const [i, [leaf, eax, ebx, ecx]] of SUPPORTED.entries()) {
    ENTRY.bytes.fill(0);
    X.kvm_cpuid_entry2.function.set(ENTRY.view, leaf);
    X.kvm_cpuid_entry2.eax.set(ENTRY.view, eax);
    X.kvm_cpuid_entry2.ebx.set(ENTRY.view, ebx);
    X.kvm_cpuid_entry2.ecx.set(ENTRY.view, ecx);
    if (!ENTRY.copyOut(process, argument + X.kvm_cpuid2.size + i * X.kvm_cpuid_entry2.size)) return -EFAULT;
  }
  return 0;
}
