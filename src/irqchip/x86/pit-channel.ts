import { guarded } from "../../sim/access.js";
import type { Mutex } from "../../sim/lock.js";

/** Cycles per second of the i8254's input. */
export const PIT_HZ = 1_193_182;
const NS_PER_S = 1_000_000_000;
/** The count that 0 stands for. */
const LARGEST_COUNT = 0x1_0000;
/** No mode has been written. */
const NO_MODE = 0xff;

/** How the two bytes of a count are transferred: bits 5:4 of a control word, and where such a transfer stands. */
const enum Transfer {
  LATCH,
  LOW,
  HIGH,
  /** Both, the low one next. */
  WORD,
  /** Both, the high one next. */
  WORD_HIGH,
}

/** Whole cycles of the input in so many nanoseconds. */
export function cyclesOf(ns: number): number {
  const seconds = Math.floor(ns / NS_PER_S);
  return seconds * PIT_HZ + Math.floor(((ns - seconds * NS_PER_S) * PIT_HZ) / NS_PER_S);
}

/** Nanoseconds that a count takes. */
export const nsOf = (count: number): number => Math.floor((count * NS_PER_S) / PIT_HZ);

/**
 * One of the three counters of an i8254 as KVM emulates it (arch/x86/kvm/i8254.c): the fields of `struct
 * kvm_pit_channel_state`. Nothing counts: a count is computed from the time that has passed. The timer's lock is held.
 */
export class PitChannel {
  /** 1 to 65,536. */
  count = LARGEST_COUNT;
  latchedCount = 0;
  countLatched: number = Transfer.LATCH;
  statusLatched = 0;
  status = 0;
  readState: number = Transfer.LATCH;
  writeState: number = Transfer.LATCH;
  writeLatch = 0;
  rwMode: number = Transfer.LATCH;
  mode = NO_MODE;
  bcd = 0;
  gate: number;
  /** When counting began, nanoseconds; not of channel 0, whose timer knows. */
  loadedNs = 0;

  constructor(
    readonly index: number,
    readonly lock: Mutex,
  ) {
    this.gate = index === 2 ? 0 : 1;
  }

  /** A control word that selects this channel. */
  control(value: number, elapsedNs: number): void {
    const access = (value >> 4) & 3;
    if (access === Transfer.LATCH) {
      this.latchCount(elapsedNs);
      return;
    }
    this.rwMode = this.readState = this.writeState = access;
    this.mode = (value >> 1) & 7;
    if (this.mode > 5) this.mode -= 4;
    this.bcd = value & 1;
  }

  latchCount(elapsedNs: number): void {
    if (this.countLatched !== Transfer.LATCH) return;
    this.latchedCount = this.current(elapsedNs) & 0xffff;
    this.countLatched = this.rwMode;
  }

  latchStatus(elapsedNs: number): void {
    if (this.statusLatched !== 0) return;
    this.status = ((this.output(elapsedNs) << 7) | (this.rwMode << 4) | (this.mode << 1) | this.bcd) & 0xff;
    this.statusLatched = 1;
  }

  /** A byte of the count is written: the count to load, -1 while another byte is to come. */
  write(value: number): number {
    switch (this.writeState) {
      case Transfer.HIGH:
        return value << 8;
      case Transfer.WORD:
        this.writeLatch = value;
        this.writeState = Transfer.WORD_HIGH;
        return -1;
      case Transfer.WORD_HIGH:
        this.writeState = Transfer.WORD;
        return this.writeLatch | (value << 8);
      default:
        return value;
    }
  }

  load(count: number, nowNs: number): void {
    this.count = count === 0 ? LARGEST_COUNT : count;
    if (this.index !== 0) this.loadedNs = nowNs;
  }

  /** What a read of its port gives: a latched status first, then a latched count, then the running one. */
  read(elapsedNs: number): number {
    if (this.statusLatched !== 0) {
      this.statusLatched = 0;
      return this.status;
    }
    return this.countLatched === Transfer.LATCH ? this.readRunning(elapsedNs) : this.readLatched();
  }

  private readLatched(): number {
    const state = this.countLatched;
    this.countLatched = state === Transfer.WORD ? Transfer.HIGH : Transfer.LATCH;
    return state === Transfer.HIGH ? this.latchedCount >> 8 : this.latchedCount & 0xff;
  }

  private readRunning(elapsedNs: number): number {
    const count = this.current(elapsedNs);
    const state = this.readState;
    if (state === Transfer.WORD) this.readState = Transfer.WORD_HIGH;
    else if (state === Transfer.WORD_HIGH) this.readState = Transfer.WORD;
    return state === Transfer.HIGH || state === Transfer.WORD_HIGH ? (count >> 8) & 0xff : count & 0xff;
  }

  /** Counting begins anew at a rising edge in the modes that the gate triggers. */
  setGate(gate: number, nowNs: number): void {
    if ((this.mode === 1 || this.mode === 2 || this.mode === 3 || this.mode === 5) && this.gate < gate) this.loadedNs = nowNs;
    this.gate = gate;
  }

  private current(elapsedNs: number): number {
    const cycles = cyclesOf(elapsedNs);
    switch (this.mode) {
      case 0:
      case 1:
      case 4:
      case 5:
        return (this.count - (cycles % LARGEST_COUNT)) & 0xffff;
      case 3:
        return this.count - ((2 * cycles) % this.count);
      default:
        return this.count - (cycles % this.count);
    }
  }

  /** The level of OUT. */
  output(elapsedNs: number): number {
    const cycles = cyclesOf(elapsedNs);
    const { count } = this;
    switch (this.mode) {
      case 1:
        return cycles < count ? 1 : 0;
      case 2:
        return cycles !== 0 && cycles % count === 0 ? 1 : 0;
      case 3:
        return cycles % count < (count + 1) >> 1 ? 1 : 0;
      case 4:
      case 5:
        return cycles === count ? 1 : 0;
      default:
        return cycles >= count ? 1 : 0;
    }
  }
}
guarded(PitChannel, (channel) => channel.lock, "count", "latchedCount", "countLatched", "statusLatched", "status", "readState", "writeState", "writeLatch", "rwMode", "mode", "bcd", "gate", "loadedNs");
