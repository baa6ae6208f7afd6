import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { E2BIG, EFAULT, EINVAL } from "../../uapi/errno.js";
import { KVM_MP_STATE_RUNNABLE } from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { RESET_VECTOR } from "./guest.js";
import { readMsr, writeMsr } from "./msr.js";
import { type VcpuX86, X86Request } from "./vcpu.js";

// Registers of a vCPU by user space: KVM_GET/SET_REGS, _SREGS, _MSRS, as far as interrupts depend on them.

const REGS = new UserArgument(X.kvm_regs.size);
const SREGS = new UserArgument(X.kvm_sregs.size);
const MSRS = new UserArgument(X.kvm_msrs.size);
const ENTRY = new UserArgument(X.kvm_msr_entry.size);
const MAX_MSRS = 256;
const INTERRUPTS = 256;

/** The general registers in the order of the structure. */
const { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r, rip, rflags } = X.kvm_regs;
const GENERAL = [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, ...r];

export function getRegs(vcpu: VcpuX86, process: Process, argument: number): number {
  const { regs } = vcpu;
  for (const [i, field] of GENERAL.entries()) field.setHalves(REGS.view, regs.lo[i], regs.hi[i]);
  rip.setNumber(REGS.view, regs.rip);
  rflags.setNumber(REGS.view, X.X86_EFLAGS_FIXED | (regs.interruptFlag ? X.X86_EFLAGS_IF : 0));
  return REGS.copyOut(process, argument) ? 0 : -EFAULT;
}

/** KVM_SET_REGS. The vCPU looks for interrupts then: what an unmasked LINT0, or an enabled local APIC, would let in (seen on 6.18). */
export function* setRegs(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!REGS.copyIn(process, argument)) return -EFAULT;
  const { regs } = vcpu;
  for (const [i, field] of GENERAL.entries()) {
    regs.lo[i] = field.lo(REGS.view) | 0;
    regs.hi[i] = field.hi(REGS.view) | 0;
  }
  regs.rip = rip.getNumber(REGS.view);
  regs.interruptFlag = (rflags.lo(REGS.view) & X.X86_EFLAGS_IF) !== 0;
  vcpu.exceptionVector = -1;
  yield* vcpu.request(X86Request.EVENT);
  return 0;
}

export function getSregs(vcpu: VcpuX86, process: Process, argument: number): number {
  const { apic } = vcpu;
  const { apic_base, cr8, interrupt_bitmap } = X.kvm_sregs;
  SREGS.bytes.set(vcpu.sregs);
  if (apic === null) apic_base.setHalves(SREGS.view, vcpu.apicBaseLo, vcpu.apicBaseHi);
  else apic_base.setHalves(SREGS.view, apic.base.low, apic.base.high);
  cr8.setNumber(SREGS.view, apic === null ? vcpu.cr8 : apic.cr8());
  for (const word of interrupt_bitmap) word.setNumber(SREGS.view, 0);
  const vector = vcpu.injectedVector;
  if (vector >= 0) SREGS.view.setUint8(interrupt_bitmap[0].offset + (vector >> 3), 1 << (vector & 7));
  return SREGS.copyOut(process, argument) ? 0 : -EFAULT;
}

/** KVM_SET_SREGS: the APIC base by the host's rules, CR8, and a vector to inject. */
export function* setSregs(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!SREGS.copyIn(process, argument)) return -EFAULT;
  const { apic } = vcpu;
  const { apic_base, cr8, interrupt_bitmap } = X.kvm_sregs;
  const given = SREGS.bytes.slice();
  const task = cr8.lo(SREGS.view) & 0xf;
  const low = apic_base.lo(SREGS.view) | 0;
  const high = apic_base.hi(SREGS.view) | 0;
  const pending = firstBit(given, interrupt_bitmap[0].offset);
  if (apic === null) {
    vcpu.apicBaseLo = low;
    vcpu.apicBaseHi = high;
    vcpu.cr8 = task;
  } else {
    const isWritten = yield* apic.base.write(low, high, true);
    if (!isWritten) return -EINVAL;
    yield* apic.setCr8(task);
  }
  vcpu.sregs.set(given);
  // A boot CPU that stands at the reset vector is started: old user space resets it so (seen on 6.18).
  if ((low & X.MSR_IA32_APICBASE_BSP) !== 0 && vcpu.regs.rip === RESET_VECTOR && X.kvm_sregs.cs.base.lo(SREGS.view) === RESET_CODE_BASE) yield* vcpu.become(KVM_MP_STATE_RUNNABLE);
  if (pending >= 0) {
    vcpu.inject(pending);
    yield* vcpu.request(X86Request.EVENT);
  }
  return 0;
}

const RESET_CODE_BASE = 0xffff_0000;
const RESET_CODE_SELECTOR = 0xf000;
const RESET_DATA_LIMIT = 0xffff;

/** After reset and INIT the code segment is at the end of memory, where the firmware is; the data segment has 64 KiB. */
export function resetSegments(sregs: Uint8Array): void {
  setCodeSegment(sregs, RESET_CODE_BASE, RESET_CODE_SELECTOR);
  X.kvm_sregs.ds.limit.set(new DataView(sregs.buffer), RESET_DATA_LIMIT);
}

export function setCodeSegment(sregs: Uint8Array, base: number, selector: number): void {
  const view = new DataView(sregs.buffer);
  X.kvm_sregs.cs.base.setNumber(view, base);
  X.kvm_sregs.cs.selector.set(view, selector);
}

/** The lowest bit of the 256 at `offset`, -1: none. */
function firstBit(bytes: Uint8Array, offset: number): number {
  for (let bit = 0; bit < INTERRUPTS; bit++) if ((bytes[offset + (bit >> 3)] & (1 << (bit & 7))) !== 0) return bit;
  return -1;
}

/** How many were read before the first that is unknown. */
export function* getMsrs(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  return yield* eachMsr(vcpu, process, argument, false);
}

export function* setMsrs(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  return yield* eachMsr(vcpu, process, argument, true);
}

function* eachMsr(vcpu: VcpuX86, process: Process, argument: number, isSet: boolean): Step<number> {
  if (!MSRS.copyIn(process, argument)) return -EFAULT;
  const count = X.kvm_msrs.nmsrs.get(MSRS.view);
  if (count > MAX_MSRS) return -E2BIG;
  const { index, data } = X.kvm_msr_entry;
  const { trap } = vcpu;
  for (let i = 0; i < count; i++) {
    const at = argument + X.kvm_msrs.size + i * X.kvm_msr_entry.size;
    if (!ENTRY.copyIn(process, at)) return -EFAULT;
    const msr = index.get(ENTRY.view);
    trap.low = data.lo(ENTRY.view) | 0;
    trap.high = data.hi(ENTRY.view) | 0;
    const isKnown = isSet ? yield* writeMsr(vcpu, msr, true) : yield* readMsr(vcpu, msr);
    if (!isKnown) return i;
    index.set(ENTRY.view, msr);
    data.setHalves(ENTRY.view, trap.low, trap.high);
    if (!isSet && !ENTRY.copyOut(process, at)) return -EFAULT;
  }
  return count;
}
