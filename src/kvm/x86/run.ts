import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EAGAIN, EFAULT, EINTR, EIO, ENOSYS } from "../../uapi/errno.js";
import {
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IOAPIC_EOI,
  KVM_EXIT_IRQ_WINDOW_OPEN,
  KVM_EXIT_SET_TPR,
  KVM_EXIT_TPR_ACCESS,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_MP_STATE_HALTED,
  KVM_MP_STATE_RUNNABLE,
  KVM_MP_STATE_UNINITIALIZED,
  kvm_run,
} from "../../uapi/kvm.js";
import { blockVcpu, haltVcpu, sleepVcpu } from "../halt.js";
import { CONTINUE, STILL_INSIDE, TO_USER } from "../run-result.js";
import { setExitReason } from "../run-page.js";
import { Request, Stage } from "../vcpu-core.js";
import { putVcpu } from "../vcpu-load.js";
import { acceptsDmInterrupt, hasEvents, injectEvents, isReadyForInjection, processNmi } from "./events.js";
import { X86Exit } from "./guest.js";
import { handlePio, handleX86Mmio } from "./io.js";
import { readMsr, writeMsr } from "./msr.js";
import { isWindowRequested } from "./run-page.js";
import { noteMsrAccess } from "./vapic.js";
import { GP_VECTOR, type VcpuX86, X86Request } from "./vcpu.js";

// What KVM_RUN does on x86 alone (x86-irqchip.md 7.4, 7.6, 8.2, 14.2); the rest is in vcpu-run.ts.

/** Before each entry: a vCPU that does not run waits; requests; then events into the guest. */
export function* beforeX86Entry(vcpu: VcpuX86): Step<number> {
  const hasBeenInside = vcpu.isInsideRun;
  vcpu.isInsideRun = true;
  if (vcpu.mpState === KVM_MP_STATE_HALTED) return yield* haltVcpu(vcpu);
  if (vcpu.mpState !== KVM_MP_STATE_RUNNABLE) return yield* blockVcpu(vcpu);
  // A timer that expired in user space is looked at after the first entry, which its request turns back: what was in IRR
  // before goes first (seen on 6.18).
  if (hasBeenInside) {
    yield* takeRequest(vcpu, X86Request.UNBLOCK);
    if (vcpu.apic !== null) yield* vcpu.apic.timer.inject();
  }
  yield reads(vcpu, "requests");
  if (vcpu.requests !== 0) {
    const result = yield* handleX86Requests(vcpu);
    if (result !== CONTINUE) return result;
  }
  const needsWindow = isWindowRequested(vcpu) && (yield* acceptsDmInterrupt(vcpu));
  const mustLook = yield* takeRequest(vcpu, X86Request.EVENT);
  if (!mustLook && !needsWindow) return CONTINUE;
  vcpu.stat.reqEvent++;
  yield* vcpu.acceptInitEvents();
  if (vcpu.waitsForStartup()) return yield* blockVcpu(vcpu);
  yield* injectEvents(vcpu);
  if (vcpu.apic !== null) yield* showToGuest(vcpu, vcpu.apic);
  if (needsWindow) vcpu.wantsIrqWindow = true;
  return CONTINUE;
}

/** What the guest reads of its local APIC in its own memory: only of one that is enabled, by base and by SPIV. */
function* showToGuest(vcpu: VcpuX86, apic: Lapic): Step<void> {
  if (!apic.base.isEnabled()) return;
  yield reads(apic, "isSwEnabled");
  if (!apic.isSwEnabled) return;
  yield* vcpu.pvEoi.toGuest(vcpu, apic);
  yield* vcpu.vapic.toGuest(vcpu, apic);
}

/** Takes one request bit: was it set? */
export function* takeRequest(vcpu: VcpuX86, bit: number): Step<boolean> {
  yield reads(vcpu, "requests");
  if ((vcpu.requests & bit) === 0) return false;
  yield writes(vcpu, "requests");
  vcpu.requests &= ~bit;
  return true;
}

