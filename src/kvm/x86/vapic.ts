import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { writeTpr } from "../../irqchip/x86/lapic/access.js";
import { ApicReg, X2APIC_MSR_BASE } from "../../irqchip/x86/lapic/registers.js";
import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import { kvm_run } from "../../uapi/kvm.js";
import { kvm_tpr_access_ctl, kvm_vapic_addr } from "../../uapi/x86.js";
import { type VcpuX86, X86Request } from "./vcpu.js";

// A TPR without hardware's help (Documentation/virt/kvm/api.rst, KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR): user
// space is told which instructions of the guest touch it, patches them, and a word in guest memory stands for it.

/** Bytes of the word: TPR, in-service class and highest request. */
const WORD = 4;
const NOWHERE = -1;
const MSR_TPR = X2APIC_MSR_BASE + (ApicReg.TPR >> 4);

/** Where the TPR of one vCPU is visible outside of its local APIC. */
export class Vapic {
  /** Guest physical address of the word that stands for the TPR; -1 while there is none. */
  private address = NOWHERE;
  /** Do accesses leave KVM_RUN? */
  isReported = false;

  *setAddress(vcpu: VcpuX86, address: number): Step<number> {
    if (address !== 0) {
      const hva = yield* vcpu.vm.slots.translate(address, WORD, true);
      if (hva < 0) return -EINVAL;
    }
    this.address = address === 0 ? NOWHERE : address;
    return 0;
  }

  /** INIT: as if no address had been given. The reports go on. */
  reset(): void {
    this.address = NOWHERE;
  }

  /** After the injection of events: TPR, class of the interrupt in service, highest request. */
  *toGuest(vcpu: VcpuX86, lapic: Lapic): Step<void> {
    if (this.address === NOWHERE) return;
    const requested = yield* lapic.highestRequest();
    const inService = yield* lapic.highestInService();
    const hva = yield* vcpu.vm.slots.translate(this.address, WORD, true);
    if (hva < 0) return;
    const word = (lapic.page[ApicReg.TPR >> 2] & 0xff) | ((Math.max(0, inService) & 0xf0) << 8) | (Math.max(0, requested) << 24);
    vcpu.vm.process.memory.setU32(hva, word >>> 0);
  }

  /** At each exit: the TPR that the guest has stored there. */
  *fromGuest(vcpu: VcpuX86, lapic: Lapic): Step<void> {
    if (this.address === NOWHERE) return;
    const hva = yield* vcpu.vm.slots.translate(this.address, WORD, false);
    if (hva >= 0) yield* writeTpr(lapic, vcpu.vm.process.memory.getU8(hva));
  }
}

/** A register of the local APIC was reached through its window, at this offset. */
export function* noteWindowAccess(vcpu: VcpuX86, lapic: Lapic, offset: number): Step<void> {
  const { size, isWrite } = vcpu.trap;
  const within = offset & 0xf;
  const isWhole = isWrite ? size === 4 && within === 0 : within + size <= 4;
  if ((offset & ~0xf) === ApicReg.TPR && isWhole && lapic.base.isEnabled() && !lapic.base.isX2apic()) yield* report(vcpu);
}

/** A register was reached as an MSR, without a fault. */
export function* noteMsrAccess(vcpu: VcpuX86, msr: number): Step<void> {
  if (msr === MSR_TPR) yield* report(vcpu);
}

/** The exit waits for the next entry; the fields are in kvm_run at once, where another exit before it overwrites them. */
function* report(vcpu: VcpuX86): Step<void> {
  const { memory } = vcpu.vm.process;
  const { rip, is_write } = kvm_run.tpr_access;
  memory.setU64(vcpu.runAddress + rip.offset, vcpu.regs.rip);
  memory.setU32(vcpu.runAddress + is_write.offset, vcpu.trap.isWrite ? 1 : 0);
  yield* vcpu.request(X86Request.REPORT_TPR_ACCESS);
}

const CONTROL = new UserArgument(kvm_tpr_access_ctl.size);
const ADDRESS = new UserArgument(kvm_vapic_addr.size);

/** KVM_TPR_ACCESS_REPORTING: accepted in every mode, though only a local APIC in the kernel has what it reports. */
export function setTprReporting(vcpu: VcpuX86, process: Process, argument: number): number {
  if (!CONTROL.copyIn(process, argument)) return -EFAULT;
  if (kvm_tpr_access_ctl.flags.get(CONTROL.view) !== 0) return -EINVAL;
  vcpu.vapic.isReported = kvm_tpr_access_ctl.enabled.get(CONTROL.view) !== 0;
  return CONTROL.copyOut(process, argument) ? 0 : -EFAULT;
}

/** KVM_SET_VAPIC_ADDR: four bytes of a memory slot that the guest can write; address 0: no longer. */
export function* setVapicAddress(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (vcpu.apic === null) return -EINVAL;
  if (!ADDRESS.copyIn(process, argument)) return -EFAULT;
  return yield* vcpu.vapic.setAddress(vcpu, kvm_vapic_addr.vapic_addr.getNumber(ADDRESS.view));
}
