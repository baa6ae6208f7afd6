import { reads, writes } from "../sim/access.js";
import { current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { EINTR, EINVAL } from "../uapi/errno.js";
import { KVM_EXIT_INTR, KVM_EXIT_UNKNOWN } from "../uapi/kvm.js";
import { continueBlock, continuePolling, continueSleep } from "./halt.js";
import { setMode } from "./kick.js";
import { CONTINUE, STILL_INSIDE } from "./run-result.js";
import { exitReason, immediateExit, setExitReason, setRunFlags } from "./run-page.js";
import { signalsOf } from "./signals.js";
import { Stage, type VcpuCore, VcpuMode } from "./vcpu-core.js";
import { loadVcpu, putVcpu } from "./vcpu-load.js";

/**
 * KVM_RUN (host-irq.md 4.5): 0 with `exit_reason` set, a negative errno, or {@link STILL_INSIDE} while the vCPU sleeps
 * inside it; {@link resumeVcpu} goes on then. The vCPU's mutex is held until it ends.
 */
export function* runVcpu(vcpu: VcpuCore, argument: number): Step<number> {
  yield* vcpu.mutex.lock();
  const early = argument !== 0 ? -EINVAL : yield* prepareThread(vcpu);
  if (early < 0) {
    yield* vcpu.mutex.unlock();
    return early;
  }
  yield* loadVcpu(vcpu);
  vcpu.completeExit();
  // User space writes it while this runs: read once, here, and never again (host-irq.md K29).
  yield reads(vcpu, "kvm_run");
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
export function* resumeVcpu(vcpu: VcpuCore): Step<number> {
  const result = yield* runLoop(vcpu);
  if (result === STILL_INSIDE) return result;
  if (vcpu.hasSignalMask) swapSignalMask(vcpu);
  return yield* leaveRun(vcpu, result);
}

function* leaveRun(vcpu: VcpuCore, result: number): Step<number> {
  yield* vcpu.saveRun();
  yield* putVcpu(vcpu, false);
  yield* vcpu.mutex.unlock();
  const { sim } = vcpu.vm;
  sim.charge(Cost.userExit);
  sim.emit(Ev.kvm_userspace_exit, vcpu.id, exitReason(vcpu), result);
  return result;
}

/** Puts the mask of KVM_SET_SIGNAL_MASK in force, and the thread's own back. */
function swapSignalMask(vcpu: VcpuCore): void {
  const { maskLo, maskHi } = vcpu.signals;
  vcpu.signals.block(vcpu.signalMaskLo, vcpu.signalMaskHi);
  vcpu.signalMaskLo = maskLo;
  vcpu.signalMaskHi = maskHi;
}

/** The checks that a new thread repeats until they succeed once (host-irq.md 4.5, step 2). */
function* prepareThread(vcpu: VcpuCore): Step<number> {
  if (vcpu.thread === current().context) return 0;
  const prepared = yield* vcpu.prepareFirstRun();
  if (prepared < 0) return prepared;
  yield writes(vcpu, "sleep"); // who wakes it asks for its thread
  vcpu.thread = current().context;
  vcpu.signals = signalsOf(current().context);
  vcpu.hasRun = true;
  return 0;
}

/** The loop of gic-v3.md A9.11, from wherever the vCPU stands. */
function* runLoop(vcpu: VcpuCore): Step<number> {
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
function* enterGuest(vcpu: VcpuCore): Step<number> {
  const { vm } = vcpu;
  if (vcpu.hostCpu.needsResched) return yield* giveWay(vcpu);
  const isSignalled = yield* vcpu.signals.isPending();
  if (isSignalled) {
    vcpu.stat.signalExits++;
    setExitReason(vcpu, KVM_EXIT_INTR);
    return -EINTR;
  }
  const ready = yield* vcpu.beforeEntry();
  if (ready !== CONTINUE || vcpu.stage !== Stage.HOST) return ready;
  yield* vcpu.hostCpu.takeInterrupts();
  // Interrupts are off from here to the fold: what comes meanwhile makes the guest exit at once.
  yield* vcpu.hostCpu.enterGuest(vcpu);
  yield* vcpu.flush();
  const mustTurnBack = vm.hazards.modeAfterCheck ? yield* checkThenMode(vcpu) : yield* modeThenCheck(vcpu);
  if (mustTurnBack) {
    yield writes(vcpu, "mode");
    setMode(vcpu, VcpuMode.OUTSIDE_GUEST_MODE);
    yield* vcpu.sync();
    vcpu.exitGate.isInGuest = false;
    yield* vcpu.hostCpu.leaveGuest();
    return CONTINUE;
  }
  vcpu.stage = Stage.GUEST; // in one access with the last look for signals: who signals later sees the guest, and interrupts it
  vm.sim.charge(Cost.entry);
  vm.sim.emit(Ev.kvm_entry, vcpu.id);
  return CONTINUE;
}

/** The scheduler takes the CPU for another thread: the vCPU's state leaves it, as at any context switch. */
function* giveWay(vcpu: VcpuCore): Step<number> {
  yield* putVcpu(vcpu, false);
  vcpu.stage = Stage.PREEMPTED;
  if (vcpu.thread !== null) yield* vcpu.hostCpu.gaveWay(vcpu.thread);
  return STILL_INSIDE;
}

function* continueRunning(vcpu: VcpuCore): Step<number> {
  vcpu.stage = Stage.HOST;
  yield* loadVcpu(vcpu);
  return CONTINUE;
}

/** IN_GUEST_MODE first, with a full barrier, then the look: who publishes later sees the mode and kicks (K16). */
function* modeThenCheck(vcpu: VcpuCore): Step<boolean> {
  yield writes(vcpu, "mode");
  setMode(vcpu, VcpuMode.IN_GUEST_MODE);
  vcpu.exitGate.isInGuest = true;
  return yield* isWanted(vcpu);
}

function* checkThenMode(vcpu: VcpuCore): Step<boolean> {
  const result = yield* isWanted(vcpu);
  yield writes(vcpu, "mode");
  setMode(vcpu, VcpuMode.IN_GUEST_MODE);
  vcpu.exitGate.isInGuest = true;
  return result;
}

/** Is there a reason not to enter the guest? */
function* isWanted(vcpu: VcpuCore): Step<boolean> {
  yield reads(vcpu, "requests");
  if (vcpu.requests !== 0) return true;
  return yield* vcpu.signals.isPending();
}

/** Steps 6 and 7: the guest until it exits, then everything that an exit is (host-irq.md 3.3). */
function* runGuest(vcpu: VcpuCore): Step<number> {
  const { vm, stat } = vcpu;
  const exit = yield* vcpu.runGuest();
  if (exit === 0) return STILL_INSIDE;
  vm.sim.charge(Cost.exit);
  vm.sim.emit(Ev.kvm_exit, vcpu.id, vcpu.exitNames[exit]);
  yield writes(vcpu, "mode");
  vcpu.stage = Stage.HOST;
  setMode(vcpu, VcpuMode.OUTSIDE_GUEST_MODE);
  stat.exits++;
  stat.exitsByReason[exit]++;
  yield* vcpu.sync();
  vcpu.exitGate.isInGuest = false;
  yield* vcpu.hostCpu.leaveGuest();
  yield* vcpu.hostCpu.takeInterrupts();
  return yield* vcpu.handleExit(exit);
}

