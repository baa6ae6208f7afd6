import { guarded, reads, shared } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import { Spinlock } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC } from "../../../uapi/x86.js";
import type { IrqchipVcpu, MmioDevice } from "../../contract.js";
import { chipRules, type ChipRules } from "../chip-rules.js";
import type { Hazards } from "../../../sim/hazards.js";
import { ApicMessage, type EoiSink, type LocalApics, type X86IrqchipVm } from "../contract.js";
import { readIndirect, writeIndirect } from "./registers.js";
import { forgetUnseenEoi, recountRtcOf, recountRtcOfAll } from "./rtc-count.js";
import { RTC_PIN, RtcStatus } from "./rtc.js";
import { scanEntries } from "./scan.js";
import { IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT, StormWorker } from "./storm.js";
import { LineSources } from "../line-sources.js";
import type { ChipOptions } from "../pic.js";
import { describeEntry, Rte } from "../redirection-entry.js";

/** Where the window is, for good; and its length (x86-irqchip.md 1). */
export const IOAPIC_BASE = 0xfec00000;
export const IOAPIC_LENGTH = 0x100;

const enum Window {
  IOREGSEL = 0x00,
  IOWIN = 0x10,
  /** Version 0x20 only. */
  EOI = 0x40,
}

/** What distinguishes IOAPICs. */
export interface IoApicOptions extends ChipOptions {
  /** 0x20 has an EOI register (5.1). Default 0x11. */
  readonly version?: 0x11 | 0x20;
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);

/** Every entry has the vector of its reset value. */
function pinsAfterReset(): Int32Array {
  const pinsOf = new Int32Array(256);
  pinsOf[Rte.RESET & Rte.VECTOR_MASK] = (1 << KVM_IOAPIC_NUM_PINS) - 1;
  return pinsOf;
}

/** Why a pin is serviced, in traces. */
export type ServiceReason = "line" | "eoi" | "unmask" | "worker";

/**
 * The IOAPIC as KVM emulates it (x86-irqchip.md 5). One spinlock, dropped around acknowledge listeners: they may drive
 * a pin of this chip again.
 */
export class IoApic implements MmioDevice, EoiSink {
  readonly lock: Spinlock;
  readonly rules: ChipRules;
  readonly hazards: Hazards;
  readonly version: 0x11 | 0x20;
  /** Is APIC virtualisation on for the VM, so that EOIs of edge vectors go unseen (5.4 step 1)? */
  isApicvActivated = false;
  /** {@link MmioDevice}: registers have 32 bits. */
  high = 0;

  /** Where the record says that the window is: elsewhere than {@link IOAPIC_BASE} the device is deaf. */
  windowBase = IOAPIC_BASE;
  /** `base_address` and `pad` of the record, as last given. */
  recordBaseLow = IOAPIC_BASE | 0;
  recordBaseHigh = 0;
  recordPad = 0;
  ioregsel = 0;
  id = 0;
  /** Bit per pin. Level: requested now; edge: latched. */
  irr = 0;
  /** Bit per pin: the latched edge has been sent. */
  irrDelivered = 0;
  /** Redirection entries in halves, {@link Rte}. */
  readonly entryLow = new Int32Array(KVM_IOAPIC_NUM_PINS).fill(Rte.RESET);
  readonly entryHigh = new Int32Array(KVM_IOAPIC_NUM_PINS);
  /** By vector: bit per pin whose entry has it. Follows {@link entryLow}, by {@link setEntryLow}. */
  private readonly pinsOf = pinsAfterReset();
  /** EOIs in a row that found the line high, by pin. */
  readonly eoiCount = new Int32Array(KVM_IOAPIC_NUM_PINS);
  readonly sources = new LineSources(KVM_IOAPIC_NUM_PINS);
  readonly rtc = new RtcStatus();
  readonly storm: StormWorker;
  private readonly pausesStorms: boolean;
  private readonly message = new ApicMessage();

  constructor(
    readonly vm: X86IrqchipVm,
    readonly apics: LocalApics,
    options: IoApicOptions = {},
  ) {
    this.lock = new Spinlock(vm.sim, "kvm_ioapic->lock");
    this.rules = chipRules(options.compat ?? "newest");
    this.hazards = vm.sim.hazards;
    this.version = options.version ?? 0x11;
    this.storm = new StormWorker(this);
    this.pausesStorms = this.rules.pausesEoiStorm && !this.hazards.eoiWithoutPause;
  }

  /** Puts the window on the VM's MMIO bus; takes slots_lock. 0 or the bus's errno. */
  *register(): Step<number> {
    yield* this.vm.slotsLock.lock();
    const error = yield* this.vm.mmioBus.register(IOAPIC_BASE, IOAPIC_LENGTH, this);
    yield* this.vm.slotsLock.unlock();
    return error;
  }

  /** Off the bus, and nothing is due any more. */
  *unregister(): Step<void> {
    this.storm.cancel();
    yield* this.vm.slotsLock.lock();
    yield* this.vm.mmioBus.unregister(IOAPIC_BASE, this);
    yield* this.vm.slotsLock.unlock();
  }

