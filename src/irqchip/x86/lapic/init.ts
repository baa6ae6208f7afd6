import { reads, shared, writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import { DeliveryMode } from "../contract.js";
import type { Lapic } from "./lapic.js";

/** KVM_APIC_INIT, KVM_APIC_SIPI */
const INIT = 1;
const SIPI = 2;

/** What INIT and start-up do to a vCPU (x86-irqchip.md 7.6), implemented by the VM. */
export interface InitTarget {
  readonly isBootCpu: boolean;
  /** False in SMM, VMX root operation, with GIF = 0. */
  allowsInit(): boolean;
  /** KVM_MP_STATE_INIT_RECEIVED? */
  waitsForStartup(): boolean;
  /** The vCPU's INIT reset, its local APIC included. */
  reset(): Step<void>;
  /** mp_state := INIT_RECEIVED, or RUNNABLE for the boot CPU. */
  setWaiting(waits: boolean): Step<void>;
  /** CS:IP := vector << 8 : 0, runnable. */
  startAt(vector: number): Step<void>;
}

/** What becomes of a message that is no vector: for traces. */
function outcomeOf(mode: DeliveryMode, isLevel: boolean, isAsserted: boolean): string {
  if (mode === DeliveryMode.EXTINT) return "ExtINT is nobody's";
  return mode === DeliveryMode.INIT && isLevel && !isAsserted ? "INIT de-assert" : "event";
}

/** Messages that are no vectors (x86-irqchip.md 6.4), and the events of INIT and start-up that wait for the vCPU (7.6). */
export class InitEvents {
  pending = 0;
  sipiVector = 0;

  constructor(private readonly lapic: Lapic) {}

  /** SMI to ExtINT: 1 or 0. */
  *accept(mode: DeliveryMode, vector: number, isLevel: boolean, isAsserted: boolean): Step<number> {
    const { set, vcpu } = this.lapic;
    set.vm.sim.emit(Ev.kvm_apic_accept_irq, vcpu.id, mode, isLevel ? 1 : 0, vector, outcomeOf(mode, isLevel, isAsserted));
    switch (mode) {
      case DeliveryMode.SMI: {
        const isPended = yield* vcpu.pendSmi();
        return isPended ? 1 : this.dropped(vector, "no SMM");
      }
      case DeliveryMode.REMOTE_READ:
        yield* vcpu.unhalt();
        return 1;
      case DeliveryMode.NMI:
        yield* vcpu.pendNmi();
        return 1;
      case DeliveryMode.INIT:
        return yield* this.postInit(isLevel, isAsserted);
      case DeliveryMode.STARTUP:
        return yield* this.postStartup(vector);
      default:
        return 0;
    }
  }

  private dropped(vector: number, cause: string): number {
    const { set, vcpu } = this.lapic;
    set.vm.sim.emit(Ev.apic_dropped, vcpu.id, vector, cause);
    return 0;
  }

  /** A pending start-up goes: it was meant for the life before this INIT (X26). */
  private *postInit(isLevel: boolean, isAsserted: boolean): Step<number> {
    if (isLevel && !isAsserted) return 0;
    yield writes(this, "pending");
    if ((this.pending & SIPI) !== 0) this.dropped(0, "INIT follows the start-up");
    this.pending = this.lapic.set.hazards.initKeepsStartup ? this.pending | INIT : INIT;
    yield* this.lapic.vcpu.requestInitEvents();
    return 1;
  }

  /** The vector is there before the event says so. */
  private *postStartup(vector: number): Step<number> {
    yield writes(this, "sipiVector");
    this.sipiVector = vector;
    yield writes(this, "pending");
    this.pending |= SIPI;
    yield* this.lapic.vcpu.requestInitEvents();
    return 1;
  }

  *isPending(): Step<boolean> {
    yield reads(this, "pending");
    return this.pending !== 0;
  }

  /** The vCPU looks, before entry and while it waits: INIT first, then start-up. */
  *process(target: InitTarget): Step<void> {
    yield reads(this, "pending");
    if (this.pending === 0) return;
    if (!target.allowsInit()) {
      const hadStartup = yield* this.takeEvent(SIPI);
      if (hadStartup) this.dropped(0, "INIT is held back");
      return;
    }
    const hasInit = yield* this.takeEvent(INIT);
    if (hasInit) {
      yield* target.reset();
      yield* target.setWaiting(!target.isBootCpu);
    }
    const hasStartup = yield* this.takeEvent(SIPI);
    if (!hasStartup) return;
    if (!target.waitsForStartup()) {
      this.dropped(0, "the vCPU does not wait for a start-up");
      return;
    }
    yield reads(this, "sipiVector");
    yield* target.startAt(this.sipiVector);
  }

  /** Clears one event; was it there? */
  private *takeEvent(event: number): Step<boolean> {
    yield writes(this, "pending");
    const had = (this.pending & event) !== 0;
    this.pending &= ~event;
    return had;
  }

  /** KVM_SET_MP_STATE's SIPI_RECEIVED: a start-up more, whatever waits already (seen on 6.18). */
  *addStartup(): Step<void> {
    yield writes(this, "pending");
    this.pending |= SIPI;
  }
}
shared(InitEvents, "pending", "sipiVector");
