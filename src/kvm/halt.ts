import { reads, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { CONTINUE, STILL_INSIDE } from "./run-result.js";
import { Request, Sleep, Stage, type Vcpu } from "./vcpu.js";
import { loadVcpu, putVcpu } from "./vcpu-load.js";

/** halt_poll_ns_grow_start, _grow and _shrink (host-irq.md 3.4, step 5). */
const GROW_START_NS = 10_000;
const GROW = 2;

/** The halt polling window of one vCPU. */
export class HaltPoll {
  windowNs = 0;
  /** 0 closes the window at once (Linux 6.1); else the window is divided by it. */
  shrink = 2;
  startNs = 0;

  /** Adapts the window to a halt of `haltNs`; `maxNs` 0 keeps it closed. */
  adapt(haltNs: number, maxNs: number): void {
    if (maxNs === 0) this.windowNs = 0;
    else if (haltNs <= this.windowNs) return;
    else if (this.windowNs > 0 && haltNs > maxNs) this.windowNs = this.shrunk();
    else if (this.windowNs < maxNs && haltNs < maxNs) this.windowNs = Math.min(maxNs, Math.max(GROW_START_NS, this.windowNs * GROW));
  }

  private shrunk(): number {
    const narrower = this.shrink === 0 ? 0 : Math.floor(this.windowNs / this.shrink);
    return narrower < GROW_START_NS ? 0 : narrower;
  }
}

/** May the halted vCPU go on: a deliverable interrupt, a timer that has fired, a signal (host-irq.md 3.4, step 4)? */
export function* checkBlock(vcpu: Vcpu): Step<boolean> {
  const isRunnable = yield* vcpu.isRunnable();
  if (isRunnable) return true;
  const hasTimer = yield* vcpu.timers.hasFired();
  if (hasTimer) return true;
  return yield* vcpu.signals.isPending();
}

/** WFI: polls when the window is open, then blocks. */
export function* haltVcpu(vcpu: Vcpu): Step<number> {
  const { halt, vm } = vcpu;
  halt.startNs = vm.sim.now();
  if (halt.windowNs > vm.haltPollMaxNs) halt.windowNs = vm.haltPollMaxNs;
  if (halt.windowNs === 0) return yield* beginBlock(vcpu);
  vcpu.stat.haltAttemptedPoll++;
  vcpu.stage = Stage.POLLING;
  return yield* continuePolling(vcpu);
}

/** One look of a polling thread; it looks again when something is published or the window ends. */
export function* continuePolling(vcpu: Vcpu): Step<number> {
  const { halt, vm, thread } = vcpu;
  const stops = yield* checkBlock(vcpu);
  if (stops) {
    vcpu.stat.haltSuccessfulPoll++;
    return endHalt(vcpu);
  }
  const end = halt.startNs + halt.windowNs;
  if (thread === null || vm.sim.now() >= end) return yield* beginBlock(vcpu);
  const deadline = yield* vcpu.timers.nextDeadline();
  vm.sim.wakeAt(thread, Math.min(end, deadline));
  return STILL_INSIDE;
}

function* beginBlock(vcpu: Vcpu): Step<number> {
  const hasPolled = vcpu.stage === Stage.POLLING;
  yield* putVcpu(vcpu, true);
  vcpu.stage = Stage.BLOCKED;
  const result = yield* continueBlock(vcpu);
  if (hasPolled && result === CONTINUE) vcpu.stat.haltSuccessfulPoll++;
  return result;
}

/**
 * Blocks, or was woken while blocked: is there a reason to go on? The sleeping state is set before the look, so that no
 * wake falls between look and sleep (K18).
 */
export function* continueBlock(vcpu: Vcpu): Step<number> {
  const isLate = vcpu.vm.hazards.sleepAfterCheck;
  if (!isLate) yield* setSleep(vcpu, Sleep.WAITING);
  const stops = yield* checkBlock(vcpu);
  if (!stops && isLate) yield* setSleep(vcpu, Sleep.WAITING);
  if (!stops) return STILL_INSIDE;
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.AWAKE;
  yield* loadVcpu(vcpu);
  return endHalt(vcpu);
}

function* setSleep(vcpu: Vcpu, sleep: Sleep): Step<void> {
  yield writes(vcpu, "sleep");
  vcpu.sleep = sleep;
}

function endHalt(vcpu: Vcpu): number {
  const { halt, vm } = vcpu;
  vcpu.stage = Stage.HOST;
  halt.adapt(vm.sim.now() - halt.startNs, vm.haltPollMaxNs);
  vcpu.regs.pc += 4;
  return CONTINUE;
}

/** KVM_REQ_SLEEP: powered off or paused, it waits in the kernel until that ends or a signal comes. */
export function* sleepVcpu(vcpu: Vcpu): Step<number> {
  yield* putVcpu(vcpu, false);
  vcpu.stage = Stage.ASLEEP;
  return yield* continueSleep(vcpu);
}

export function* continueSleep(vcpu: Vcpu): Step<number> {
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.WAITING;
  yield reads(vcpu, "isPoweredOff");
  const isOff = vcpu.isPoweredOff;
  yield reads(vcpu, "isPaused");
  const mustStay = isOff || vcpu.isPaused;
  const isSignalled = yield* vcpu.signals.isPending();
  if (mustStay && !isSignalled) return STILL_INSIDE;
  if (mustStay) yield* vcpu.request(Request.SLEEP);
  yield writes(vcpu, "sleep");
  vcpu.sleep = Sleep.AWAKE;
  vcpu.stage = Stage.HOST;
  yield* loadVcpu(vcpu);
  return CONTINUE;
}