  *claims(_vcpu: IrqchipVcpu, offset: number): Step<boolean> {
    yield reads(this, "windowBase");
    const from = IOAPIC_BASE + offset - this.windowBase;
    return from >= 0 && from < IOAPIC_LENGTH;
  }

  *mmioRead(_vcpu: IrqchipVcpu, offset: number, size: number): Step<number> {
    yield* this.lock.lock();
    const register = offset & (IOAPIC_LENGTH - 1);
    let value = 0;
    if (register === Window.IOREGSEL) value = this.ioregsel;
    else if (register === Window.IOWIN) value = readIndirect(this);
    yield* this.lock.unlock();
    return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value;
  }

  *mmioWrite(_vcpu: IrqchipVcpu, offset: number, size: number, low: number, _high: number): Step<void> {
    const value = size === 1 ? low & 0xff : size === 2 ? low & 0xffff : low;
    yield* this.lock.lock();
    const register = offset & (IOAPIC_LENGTH - 1);
    if (register === Window.IOREGSEL) this.ioregsel = value & 0xff;
    else if (register === Window.IOWIN) yield* writeIndirect(this, value);
    else if (register === Window.EOI && this.version === 0x20) yield* this.eoiByRegister(value & 0xff);
    yield* this.lock.unlock();
  }

