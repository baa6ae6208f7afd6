import { reads, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { NMI_VECTOR, type VcpuX86, X86Request } from "./vcpu.js";

// Which event enters the guest next (x86-irqchip.md 7.4, 7.6, 14.2), as KVM's x86.c and irq.c decide it.

/** Is there an ExtINT that this vCPU would take: the PIC's output, or user space's vector (7.9)? */
export function* hasExtInt(vcpu: VcpuX86): Step<boolean> {
  const { apic, arch } = vcpu;
  if (apic === null) return vcpu.injectedVector >= 0;
  const accepts = yield* apic.acceptsPic();
  if (!accepts) return false;
  if (arch.irqchipMode === "split") return vcpu.pendingExternalVector >= 0;
  return arch.pic !== null && (yield* arch.pic.hasOutput());
}

/** Is there an interrupt that the guest would take? */
function* hasInterrupt(vcpu: VcpuX86): Step<boolean> {
  const isExternal = yield* hasExtInt(vcpu);
  if (isExternal || vcpu.apic === null) return isExternal;
  return (yield* vcpu.apic.nextInterrupt()) >= 0;
}

/** Would an event request find an interrupt to inject? With APIC virtualisation the processor takes the local APIC's. */
export function* hasInjectable(vcpu: VcpuX86): Step<boolean> {
  if (vcpu.apicv !== null) return yield* hasExtInt(vcpu);
  return yield* hasInterrupt(vcpu);
}

/** 7.4: ExtINT first, then the local APIC. The vector that the CPU now takes, -1: it went away. */
export function* takeInterrupt(vcpu: VcpuX86): Step<number> {
  const { apic, arch } = vcpu;
  const isExternal = yield* hasExtInt(vcpu);
  if (isExternal) {
    if (arch.pic !== null) return yield* arch.pic.ack();
    const vector = vcpu.pendingExternalVector;
    vcpu.pendingExternalVector = -1;
    return vector;
  }
  if (apic === null || vcpu.apicv !== null) return -1;
  const vector = yield* apic.nextInterrupt();
  if (vector >= 0) yield* apic.take(vector);
  return vector;
}

/** NMIs that came meanwhile: at most two outstanding, one while they are blocked (6.4). */
export function* processNmi(vcpu: VcpuX86): Step<void> {
  const limit = vcpu.regs.isNmiBlocked || vcpu.isNmiInjected ? 1 : 2;
  yield writes(vcpu, "nmiQueued");
  const queued = vcpu.nmiQueued;
  vcpu.nmiQueued = 0;
  for (let lost = vcpu.nmiPending + queued - limit; lost > 0; lost--) vcpu.vm.sim.emit(Ev.apic_dropped, vcpu.id, NMI_VECTOR, "NMIs wait already");
  vcpu.nmiPending = Math.min(vcpu.nmiPending + queued, limit);
  if (vcpu.nmiPending > 0) yield* vcpu.request(X86Request.EVENT);
}

/**
 * KVM_REQ_EVENT: what was injected and not taken stays first; then an exception, an NMI, an interrupt. What cannot enter
 * now asks for the exit at which it can.
 */
export function* injectEvents(vcpu: VcpuX86): Step<void> {
  let canInject = vcpu.exceptionVector < 0 && vcpu.injectedVector < 0 && !vcpu.isNmiInjected;
  if (vcpu.exceptionVector < 0) injectAgain(vcpu);
  if (vcpu.nmiPending > 0) {
    if (canInject && !vcpu.regs.isNmiBlocked) {
      vcpu.nmiPending--;
      vcpu.isNmiInjected = true;
      noteNmi(vcpu);
      canInject = false;
    }
    if (vcpu.nmiPending > 0) vcpu.wantsNmiWindow = true;
  }
  if (vcpu.apic === null) return;
  const isWaiting = yield* hasInjectable(vcpu);
  if (!isWaiting) return;
  if (canInject && vcpu.canInterrupt()) {
    const vector = yield* takeInterrupt(vcpu);
    if (vector >= 0) {
      vcpu.inject(vector);
      noteInjection(vcpu, vector);
    }
  }
  const isMore = yield* hasInjectable(vcpu);
  if (isMore) vcpu.wantsIrqWindow = true;
}

/** What an entry that was turned back did not bring in, and what KVM_INTERRUPT put there in mode none. KVM counts it, too. */
function injectAgain(vcpu: VcpuX86): void {
  if (vcpu.isNmiInjected) noteNmi(vcpu);
  else if (vcpu.injectedVector >= 0) noteInjection(vcpu, vcpu.injectedVector);
}

function noteNmi(vcpu: VcpuX86): void {
  vcpu.stat.nmiInjections++;
  vcpu.vm.sim.emit(Ev.kvm_inj_virq, vcpu.id, NMI_VECTOR);
}

function noteInjection(vcpu: VcpuX86, vector: number): void {
  vcpu.stat.irqInjections++;
  vcpu.vm.sim.emit(Ev.kvm_inj_virq, vcpu.id, vector);
}

/** Is there room for a vector of user space's (kvm_cpu_accept_dm_intr)? */
export function* acceptsDmInterrupt(vcpu: VcpuX86): Step<boolean> {
  const isTaken = yield* hasExtInt(vcpu);
  if (isTaken) return false;
  return vcpu.apic === null || (yield* vcpu.apic.acceptsPic());
}

/** 14.2, 1: could the guest take an ExtINT of user space's now? */
export function* isReadyForInjection(vcpu: VcpuX86): Step<boolean> {
  if (!vcpu.canInterrupt() || vcpu.exceptionVector >= 0 || vcpu.isNmiInjected || vcpu.injectedVector >= 0) return false;
  return yield* acceptsDmInterrupt(vcpu);
}

/** What ends a halt (host-irq.md 3.4, for x86): INIT and start-up, NMI, SMI, an interrupt that would be taken. */
export function* hasEvents(vcpu: VcpuX86): Step<boolean> {
  const { apic } = vcpu;
  if (apic !== null && (yield* apic.init.isPending())) return true;
  yield reads(vcpu, "isUnhalted");
  if (vcpu.exceptionVector >= 0 || vcpu.isUnhalted) return true;
  if (vcpu.nmiPending > 0 && !vcpu.regs.isNmiBlocked) return true;
  // An NMI that was not looked at yet ends a halt even where it is blocked then (6.18).
  yield reads(vcpu, "requests");
  if ((vcpu.requests & X86Request.NMI) !== 0) return true;
  return vcpu.canInterrupt() && (yield* hasInterrupt(vcpu));
}
