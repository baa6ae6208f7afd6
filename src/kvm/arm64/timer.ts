import { Context } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { ArchTimer } from "./arch-timer.js";
import { wakeUp } from "../kick.js";
import type { Vcpu } from "./vcpu.js";

/** Default PPIs of the timers (gic-v3.md A9.12). */
export const VTIMER_PPI = 27;
export const PTIMER_PPI = 30;

/** The host's timer that stands in while the vCPU is blocked: no PPI, only the wake-up (host-irq.md 2.5). */
class BackgroundTimer extends Context {
  constructor(private readonly vcpu: Vcpu) {
    super(`bg_timer of vcpu${vcpu.id}`, "timer", 0);
  }
  override *body(): Step<void> {
    yield* wakeUp(this.vcpu);
  }
}

/** Both timers of one vCPU, and where they are: in the hardware, saved, or replaced by a host timer. */
export class VcpuTimers {
  readonly virtual: ArchTimer;
  readonly physical: ArchTimer;
  private readonly background: BackgroundTimer;
  private isEnabled = false;

  constructor(private readonly vcpu: Vcpu) {
    this.virtual = new ArchTimer(vcpu, VTIMER_PPI);
    this.physical = new ArchTimer(vcpu, PTIMER_PPI);
    this.background = new BackgroundTimer(vcpu);
  }

  /** First run: claims the PPIs and links them to the physical ones. 0, or -EINVAL when they are taken. */
  *enable(): Step<number> {
    const { armIrqchip, host } = this.vcpu.vm;
    if (this.isEnabled || armIrqchip === null || host.gic === null) return 0;
    const virtual = yield* this.link(this.virtual);
    if (virtual < 0) return virtual;
    const physical = yield* this.link(this.physical);
    if (physical < 0) return physical;
    this.isEnabled = true;
    return 0;
  }

  private *link(timer: ArchTimer): Step<number> {
    const { armIrqchip } = this.vcpu.vm;
    if (armIrqchip === null) return 0;
    const owned = yield* armIrqchip.setOwner(this.vcpu.index, timer.intid, timer);
    if (owned < 0) return -EINVAL;
    return yield* armIrqchip.mapPhysicalIrq(this.vcpu.index, timer.intid, timer.intid);
  }

  *load(cpu: number): Step<void> {
    const { host, sim } = this.vcpu.vm;
    if (host.gic === null) return;
    sim.cancel(this.background);
    yield* this.virtual.load(cpu, host.gic);
    yield* this.physical.load(cpu, host.gic);
  }

  *put(isBlocking: boolean): Step<void> {
    const { sim } = this.vcpu.vm;
    this.background.cpu = this.vcpu.physicalCpu < 0 ? 0 : this.vcpu.physicalCpu;
    yield* this.virtual.put();
    yield* this.physical.put();
    if (!isBlocking) return;
    const deadline = yield* this.nextDeadline();
    if (deadline !== Infinity) sim.wakeAt(this.background, deadline);
  }

  /** The VM is gone: nothing fires any more. */
  *destroy(): Step<void> {
    this.vcpu.vm.sim.cancel(this.background);
    yield* this.virtual.put();
    yield* this.physical.put();
  }

  /** Has a timer fired, so that a halted vCPU goes on? */
  *hasFired(): Step<boolean> {
    const virtual = yield* this.virtual.hasFired();
    if (virtual) return true;
    return yield* this.physical.hasFired();
  }

  /** The earlier of both, nanoseconds; Infinity when neither is armed. */
  *nextDeadline(): Step<number> {
    const virtual = yield* this.virtual.deadline();
    const physical = yield* this.physical.deadline();
    return Math.min(virtual, physical);
  }

  /** The timer behind a physical PPI; null for another one. */
  byPpi(intid: number): ArchTimer | null {
    if (intid === this.virtual.intid) return this.virtual;
    return intid === this.physical.intid ? this.physical : null;
  }
}
