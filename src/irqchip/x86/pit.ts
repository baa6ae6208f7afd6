import { guarded, type Waitable, writes } from "../../sim/access.js";
import { Context } from "../../sim/context.js";
import { Mutex } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import type { IrqchipVcpu } from "../contract.js";
import { NOT_READ, type PioDevice, type X86IrqchipVm } from "./contract.js";
import { nsOf, PitChannel } from "./pit-channel.js";

const PIT_PORTS = 0x40;
const CONTROL = 3;
const SPEAKER_PORT = 0x61;
const LENGTH = 4;
const READ_BACK = 3;
const READ_BACK_NO_COUNT = 0x20;
const READ_BACK_NO_STATUS = 0x10;
/** kvm.min_timer_period_us. */
const MIN_PERIOD_NS = 200_000;
/** KVM_PIT_FLAGS_HPET_LEGACY: another timer has channel 0's interrupt. */
export const PIT_FLAGS_HPET_LEGACY = 1;

/** Who turns the expiries of channel 0 into interrupts. */
export interface PitOutput {
  /** Channel 0 expired. */
  tick(): Step<void>;
  /** Its timer begins anew: ticks that are owed are forgotten. */
  restarted(): Step<void>;
}

/** The host timer of channel 0. */
class PitTimer extends Context implements Waitable {
  /** 0: it never ran. */
  periodNs = 0;
  isPeriodic = false;
  private dueNs = 0;
  private isRunning = false;

  constructor(private readonly pit: Pit) {
    super("kvm-pit", "timer", 0);
  }

  start(ns: number, isPeriodic: boolean): void {
    const { sim } = this.pit.vm;
    sim.cancel(this);
    this.isPeriodic = isPeriodic;
    this.periodNs = isPeriodic ? Math.max(ns, MIN_PERIOD_NS) : ns;
    this.arm(sim.now() + ns);
  }

  stop(): void {
    this.pit.vm.sim.cancel(this);
  }

  /** Nobody is in its handler. */
  isOpen(): boolean {
    return !this.isRunning;
  }

  private arm(timeNs: number): void {
    this.dueNs = timeNs;
    this.pit.vm.sim.wakeAt(this, timeNs);
  }

  /** Since the period began. */
  elapsedNs(): number {
    if (this.periodNs === 0) return 0;
    const elapsed = (this.periodNs - (this.dueNs - this.pit.vm.sim.now())) % this.periodNs;
    return elapsed < 0 ? elapsed + this.periodNs : elapsed;
  }

  override *body(): Step<void> {
    this.isRunning = true;
    if (this.isPeriodic) this.arm(this.dueNs + this.periodNs);
    yield* this.pit.output.tick();
    yield writes(this, "isRunning");
    this.isRunning = false;
  }
}

/**
 * The i8254 in the kernel (arch/x86/kvm/i8254.c; kvm-irq-core.md 5.5): three counters behind ports 0x40 to 0x43, the
 * first of which ticks. A mutex, as its ports are reached from a vCPU thread alone.
 */
export class Pit implements PioDevice {
  readonly lock: Mutex;
  readonly channels: readonly PitChannel[];
  readonly speaker: PitSpeaker;
  /** KVM_PIT_FLAGS_*. */
  flags = 0;
  private readonly timer: PitTimer;

  constructor(
    readonly vm: X86IrqchipVm,
    readonly output: PitOutput,
  ) {
    this.lock = new Mutex(vm.sim, "pit_state.lock");
    this.channels = [0, 1, 2].map((index) => new PitChannel(index, this.lock));
    this.timer = new PitTimer(this);
    this.speaker = new PitSpeaker(this);
  }

  /** Its ports, and port 0x61 where a dummy speaker is asked for; slots_lock is taken. 0 or the bus's errno. */
  *register(hasSpeaker: boolean): Step<number> {
    const { pioBus, slotsLock, sim } = this.vm;
    yield* this.lock.lock();
    for (const channel of this.channels) channel.load(0, sim.now());
    yield* this.lock.unlock();
    yield* slotsLock.lock();
    let result = yield* pioBus.register(PIT_PORTS, LENGTH, this);
    if (result === 0 && hasSpeaker) {
      result = yield* pioBus.register(SPEAKER_PORT, 1, this.speaker);
      if (result !== 0) yield* pioBus.unregister(PIT_PORTS, this);
    }
    yield* slotsLock.unlock();
    return result;
  }