function* handleX86Requests(vcpu: VcpuX86): Step<number> {
  const isDead = yield* takeRequest(vcpu, Request.VM_DEAD);
  if (isDead) return -EIO;
  const mustSleep = yield* takeRequest(vcpu, Request.SLEEP);
  if (mustSleep) return yield* sleepVcpu(vcpu);
  const mustReport = yield* takeRequest(vcpu, X86Request.REPORT_TPR_ACCESS);
  if (mustReport) {
    setExitReason(vcpu, KVM_EXIT_TPR_ACCESS);
    return TO_USER;
  }
  const hasNmi = yield* takeRequest(vcpu, X86Request.NMI);
  if (hasNmi) yield* processNmi(vcpu);
  const hasEoi = yield* takeRequest(vcpu, X86Request.IOAPIC_EOI_EXIT);
  if (hasEoi && vcpu.apic !== null && vcpu.apic.handled.exits(vcpu.pendingIoapicEoi)) {
    setExitReason(vcpu, KVM_EXIT_IOAPIC_EOI);
    vcpu.vm.process.memory.setU8(vcpu.runAddress + kvm_run.eoi.vector.offset, vcpu.pendingIoapicEoi);
    return TO_USER;
  }
  const mustScan = yield* takeRequest(vcpu, X86Request.SCAN_IOAPIC);
  if (mustScan && vcpu.apic !== null) yield* vcpu.apic.handled.rescan();
  return CONTINUE;
}

/** The wait of a vCPU that did not run is over: an event, or a signal, for which the run loop looks next. */
export function* endX86Halt(vcpu: VcpuX86): Step<number> {
  if (vcpu.mpState === KVM_MP_STATE_UNINITIALIZED) return yield* leaveUninitialized(vcpu);
  const hasEvent = yield* hasEvents(vcpu);
  if (!hasEvent) {
    // A timer ended the wait: it becomes an interrupt here, or the vCPU would never sleep again.
    if (vcpu.apic !== null) yield* vcpu.apic.timer.inject();
    return CONTINUE;
  }
  yield* vcpu.acceptInitEvents();
  if (vcpu.mpState === KVM_MP_STATE_HALTED) yield* vcpu.become(KVM_MP_STATE_RUNNABLE);
  if (vcpu.waitsForStartup()) return yield* lookAgain(vcpu);
  return yield* offerWindow(vcpu);
}

const LOOK_NS = 1000;

/**
 * What came does not start it, and keeps it from sleeping: KVM looks again and again until a signal comes (seen on 6.18
 * with an NMI, or with a paravirtual unhalt, after INIT). Others run meanwhile.
 */
function* lookAgain(vcpu: VcpuX86): Step<number> {
  const hasMore = yield* hasEvents(vcpu);
  if (!hasMore || vcpu.thread === null) return CONTINUE;
  yield* putVcpu(vcpu, false);
  vcpu.stage = Stage.PREEMPTED;
  vcpu.vm.sim.wake(vcpu.thread, LOOK_NS);
  return STILL_INSIDE;
}

/** A vCPU that was never started leaves KVM_RUN when something came for it. */
function* leaveUninitialized(vcpu: VcpuX86): Step<number> {
  yield* vcpu.acceptInitEvents();
  const isSignalled = yield* vcpu.signals.isPending();
  if (!isSignalled) return -EAGAIN;
  vcpu.stat.signalExits++;
  setExitReason(vcpu, KVM_EXIT_INTR);
  return -EINTR;
}

