import { HostVector } from "../../arch/x86/host-vectors.js";
import { reads } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { type GuestMode, HostCpu, Ipi } from "../cpu.js";
import type { LocalApics } from "./local-apics.js";

/** Takes the vectors of devices: the vector domain. */
export interface VectorHandler {
  /** In service at the local APIC of this CPU; the handler ends it. */
  handle(cpu: number, vector: number): Step<void>;
}

/** kvm_set_posted_intr_wakeup_handler: what the wake-up vector calls. */
export interface PostedWakeup {
  wakeupHandler(cpu: number): Step<void>;
}

const VECTORS: readonly number[] = [HostVector.RESCHEDULE, HostVector.CALL_FUNCTION_SINGLE, HostVector.POSTED_INTR, HostVector.POSTED_INTR_WAKEUP];

/** A physical CPU that a local APIC interrupts; its IPIs have the host's system vectors. */
export class ApicCpu extends HostCpu {
  postedWakeup: PostedWakeup | null = null;

  constructor(
    sim: Sim,
    cpu: number,
    private readonly apics: LocalApics,
    private readonly handler: VectorHandler,
    peers: readonly HostCpu[],
  ) {
    super(sim, cpu, apics, peers);
  }

  /** A notification for the guest that runs here is its processor's: no exit, and the host never sees it. */
  protected override *interruptGuest(guest: GuestMode, isIpi: boolean): Step<void> {
    if (guest.notificationVector !== undefined && guest.notificationVector >= 0) {
      const isTaken = yield* this.apics.of(this.cpu).takeNotification(guest.notificationVector);
      if (isTaken) {
        if (guest.notified) yield* guest.notified(isIpi);
        yield reads(this, "IRQ");
        if (!this.apics.isSignalled(this.cpu)) return;
      }
    }
    yield* guest.forceExit(isIpi);
  }

  protected override *takeOne(): Step<void> {
    const { sim, cpu } = this;
    const apic = this.apics.of(cpu);
    const vector = yield* apic.acknowledge();
    sim.charge(Cost.irqAck);
    if (vector === HostVector.SPURIOUS) {
      this.spurious++;
      return;
    }
    this.interrupts++;
    sim.emit(Ev.host_ack, cpu, vector);
    const kind = VECTORS.indexOf(vector);
    if (kind < 0) {
      yield* this.handler.handle(cpu, vector);
      return;
    }
    yield* apic.endOfInterrupt();
    sim.charge(Cost.irqEoi);
    sim.emit(Ev.host_eoi, cpu, vector);
    this.ipisTaken[kind]++;
    if (vector === HostVector.POSTED_INTR_WAKEUP && this.postedWakeup !== null) yield* this.postedWakeup.wakeupHandler(cpu);
  }

  protected override *sendSignal(to: number, kind: Ipi): Step<void> {
    yield* this.apics.of(to).accept(VECTORS[kind]);
  }
}
