import { Ipi } from "../host/cpu.js";
import { reads, writes } from "../sim/access.js";
import { current } from "../sim/context.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { MODE_NAMES, Request, Sleep, Stage, type VcpuCore, VcpuMode } from "./vcpu-core.js";

/** Changes the mode; the point before it is the caller's. */
export function setMode(vcpu: VcpuCore, mode: VcpuMode): void {
  vcpu.mode = mode;
  vcpu.vm.sim.emit(Ev.vcpu_mode, vcpu.id, MODE_NAMES[mode]);
}

/**
 * Wakes a vCPU thread that is blocked on its wait queue (host-irq.md 3.2, step 1). True if there was one to wake. A
 * polling thread is not blocked: nothing is counted, it sees by itself what was published (3.4, step 6).
 */
export function* wakeUp(vcpu: VcpuCore): Step<boolean> {
  const woken = yield* wakeSleeper(vcpu, true);
  if (woken) vcpu.stat.haltWakeup++;
  return woken;
}

/** Makes the thread runnable if it sleeps on the vCPU's wait queue. @param hastens a polling thread looks again at once */
function* wakeSleeper(vcpu: VcpuCore, hastens: boolean): Step<boolean> {
  yield writes(vcpu, "sleep");
  const { thread } = vcpu;
  if (thread === null) return false;
  if (hastens && vcpu.stage === Stage.POLLING) vcpu.vm.sim.wake(thread, 0);
  if (vcpu.sleep !== Sleep.WAITING) return false;
  vcpu.sleep = Sleep.WOKEN;
  yield* vcpu.vm.host.cpus[thread.cpu].wakeThread(thread);
  return true;
}

/** Keeps the vCPU out of the guest: it is made to exit, a sleeping one is left alone (KVM_REQ_SLEEP). */
export function* pauseVcpu(vcpu: VcpuCore): Step<void> {
  yield writes(vcpu, "isPaused");
  vcpu.isPaused = true;
  yield* vcpu.request(Request.SLEEP);
  yield writes(vcpu, "mode");
  if (vcpu.mode !== VcpuMode.IN_GUEST_MODE) return;
  setMode(vcpu, VcpuMode.EXITING_GUEST_MODE);
  const from = current().cpu;
  if (vcpu.physicalCpu !== from) yield* vcpu.vm.host.cpus[from].sendIpi(vcpu.physicalCpu, Ipi.FUNCTION_CALL);
}

export function* unpauseVcpu(vcpu: VcpuCore): Step<void> {
  yield writes(vcpu, "isPaused");
  vcpu.isPaused = false;
  yield* wakeSleeper(vcpu, false);
}

/**
 * Makes a vCPU notice what the caller has published: wakes it when it is blocked, makes it exit when it is in the guest
 * (host-irq.md 3.2). Only the one whose compare-and-swap wins sends the IPI (K17).
 */
export function* kick(vcpu: VcpuCore): Step<void> {
  const woken = yield* wakeUp(vcpu);
  if (woken) return;
  yield writes(vcpu, "mode");
  if (vcpu.mode !== VcpuMode.IN_GUEST_MODE) return;
  if (!vcpu.vm.hazards.kickWithoutSwap) setMode(vcpu, VcpuMode.EXITING_GUEST_MODE);
  const to = vcpu.physicalCpu;
  const from = current().cpu;
  if (to < 0 || to === from) return;
  vcpu.stat.kickIpis++;
  yield* vcpu.vm.host.cpus[from].sendIpi(to, Ipi.RESCHEDULE);
}

/** After a signal became pending for the vCPU's thread: its sleep ends, its guest exits. No wake-up is counted. */
export function* interruptVcpu(vcpu: VcpuCore): Step<void> {
  if (vcpu.thread === current().context) return;
  const woken = yield* wakeSleeper(vcpu, true);
  if (woken) return;
  const from = current().cpu;
  yield reads(vcpu, "mode");
  // From the mode on, not from the guest: a signal behind the last look for signals must turn the entry back (K16, K29).
  const isGoingIn = vcpu.mode === VcpuMode.IN_GUEST_MODE || vcpu.stage === Stage.GUEST;
  if (isGoingIn && vcpu.physicalCpu !== from) yield* vcpu.vm.host.cpus[from].sendIpi(vcpu.physicalCpu, Ipi.RESCHEDULE);
}
