import { type NotificationPort, PostedHost, PostedInterrupts, type PostedVcpu } from "../../irqchip/x86/posted-interrupts.js";
import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { type Waitable, writes } from "../../sim/access.js";
import type { Context } from "../../sim/context.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { PcStage } from "./pc-stage.js";
import { Thread } from "./threads.js";

const WAKEUP = 0xf1;

/** A vCPU that can be woken, and waits for that. */
export class Sleeper implements PostedVcpu, Waitable {
  physicalCpu = -1;
  inGuest = false;
  private isAwake = false;

  constructor(readonly id: number) {}

  isOpen(): boolean {
    return this.isAwake;
  }
  *isInGuest(): Step<boolean> {
    return this.inGuest;
  }
  isCurrent(): boolean {
    return false;
  }
  *wakeUp(): Step<void> {
    yield writes(this, "isAwake");
    this.isAwake = true;
  }
}

/** One vCPU with posted interrupts, loaded on CPU 0, in the guest: its processor and its host take notifications as contexts. */
export class PostedStage implements NotificationPort {
  readonly isX2apic = true;
  readonly pc: PcStage;
  readonly host: PostedHost;
  readonly vcpu = new Sleeper(0);
  readonly posted: PostedInterrupts;
  readonly lapic: Lapic;
  private readonly processor: Context;
  private readonly handler: Context;

  constructor(hazards?: Partial<Hazards>) {
    this.pc = new PcStage({ hazards, cpus: 1 });
    this.lapic = this.pc.cpus[0].lapic;
    this.host = new PostedHost(this.pc.sim, 3, this);
    this.posted = new PostedInterrupts(this.host, this.vcpu);
    run(this.lapic.accelerate(this.posted));
    run(this.posted.load(0));
    this.vcpu.inGuest = true;
    this.processor = new Thread("processor", "hardware", () => this.takeNotification());
    this.handler = new Thread("0xf1", "hardirq", () => this.host.wakeupHandler(0));
  }

  /** Outside the guest 0xf2 means nothing. */
  private *takeNotification(): Step<void> {
    if (this.vcpu.inGuest) yield* this.posted.sync(this.lapic);
  }

  apicId(cpu: number): number {
    return cpu;
  }

  *send(_apicId: number, vector: number): Step<void> {
    this.pc.sim.wake(vector === WAKEUP ? this.handler : this.processor, 0);
  }

  private *post(vector: number): Step<void> {
    const notification = yield* this.posted.descriptor.postByDevice(vector, false);
    if (notification >= 0) yield* this.send(0, notification);
  }

  /** A device whose IRTE posts. */
  device(vector: number): Thread {
    return new Thread(`device ${vector.toString(16)}`, "hardware", () => this.post(vector));
  }

  /** Another vCPU, or an irqfd. */
  software(vector: number): Thread {
    return new Thread(`software ${vector.toString(16)}`, "user", () => this.lapic.acceptIrq(0, vector, false, true, null));
  }

  /** The vCPU looks and blocks, is woken, and comes back on CPU 1. */
  *block(): Step<void> {
    const hasPending = yield* this.posted.descriptor.hasPending();
    if (!hasPending) {
      yield* this.posted.put("blocking");
      yield* this.pc.sim.wait(this.vcpu);
      yield* this.posted.load(1);
    }
    yield* this.posted.sync(this.lapic);
  }

  /** The vCPU comes back on a CPU, and syncs before it enters. */
  *comeBack(cpu: number): Step<void> {
    yield* this.posted.load(cpu);
    yield* this.posted.sync(this.lapic);
  }

  isRequested(vector: number): boolean {
    return ((this.lapic.page[(0x200 >> 2) + ((vector >> 5) << 2)] >> (vector & 31)) & 1) === 1;
  }
}