  /** The control port cannot be read: it leaves the emulator's buffer alone, in which the vCPU's last port read stands (6.18). */
  *pioRead(_vcpu: IrqchipVcpu, port: number, _size: number): Step<number> {
    const index = port & CONTROL;
    if (index === CONTROL) return NOT_READ;
    yield* this.lock.lock();
    const value = this.channels[index].read(this.elapsedNs(index));
    yield* this.lock.unlock();
    return value;
  }

  /** The low byte alone counts. */
  *pioWrite(_vcpu: IrqchipVcpu, port: number, _size: number, value: number): Step<void> {
    const index = port & CONTROL;
    yield* this.lock.lock();
    if (index === CONTROL) this.control(value & 0xff);
    else {
      const count = this.channels[index].write(value & 0xff);
      if (count >= 0) yield* this.load(index, count);
    }
    yield* this.lock.unlock();
  }

  private control(value: number): void {
    const selected = value >> 6;
    if (selected !== READ_BACK) {
      this.channels[selected].control(value, this.elapsedNs(selected));
      return;
    }
    for (let index = 0; index < this.channels.length; index++) {
      if ((value & (2 << index)) === 0) continue;
      const channel = this.channels[index];
      if ((value & READ_BACK_NO_COUNT) === 0) channel.latchCount(this.elapsedNs(index));
      if ((value & READ_BACK_NO_STATUS) === 0) channel.latchStatus(this.elapsedNs(index));
    }
  }

  /** Nanoseconds that a channel has counted. Lock held. */
  elapsedNs(index: number): number {
    return index === 0 ? this.timer.elapsedNs() : this.vm.sim.now() - this.channels[index].loadedNs;
  }

  /** A count begins. `isLegacyStart`: channel 0 is the HPET's from now on, its timer stops. Lock held. */
  *load(index: number, count: number, isLegacyStart = false): Step<void> {
    const channel = this.channels[index];
    channel.load(count, this.vm.sim.now());
    if (index !== 0) return;
    const { mode } = channel;
    const isTimed = !isLegacyStart && mode <= 4;
    if (!isTimed) this.timer.stop();
    else if ((this.flags & PIT_FLAGS_HPET_LEGACY) === 0) {
      yield* this.output.restarted();
      this.timer.start(nsOf(channel.count), mode === 2 || mode === 3);
    }
  }

  /** Nothing is due any more, and a handler that was running has ended: what it queued can be flushed (hrtimer_cancel; H26). */
  *stop(): Step<void> {
    this.timer.stop();
    yield* this.vm.sim.wait(this.timer);
  }
}
guarded(Pit, (pit) => pit.lock, "flags");

const SPEAKER_DATA = 2;
const SPEAKER_OUT_SHIFT = 5;
const REFRESH_SHIFT = 4;
const REFRESH_NS_SHIFT = 14;

/** Port 0x61 as far as the PIT is behind it: channel 2's gate and output, and a refresh clock. */
class PitSpeaker implements PioDevice {
  private isDataOn = 0;

  constructor(private readonly pit: Pit) {}

  *pioRead(_vcpu: IrqchipVcpu, _port: number, _size: number): Step<number> {
    const { pit } = this;
    yield* pit.lock.lock();
    const channel = pit.channels[2];
    const refresh = Math.floor(pit.vm.sim.now() / (1 << REFRESH_NS_SHIFT)) & 1;
    const value = (this.isDataOn << 1) | channel.gate | (channel.output(pit.elapsedNs(2)) << SPEAKER_OUT_SHIFT) | (refresh << REFRESH_SHIFT);
    yield* pit.lock.unlock();
    return value;
  }

  *pioWrite(_vcpu: IrqchipVcpu, _port: number, _size: number, value: number): Step<void> {
    const { pit } = this;
    yield* pit.lock.lock();
    this.isDataOn = (value & SPEAKER_DATA) >> 1;
    pit.channels[2].setGate(value & 1, pit.vm.sim.now());
    yield* pit.lock.unlock();
  }
}