/** 14.2, 2: user space waits for a window, and it is open. */
function* offerWindow(vcpu: VcpuX86): Step<number> {
  if (!isWindowRequested(vcpu)) return CONTINUE;
  const isReady = yield* isReadyForInjection(vcpu);
  if (!isReady) return CONTINUE;
  vcpu.stat.requestIrqExits++;
  setExitReason(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
  return TO_USER;
}

/** Everything that an exit of the guest asks for: CONTINUE, TO_USER or a negative errno. */
export function* handleX86Exit(vcpu: VcpuX86, exit: X86Exit): Step<number> {
  const result = yield* dispatchExit(vcpu, exit);
  return result === CONTINUE ? yield* offerWindow(vcpu) : result;
}

function* dispatchExit(vcpu: VcpuX86, exit: X86Exit): Step<number> {
  switch (exit) {
    case X86Exit.EXTERNAL_INTERRUPT:
      vcpu.stat.irqExits++;
      return CONTINUE;
    case X86Exit.INTERRUPT_WINDOW:
      vcpu.stat.irqWindowExits++;
      vcpu.wantsIrqWindow = false;
      yield* vcpu.request(X86Request.EVENT);
      return CONTINUE;
    case X86Exit.NMI_WINDOW:
      vcpu.stat.nmiWindowExits++;
      vcpu.wantsNmiWindow = false;
      yield* vcpu.request(X86Request.EVENT);
      return CONTINUE;
    case X86Exit.IO_INSTRUCTION:
      return yield* handlePio(vcpu);
    case X86Exit.EPT_MISCONFIG:
      return yield* handleX86Mmio(vcpu);
    case X86Exit.MSR_READ:
    case X86Exit.MSR_WRITE:
      return yield* handleMsr(vcpu, exit === X86Exit.MSR_WRITE);
    case X86Exit.CR_ACCESS:
      return yield* handleCr8(vcpu);
    case X86Exit.HLT:
      return yield* handleHlt(vcpu);
    case X86Exit.CPUID:
      return CONTINUE;
    case X86Exit.EOI_INDUCED:
      if (vcpu.apic !== null) yield* vcpu.apic.handled.ended(vcpu.trap.low);
      yield* vcpu.request(X86Request.EVENT);
      return CONTINUE;
    case X86Exit.EPT_VIOLATION:
      return -EFAULT;
    case X86Exit.NO_CODE:
      setExitReason(vcpu, KVM_EXIT_INTERNAL_ERROR);
      vcpu.vm.process.memory.setU32(vcpu.runAddress + kvm_run.internal.suberror.offset, KVM_INTERNAL_ERROR_EMULATION);
      return TO_USER;
    default:
      return -ENOSYS;
  }
}

/** HLT stays in the kernel where the local APIC is; otherwise user space waits. */
function* handleHlt(vcpu: VcpuX86): Step<number> {
  vcpu.stat.haltExits++;
  if (vcpu.apic === null) {
    setExitReason(vcpu, KVM_EXIT_HLT);
    return TO_USER;
  }
  const hasEvent = yield* hasEvents(vcpu);
  // What would have ended the halt is used up: an unhalt that came before it does not end the next one (6.18).
  if (hasEvent) yield* vcpu.setUnhalted(false);
  else yield* vcpu.become(KVM_MP_STATE_HALTED);
  return CONTINUE;
}

/** What the model does not know, and what a register refuses, is a general protection fault. */
function* handleMsr(vcpu: VcpuX86, isWrite: boolean): Step<number> {
  const msr = vcpu.trap.address | 0;
  const isDone = isWrite ? yield* writeMsr(vcpu, msr, false) : yield* readMsr(vcpu, msr);
  if (isDone) {
    if (vcpu.vapic.isReported) yield* noteMsrAccess(vcpu, msr);
    return CONTINUE;
  }
  vcpu.exceptionVector = GP_VECTOR;
  yield* vcpu.request(X86Request.EVENT);
  return CONTINUE;
}

/** In mode none the TPR is user space's: it hears when CR8 falls. */
function* handleCr8(vcpu: VcpuX86): Step<number> {
  const { trap, apic } = vcpu;
  if (!trap.isWrite) {
    trap.low = apic === null ? vcpu.cr8 : apic.cr8();
    trap.high = 0;
    return CONTINUE;
  }
  if (apic !== null) {
    yield* apic.setCr8(trap.low);
    return CONTINUE;
  }
  const isLowered = (trap.low & 0xf) < vcpu.cr8;
  vcpu.cr8 = trap.low & 0xf;
  if (!isLowered) return CONTINUE;
  setExitReason(vcpu, KVM_EXIT_SET_TPR);
  return TO_USER;
}
