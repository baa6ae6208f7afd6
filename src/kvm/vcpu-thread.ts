import type { Process } from "../host/process.js";
import { reads, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { KVM_RUN } from "../uapi/kvm.js";
import { interruptVcpu } from "./kick.js";
import { STILL_INSIDE } from "./run-result.js";
import { SignalledContext } from "./signals.js";
import { Stage, type VcpuCore } from "./vcpu-core.js";
import { resumeVcpu } from "./vcpu-run.js";

/**
 * A thread of user space that runs one vCPU, pinned to a physical CPU: it calls KVM_RUN, hands what comes back to
 * `userspace`, and calls it again. Its guest runs in it. Wake it once to start it.
 */
export abstract class VcpuThread extends SignalledContext {
  private isInside = false;

  /** @param fd the vCPU's descriptor in `process` */
  constructor(
    readonly vcpu: VcpuCore,
    readonly process: Process,
    readonly fd: number,
    cpu: number,
  ) {
    super(`vcpu${vcpu.id}`, "vcpu", cpu);
  }

  /**
   * KVM_RUN has returned `result` (0 with `exit_reason` set, or a negative errno). True: call it again now; false: the
   * thread sleeps, and a wake calls it again.
   */
  abstract userspace(result: number): Step<boolean>;

  override *body(): Step<void> {
    const hostCpu = this.vcpu.vm.host.cpus[this.cpu];
    if (!(yield* hostCpu.claim(this))) return;
    for (;;) {
      const result = this.isInside ? yield* resumeVcpu(this.vcpu) : yield* this.process.ioctl(this.fd, KVM_RUN, 0);
      this.isInside = result === STILL_INSIDE;
      if (this.isInside) break;
      const goesOn = yield* this.userspace(result);
      if (!goesOn) break;
    }
    const { stage } = this.vcpu;
    const sleeps = !this.isInside || stage === Stage.BLOCKED || stage === Stage.ASLEEP;
    if (sleeps) yield* hostCpu.release();
  }

  /** Sends the thread a signal: a KVM_RUN that does not block it ends with -EINTR. */
  *signal(signal: number): Step<void> {
    yield* this.signals.raise(signal);
    yield writes(this, "signalPending");
    this.signalPending = true;
    // In its first pass through KVM_RUN, too, behind the last look for signals.
    yield reads(this.vcpu, "sleep");
    if (this.vcpu.thread === this) yield* interruptVcpu(this.vcpu);
  }
}
