import { reads, writes } from "../sim/access.js";
import { current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { EINTR, EINVAL, EIO, ENOEXEC, ENOSYS } from "../uapi/errno.js";
import { KVM_EXIT_INTR, KVM_EXIT_MMIO, KVM_EXIT_UNKNOWN } from "../uapi/kvm.js";
import { EXIT_NAMES, GuestExit } from "./guest-cpu.js";
import { continueBlock, continuePolling, continueSleep, haltVcpu, sleepVcpu } from "./halt.js";
import { setMode } from "./kick.js";
import { completeMmio, handleMmio } from "./mmio-exit.js";
import { handleHvc } from "./psci.js";
import { CONTINUE, STILL_INSIDE } from "./run-result.js";
import { exitReason, immediateExit, setExitReason, setRunFlags } from "./run-page.js";
import { signalsOf } from "./signals.js";
import { Request, Stage, type Vcpu, VcpuMode } from "./vcpu.js";
import { loadVcpu, putVcpu } from "./vcpu-load.js";

/**
 * KVM_RUN (host-irq.md 4.5): 0 with `exit_reason` set, a negative errno, or {@link STILL_INSIDE} while the vCPU sleeps
 * inside it; {@link resumeVcpu} goes on then. The vCPU's mutex is held until it ends.
 */
export function* runVcpu(vcpu: Vcpu, argument: number): Step<number> {
  yield* vcpu.mutex.lock();
  const early = argument !== 0 ? -EINVAL : yield* prepareThread(vcpu);
  if (early < 0) {
    yield* vcpu.mutex.unlock();
    return early;
  }
  yield* loadVcpu(vcpu);
  if (exitReason(vcpu) === KVM_EXIT_MMIO) completeMmio(vcpu);
  if (immediateExit(vcpu) !== 0) return yield* leaveRun(vcpu, -EINTR);
  if (vcpu.hasSignalMask) swapSignalMask(vcpu);
  setExitReason(vcpu, KVM_EXIT_UNKNOWN);
  setRunFlags(vcpu, 0);
  const result = yield* runLoop(vcpu);
  if (result === STILL_INSIDE) return result;
  if (vcpu.hasSignalMask) swapSignalMask(vcpu);
  return yield* leaveRun(vcpu, result);
}

/** Goes on where {@link runVcpu} stood when it answered {@link STILL_INSIDE}. */
export function* resumeVcpu(vcpu: Vcpu): Step<number> {
  const result = yield* runLoop(vcpu);
  if (result === STILL_INSIDE) return result;
  if (vcpu.hasSignalMask) swapSignalMask(vcpu);
  return yield* leaveRun(vcpu, result);
}

function* leaveRun(vcpu: Vcpu, result: number): Step<number> {
  yield* putVcpu(vcpu, false);
  yield* vcpu.mutex.unlock();
  const { sim } = vcpu.vm;
  sim.charge(Cost.userExit);
  sim.emit(Ev.kvm_userspace_exit, vcpu.id, exitReason(vcpu), result);
  return result;
}

/** Puts the mask of KVM_SET_SIGNAL_MASK in force, and the thread's own back. */
function swapSignalMask(vcpu: Vcpu): void {
  const { maskLo, maskHi } = vcpu.signals;
  vcpu.signals.block(vcpu.signalMaskLo, vcpu.signalMaskHi);
  vcpu.signalMaskLo = maskLo;
  vcpu.signalMaskHi = maskHi;
}

/** The checks that a new thread repeats until they succeed once (host-irq.md 4.5, step 2). */
function* prepareThread(vcpu: Vcpu): Step<number> {
  if (vcpu.thread === current().context) return 0;
  if (!vcpu.isInitialized) return -ENOEXEC;
  if (!vcpu.hasRun) {
    const { armIrqchip } = vcpu.vm;
    if (armIrqchip !== null) {
      const mapped = yield* armIrqchip.mapResources();
      if (mapped < 0) return mapped;
    }
    const timers = yield* vcpu.timers.enable();
    if (timers < 0) return timers;
  }
  vcpu.thread = current().context;
  vcpu.signals = signalsOf(current().context);
  vcpu.hasRun = true;
  return 0;
}

/** The loop of gic-v3.md A9.11, from wherever the vCPU stands. */
function* runLoop(vcpu: Vcpu): Step<number> {
  let result = CONTINUE;
  while (result === CONTINUE) {
    switch (vcpu.stage) {
      case Stage.HOST:
        result = yield* enterGuest(vcpu);
        break;
      case Stage.GUEST:
        result = yield* runGuest(vcpu);
        break;
      case Stage.POLLING:
        result = yield* continuePolling(vcpu);
        break;
      case Stage.BLOCKED:
        result = yield* continueBlock(vcpu);
        break;
      case Stage.PREEMPTED:
        result = yield* continueRunning(vcpu);
        break;
      case Stage.ASLEEP:
        result = yield* continueSleep(vcpu);
        break;
    }
  }
  return result;
}

/** Steps 1 to 5: requests, flush, mode, and the last look that makes a lost kick impossible (K16). */
function* enterGuest(vcpu: Vcpu): Step<number> {
  const { vm } = vcpu;
  if (vcpu.hostCpu.needsResched) return yield* giveWay(vcpu);
  const isSignalled = yield* vcpu.signals.isPending();
  if (isSignalled) {
    vcpu.stat.signalExits++;
    setExitReason(vcpu, KVM_EXIT_INTR);
    return -EINTR;
  }
  yield reads(vcpu, "requests");
  if (vcpu.requests !== 0) {
    const result = yield* handleRequests(vcpu);
    if (result !== CONTINUE || vcpu.stage !== Stage.HOST) return result;
  }
  yield* vcpu.hostCpu.takeInterrupts();
  // Interrupts are off from here to the fold: what comes meanwhile makes the guest exit at once.
  yield* vcpu.hostCpu.enterGuest(vcpu);
  const { armIrqchip } = vm;
  if (armIrqchip !== null) yield* armIrqchip.flush(vcpu.index);
  const mustTurnBack = vm.hazards.modeAfterCheck ? yield* checkThenMode(vcpu) : yield* modeThenCheck(vcpu);
  if (mustTurnBack) {
    yield writes(vcpu, "mode");
    setMode(vcpu, VcpuMode.OUTSIDE_GUEST_MODE);
    if (armIrqchip !== null) yield* armIrqchip.sync(vcpu.index);
    vcpu.exitGate.isInGuest = false;
    yield* vcpu.hostCpu.leaveGuest();
    return CONTINUE;
  }
  vcpu.stage = Stage.GUEST;
  vm.sim.charge(Cost.entry);
  vm.sim.emit(Ev.kvm_entry, vcpu.id);
  return CONTINUE;
}

/** The scheduler takes the CPU for another thread: the vCPU's state leaves it, as at any context switch. */
function* giveWay(vcpu: Vcpu): Step<number> {
  const { sim } = vcpu.vm;
  yield* putVcpu(vcpu, false);
  vcpu.stage = Stage.PREEMPTED;
  if (vcpu.thread !== null) sim.wake(vcpu.thread, sim.costOf(Cost.wake));
  return STILL_INSIDE;
}

function* continueRunning(vcpu: Vcpu): Step<number> {
  vcpu.stage = Stage.HOST;
  yield* loadVcpu(vcpu);
  return CONTINUE;
}

/** IN_GUEST_MODE first, with a full barrier, then the look: who publishes later sees the mode and kicks (K16). */
function* modeThenCheck(vcpu: Vcpu): Step<boolean> {
  yield writes(vcpu, "mode");
  setMode(vcpu, VcpuMode.IN_GUEST_MODE);
  vcpu.exitGate.isInGuest = true;
  return yield* isWanted(vcpu);
}

function* checkThenMode(vcpu: Vcpu): Step<boolean> {
  const result = yield* isWanted(vcpu);
  yield writes(vcpu, "mode");
  setMode(vcpu, VcpuMode.IN_GUEST_MODE);
  vcpu.exitGate.isInGuest = true;
  return result;
}

/** Is there a reason not to enter the guest? */
function* isWanted(vcpu: Vcpu): Step<boolean> {
  yield reads(vcpu, "requests");
  if (vcpu.requests !== 0) return true;
  return yield* vcpu.signals.isPending();
}

function* handleRequests(vcpu: Vcpu): Step<number> {
  const { armIrqchip } = vcpu.vm;
  yield writes(vcpu, "requests");
  const requests = vcpu.requests;
  vcpu.requests = 0;
  if ((requests & Request.VM_DEAD) !== 0) return -EIO;
  if ((requests & Request.SLEEP) !== 0) {
    yield* vcpu.request(requests & ~Request.SLEEP);
    return yield* sleepVcpu(vcpu);
  }
  if ((requests & Request.VCPU_RESET) !== 0) resetForCpuOn(vcpu);
  if (armIrqchip === null) return CONTINUE;
  if ((requests & Request.RELOAD_GICV4) !== 0) {
    yield* armIrqchip.put(vcpu.index);
    yield* armIrqchip.load(vcpu.index, vcpu.physicalCpu);
  }
  if ((requests & Request.VGIC_PROCESS_UPDATE) !== 0) yield* armIrqchip.processUpdate(vcpu.index);
  return CONTINUE;
}

function resetForCpuOn(vcpu: Vcpu): void {
  vcpu.regs.reset();
  vcpu.regs.pc = vcpu.resetPc;
  vcpu.regs.xLo[0] = vcpu.resetX0Lo;
  vcpu.regs.xHi[0] = vcpu.resetX0Hi;
}

/** Steps 6 and 7: the guest until it exits, then everything that an exit is (host-irq.md 3.3). */
function* runGuest(vcpu: Vcpu): Step<number> {
  const { vm, stat } = vcpu;
  const exit = yield* vcpu.guest.run(vcpu);
  if (exit === GuestExit.IDLE) return STILL_INSIDE;
  vm.sim.charge(Cost.exit);
  vcpu.stage = Stage.HOST;
  vm.sim.emit(Ev.kvm_exit, vcpu.id, EXIT_NAMES[exit]);
  yield writes(vcpu, "mode");
  setMode(vcpu, VcpuMode.OUTSIDE_GUEST_MODE);
  stat.exits++;
  stat.exitsByReason[exit]++;
  const { armIrqchip } = vm;
  if (armIrqchip !== null) yield* armIrqchip.sync(vcpu.index);
  vcpu.exitGate.isInGuest = false;
  yield* vcpu.hostCpu.leaveGuest();
  yield* vcpu.hostCpu.takeInterrupts();
  return yield* handleExit(vcpu, exit);
}

function* handleExit(vcpu: Vcpu, exit: GuestExit): Step<number> {
  switch (exit) {
    case GuestExit.WFX:
      return yield* handleWfx(vcpu);
    case GuestExit.DABT:
      return yield* handleMmio(vcpu);
    case GuestExit.SYSREG:
      return yield* handleSysreg(vcpu);
    case GuestExit.HVC:
      return yield* handleHvc(vcpu);
    case GuestExit.IRQ:
      return CONTINUE;
    default:
      return -ENOSYS;
  }
}

function* handleWfx(vcpu: Vcpu): Step<number> {
  if (vcpu.trap.isWfe) {
    vcpu.stat.wfeExits++;
    vcpu.regs.pc += 4;
    return CONTINUE;
  }
  vcpu.stat.wfiExits++;
  return yield* haltVcpu(vcpu);
}

/** A trapped system register write: the virtual GIC's, or UNDEFINED for the guest. */
function* handleSysreg(vcpu: Vcpu): Step<number> {
  const { trap, vm } = vcpu;
  const { armIrqchip } = vm;
  const isDone = armIrqchip !== null && (yield* armIrqchip.guestSysregWrite(vcpu.index, trap.sysreg, trap.low, trap.high));
  if (!isDone) vm.sim.emit(Ev.guest_error, vcpu.id, "UNDEFINED");
  vcpu.regs.pc += 4;
  return CONTINUE;
}
