import { TraceBuffer } from "../../sim/event.js";
import { Mutex } from "../../sim/lock.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { type Step } from "../../sim/step.js";
import type { AckListener, MmioBus, MmioDevice } from "../contract.js";
import { type PioBus, type PioDevice, type X86IrqchipVm, type X86Vcpu } from "./contract.js";

export class FakeX86Vcpu implements X86Vcpu {
  readonly mutex: Mutex;
  hasRun = false;
  physicalCpu = -1;
  /** Event requests so far. */
  events = 0;
  scanRequested = false;
  nmis = 0;

  constructor(
    sim: Sim,
    readonly id: number,
    readonly index: number,
  ) {
    this.mutex = new Mutex(sim, "vcpu->mutex");
  }

  *requestIrqPending(): Step<void> {}
  *requestProcessUpdate(): Step<void> {}
  *requestEoiExit(_vector: number): Step<void> {}
  *requestInitEvents(): Step<void> {}
  *requestUnblock(): Step<void> {}
  *unhalt(): Step<void> {}
  *requestEvent(): Step<void> {
    this.events++;
  }
  *requestScanIoapic(): Step<void> {
    this.scanRequested = true;
  }
  *pendNmi(): Step<void> {
    this.nmis++;
  }
  *pendSmi(): Step<boolean> {
    return true;
  }
}

/** Records "chip:pin" of every acknowledge; `onAck` answers, as a resampler does. */
class Acks implements AckListener {
  readonly acked: string[] = [];
  onAck: ((chip: number, pin: number) => Step<void>) | null = null;

  *notifyAcked(chip: number, pin: number): Step<void> {
    this.acked.push(`${chip}:${pin}`);
    if (this.onAck !== null) yield* this.onAck(chip, pin);
  }
}

/** A bus of either kind, which refuses what overlaps, and a base that the test names. */
class Bus<D> {
  readonly ranges: { base: number; size: number; device: D }[] = [];
  refusedBase = -1;

  *register(base: number, size: number, device: D): Step<number> {
    if (base === this.refusedBase || this.ranges.some((range) => base < range.base + range.size && range.base < base + size)) return -17;
    this.ranges.push({ base, size, device });
    return 0;
  }

  *unregister(base: number, device: D): Step<void> {
    const at = this.ranges.findIndex((range) => range.base === base && range.device === device);
    if (at >= 0) this.ranges.splice(at, 1);
  }
}

export class FakeX86Vm implements X86IrqchipVm {
  readonly sim: Sim;
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  readonly vcpus: FakeX86Vcpu[] = [];
  readonly ipaBits = 46;
  readonly hostGic = null;
  readonly acks = new Acks();
  readonly mmio = new Bus<MmioDevice>();
  readonly pio = new Bus<PioDevice>();
  readonly mmioBus: MmioBus = this.mmio;
  readonly pioBus: PioBus = this.pio;
  /** "chip:pin:masked" of every change of a mask bit. */
  readonly masks: string[] = [];
  /** IOAPIC pins with a resampling irqfd, and how often their owners were told to look again. */
  readonly resampled = new Map<number, number>();
  /** IOAPIC pins somebody listens to. */
  readonly listened = new Set<number>();

  constructor(
    readonly trace: TraceBuffer | null,
    hazards?: Partial<Hazards>,
  ) {
    this.sim = new Sim({ trace, hazards });
    this.lock = new Mutex(this.sim, "kvm->lock");
    this.slotsLock = new Mutex(this.sim, "kvm->slots_lock");
  }

  get createdVcpus(): number {
    return this.vcpus.length;
  }

  *installDefaultRouting(_pins: number): Step<number> {
    return 0;
  }
  *haltGuest(): Step<void> {}
  *resumeGuest(): Step<void> {}

  *notifyMasked(chip: number, pin: number, isMasked: boolean): Step<void> {
    this.masks.push(`${chip}:${pin}:${isMasked ? 1 : 0}`);
  }

  *notifyResampler(chip: number, pin: number): Step<boolean> {
    const told = chip === 2 ? this.resampled.get(pin) : undefined;
    if (told === undefined) return false;
    this.resampled.set(pin, told + 1);
    return true;
  }

  *hasAckNotifier(chip: number, pin: number): Step<boolean> {
    return chip === 2 && (this.listened.has(pin) || this.resampled.has(pin));
  }
}