  /**
   * A source drives `pin` (5.4): the number of deliveries, 0 when coalesced or when nobody accepted, -1 when masked,
   * when its EOI is awaited, or when nobody matched. `wantsStatus`: KVM_IRQ_LINE_STATUS, which alone asks the RTC.
   */
  *setIrq(pin: number, source: number, level: number, wantsStatus = false): Step<number> {
    yield* this.lock.lock();
    const old = this.sources.word(pin);
    const isHigh = this.sources.drive(pin, source, level);
    // One hold of the lock for the sources and the pin: else what one context read is set after what another wrote (Linux 1a577b72475d).
    if (this.hazards.sourcesApart) yield* this.letOthersIn();
    const result = yield* this.drive(pin, isHigh !== this.isInverted(pin), wantsStatus);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.irq_line_state, KVM_IRQCHIP_IOAPIC, pin, source, old, this.sources.word(pin), result);
    yield* this.lock.unlock();
    return result;
  }

  /** Does the entry turn the line round? Only kernels before 3.9 do what the polarity bit says. */
  private isInverted(pin: number): boolean {
    return !this.rules.ignoresPolarity && (this.entryLow[pin] & Rte.POLARITY) !== 0;
  }

  private *letOthersIn(): Step<void> {
    yield* this.lock.unlock();
    yield* this.lock.lock();
  }

  /** The wire of a pin, whoever drives it. Lock held. */
  *drive(pin: number, isHigh: boolean, wantsStatus: boolean): Step<number> {
    const low = this.entryLow[pin];
    const high = this.entryHigh[pin];
    const result = isHigh ? yield* this.driveHigh(pin, wantsStatus) : this.driveLow(pin);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.kvm_ioapic_set_irq, describeEntry(low, high), pin, result === 0 ? 1 : 0);
    return result;
  }

  private driveLow(pin: number): number {
    this.irr &= ~(1 << pin);
    return 1;
  }

  private *driveHigh(pin: number, wantsStatus: boolean): Step<number> {
    const isEdge = (this.entryLow[pin] & Rte.LEVEL) === 0;
    if (isEdge && this.isApicvActivated) yield* forgetUnseenEoi(this, pin);
    if (pin === RTC_PIN && wantsStatus && this.rtc.pendingEoi > 0) return this.dropped(pin, "RTC outstanding", 0);
    const before = this.irr;
    this.irr |= 1 << pin;
    if (isEdge) {
      this.irrDelivered &= ~(1 << pin);
      if (this.irr === before) return this.dropped(pin, "edge already latched", 0);
    }
    return yield* this.service(pin, wantsStatus, "line");
  }

  private dropped(pin: number, cause: string, result: number): number {
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.ioapic_dropped, pin, cause);
    return result;
  }

  /** 5.5: sends the pin's message unless it is masked or its EOI is awaited. Lock held. */
  *service(pin: number, wantsStatus: boolean, reason: ServiceReason): Step<number> {
    const low = this.entryLow[pin];
    if ((low & Rte.MASKED) !== 0) return this.dropped(pin, "masked", -1);
    const isLevel = (low & Rte.LEVEL) !== 0;
    if (isLevel && (low & Rte.REMOTE_IRR) !== 0) return this.dropped(pin, "remote IRR", -1);
    if (!isLevel) this.irrDelivered |= 1 << pin;
    const isTick = pin === RTC_PIN && wantsStatus && this.rules.tracksRtcEoi;
    if (isTick) this.rtc.begin(low & Rte.VECTOR_MASK);
    const result = yield* this.apics.deliver(this.fill(pin), isTick ? this.rtc : null);
    if (isTick) this.rtc.pendingEoi = result < 0 ? 0 : result;
    if (isLevel && (result > 0 || (result < 0 && !this.rules.remoteIrrOnlyWhenAccepted))) this.setRemoteIrr(pin);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.ioapic_service, pin, reason, result);
    return result;
  }

  private fill(pin: number): ApicMessage {
    const { message } = this;
    const low = this.entryLow[pin];
    message.destination = this.entryHigh[pin] >>> Rte.DESTINATION_SHIFT;
    message.isLogical = (low & Rte.LOGICAL) !== 0;
    message.mode = (low >> Rte.MODE_SHIFT) & Rte.MODE_MASK;
    message.vector = low & Rte.VECTOR_MASK;
    message.isLevel = (low & Rte.LEVEL) !== 0;
    return message;
  }

  private setRemoteIrr(pin: number): void {
    this.entryLow[pin] |= Rte.REMOTE_IRR;
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.ioapic_remote_irr, pin, 1);
  }

  /** The EOI came, or a write made the entry one of an edge. */
  clearRemoteIrr(pin: number): void {
    if ((this.entryLow[pin] & Rte.REMOTE_IRR) === 0) return;
    this.entryLow[pin] &= ~Rte.REMOTE_IRR;
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.ioapic_remote_irr, pin, 0);
  }

  *eoi(vcpuIndex: number, vector: number, isLevel: boolean): Step<void> {
    yield* this.lock.lock();
    if (!this.rtc.eoi(vcpuIndex, vector)) yield* recountRtcOfAll(this);
    let pins = this.pinsOf[vector];
    while (pins !== 0) {
      const pin = lowestBit(pins);
      yield* this.eoiPin(pin, isLevel);
      if (this.hazards.ackFirstPinOnly) break;
      pins = this.pinsAbove(pin, vector);
    }
    yield* this.lock.unlock();
  }

  /** Version 0x20's EOI register: each entry with the vector, by its own trigger mode. */
  private *eoiByRegister(vector: number): Step<void> {
    let pins = this.pinsOf[vector];
    while (pins !== 0) {
      const pin = lowestBit(pins);
      yield* this.eoiPin(pin, (this.entryLow[pin] & Rte.LEVEL) !== 0);
      pins = this.pinsAbove(pin, vector);
    }
  }

  /** The pins after `pin` that have the vector now: a listener may have let the guest change an entry. */
  private pinsAbove(pin: number, vector: number): number {
    return this.pinsOf[vector] & (-2 << pin);
  }

  /** The low half of an entry, as it is to be from now on. Lock held. */
  setEntryLow(pin: number, value: number): void {
    this.pinsOf[this.entryLow[pin] & Rte.VECTOR_MASK] &= ~(1 << pin);
    this.entryLow[pin] = value;
    this.pinsOf[value & Rte.VECTOR_MASK] |= 1 << pin;
  }

  /**
   * Listeners first and without the lock, remote IRR after: what they raise meanwhile finds it set, stays in `irr` and
   * is sent here, once (X1). An EOI as edge tells the listeners only (X5).
   */
  *eoiPin(pin: number, isLevel: boolean): Step<void> {
    if (this.hazards.clearRemoteIrrBeforeAck && isLevel) this.clearRemoteIrr(pin);
    if (!this.hazards.ackUnderLock) yield* this.lock.unlock(); // a listener injects (H21)
    yield* this.vm.acks.notifyAcked(KVM_IRQCHIP_IOAPIC, pin);
    if (!this.hazards.ackUnderLock) yield* this.lock.lock();
    if (!isLevel) return;
    this.clearRemoteIrr(pin);
    if ((this.entryLow[pin] & Rte.MASKED) !== 0 || (this.irr & (1 << pin)) === 0) {
      this.eoiCount[pin] = 0;
      return;
    }
    if (++this.eoiCount[pin] === IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT && this.pausesStorms) this.pause(pin);
    else if (!this.hazards.eoiWithoutService) yield* this.service(pin, false, "eoi");
  }

  private pause(pin: number): void {
    this.eoiCount[pin] = 0;
    this.storm.schedule();
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.kvm_ioapic_delayed_eoi_inj, describeEntry(this.entryLow[pin], this.entryHigh[pin]), pin);
  }

  /** What the delayed worker does (5.6 step 3). */
  *serviceHighLines(): Step<void> {
    yield* this.lock.lock();
    for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
      const isIdleLevel = (this.entryLow[pin] & (Rte.LEVEL | Rte.REMOTE_IRR)) === Rte.LEVEL;
      if (isIdleLevel && (this.irr & (1 << pin)) !== 0) yield* this.service(pin, false, "worker");
    }
    yield* this.lock.unlock();
  }

  *scanEntries(vcpuIndex: number): Step<void> {
    yield* this.lock.lock();
    yield* scanEntries(this, vcpuIndex);
    yield* this.lock.unlock();
  }

  *recountRtc(vcpuIndex: number): Step<void> {
    yield* this.lock.lock();
    yield* recountRtcOf(this, vcpuIndex);
    yield* this.lock.unlock();
  }
}
shared(IoApic, "windowBase");
guarded(IoApic, (ioapic) => ioapic.lock, "recordBaseLow", "recordBaseHigh", "recordPad", "ioregsel", "id", "irr", "irrDelivered", "entryLow", "entryHigh", "pinsOf", "eoiCount", "sources", "rtc", "message");
