import { writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { CONTINUE, STILL_INSIDE } from "./run-result.js";
import { Request, Sleep, Stage, type VcpuCore } from "./vcpu-core.js";
import { loadVcpu, putVcpu } from "./vcpu-load.js";

/** May the halted vCPU go on: a deliverable interrupt, a timer that has fired, a signal (host-irq.md 3.4, step 4)? */
export function* checkBlock(vcpu: VcpuCore): Step<boolean> {
  const isRunnable = yield* vcpu.isRunnable();
  if (isRunnable) return true;
  const hasTimer = yield* vcpu.hasFiredTimer();
  if (hasTimer) return true;
  return yield* vcpu.signals.isPending();
}

/** WFI, HLT: polls when the window is open, then blocks. */
export function* haltVcpu(vcpu: VcpuCore): Step<number> {
  const { halt, vm } = vcpu;
  halt.startNs = vm.sim.now();
  if (halt.windowNs > vm.haltPollMaxNs) halt.windowNs = vm.haltPollMaxNs;
  if (halt.windowNs === 0) return yield* blockVcpu(vcpu);
  vcpu.stat.haltAttemptedPoll++;
  yield* setStage(vcpu, Stage.POLLING);
  return yield* continuePolling(vcpu);
}

/** One look of a polling thread; it looks again when something is published or the window ends. */
export function* continuePolling(vcpu: VcpuCore): Step<number> {
  const { halt, vm, thread } = vcpu;
  const stops = yield* checkBlock(vcpu);
  if (stops) {
    vcpu.stat.haltSuccessfulPoll++;
    return yield* endHalt(vcpu);
  }
  const end = halt.startNs + halt.windowNs;
  if (thread === null || vm.sim.now() >= end) return yield* blockVcpu(vcpu);
  const deadline = yield* vcpu.nextDeadline();
  vm.sim.wakeAt(thread, Math.min(end, deadline));
  return STILL_INSIDE;
}

/** Off the CPU until there is a reason to go on. */
export function* blockVcpu(vcpu: VcpuCore): Step<number> {
  const hasPolled = vcpu.stage === Stage.POLLING;
  yield* putVcpu(vcpu, true);
  yield* setStage(vcpu, Stage.BLOCKED);
  const result = yield* continueBlock(vcpu);
  if (hasPolled && result === CONTINUE) vcpu.stat.haltSuccessfulPoll++;
  return result;
}

/**
 * Blocks, or was woken while blocked: is there a reason to go on? The sleeping state is set before the look, so that no
 * wake falls between look and sleep (K18).
 */
export function* continueBlock(vcpu: VcpuCore): Step<number> {
  const isLate = vcpu.vm.hazards.sleepAfterCheck;
  if (!isLate) yield* setSleep(vcpu, Sleep.WAITING);
  const stops = yield* checkBlock(vcpu);
  if (!stops && isLate) yield* setSleep(vcpu, Sleep.WAITING);
  if (!stops) return STILL_INSIDE;
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.AWAKE;
  yield* loadVcpu(vcpu);
  return yield* endHalt(vcpu);
}

function* setSleep(vcpu: VcpuCore, sleep: Sleep): Step<void> {
  yield writes(vcpu, "sleep");
  vcpu.sleep = sleep;
}

/** Who wakes the vCPU looks at the stage together with the sleep. */
function* setStage(vcpu: VcpuCore, stage: Stage): Step<void> {
  yield writes(vcpu, "sleep");
  vcpu.stage = stage;
}

function* endHalt(vcpu: VcpuCore): Step<number> {
  const { halt, vm } = vcpu;
  yield* setStage(vcpu, Stage.HOST);
  halt.adapt(vm.sim.now() - halt.startNs, vm.haltPollMaxNs);
  return yield* vcpu.haltEnded();
}

/** KVM_REQ_SLEEP: powered off or paused, it waits in the kernel until that ends or a signal comes. */
export function* sleepVcpu(vcpu: VcpuCore): Step<number> {
  yield* putVcpu(vcpu, false);
  vcpu.stage = Stage.ASLEEP;
  return yield* continueSleep(vcpu);
}

export function* continueSleep(vcpu: VcpuCore): Step<number> {
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.WAITING;
  const mustStay = yield* vcpu.mustSleep();
  const isSignalled = yield* vcpu.signals.isPending();
  if (mustStay && !isSignalled) return STILL_INSIDE;
  if (mustStay) yield* vcpu.request(Request.SLEEP);
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.AWAKE;
  vcpu.stage = Stage.HOST;
  yield* loadVcpu(vcpu);
  return CONTINUE;
}
