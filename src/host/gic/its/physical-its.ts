import {
  BASER_TYPE_COLLECTION,
  BASER_TYPE_DEVICE,
  BASER_TYPE_VPE,
  CREADR_STALLED,
  CWRITER_RETRY,
  GITS,
  GITS_CTLR_ENABLED,
  GITS_CTLR_QUIESCENT,
  Gits,
  GITS_SGIR,
  cbaserBytes,
  TYPER_VMOVP_HIGH,
} from "../../../arch/gic/gits.js";
import { ITS_COMMAND_SIZE, ITS_COMMAND_WORDS, ItsVOp, opcodeOf, rdbaseOf, vpeidOf } from "../../../arch/gic/its-command.js";
import { PIDR2_OFFSET } from "../../../arch/gic/gicd.js";
import { physicalAddress } from "../../../arch/gic/physical-address.js";
import { writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { executePhysical } from "./commands.js";
import { COLLECTION_ENTRY, DEVICE_ENTRY, VPE_ENTRY_40, VPE_ENTRY_41 } from "./entries.js";
import { type ItsImplementation, QEMU_ITS } from "./implementation.js";
import { Outcome, type Redistributors, Translation } from "./translation.js";
import { executeVirtual, moveVpe } from "./v-commands.js";

/** The GIC that an ITS belongs to. */
export interface ItsGic extends Redistributors {
  /** All ITSs of this GIC, in order of their numbers. */
  readonly itses: PhysicalIts[];
  /** Drives the signals that an access changed; the caller has announced the GIC. */
  settle(): Step<void>;
}

/** Told of every command, in order; the words are the ITS's own and hold until the call returns. */
export interface ItsListener {
  command(its: PhysicalIts, words: Int32Array, outcome: Outcome): void;
}

const BASERS = 8;
const TYPE_SHIFT = 24;
const ENTRY_SIZE_SHIFT = 16;
/** Of GITS_BASER<n>'s high half, what nobody changes. */
const FIXED_HIGH = 0x071f0000;
const PAGES_64K = 0x200;
/** GITS_CWRITER.Offset and GITS_CREADR.Offset. */
const QUEUE_OFFSET = 0xfffe0;

/**
 * A physical ITS (gic-its.md B11, gic-v4.md C1): tables and command queue in host memory, registers, and the frame where
 * devices write their events. One command, register access or message is one atomic access of the GIC.
 */
export class PhysicalIts {
  readonly translation: Translation;
  readonly implementation: ItsImplementation;
  /** GITS_CTLR.ITS_Number. */
  readonly number: number;
  listener: ItsListener | null = null;
  /** High half of the last 64-bit read. */
  high = 0;
  private isEnabled = false;
  private cbaserLow = 0;
  private cbaserHigh = 0;
  private cwriter = 0;
  private cwriterHigh = 0;
  private creadr = 0;
  private isStalled = false;
  private readonly baserLow = new Int32Array(BASERS);
  private readonly baserHigh = new Int32Array(BASERS);
  /** By GITS_BASER<n>: what its table holds, 0 where it is not implemented. */
  private readonly types: readonly number[];
  private readonly command = new Int32Array(ITS_COMMAND_WORDS);

  constructor(
    readonly gic: ItsGic,
    implementation: ItsImplementation = QEMU_ITS,
  ) {
    this.implementation = implementation;
    this.translation = new Translation(gic, implementation);
    this.number = gic.itses.length;
    gic.itses.push(this);
    const { isVirtual } = this.translation;
    const vpeEntry = gic.is41 ? VPE_ENTRY_41 : VPE_ENTRY_40;
    this.types = [BASER_TYPE_DEVICE, BASER_TYPE_COLLECTION, isVirtual ? BASER_TYPE_VPE : 0, 0, 0, 0, 0, 0];
    [DEVICE_ENTRY, COLLECTION_ENTRY, vpeEntry].forEach((size, n) => {
      if (this.types[n] === 0) return;
      this.baserLow[n] = PAGES_64K;
      this.baserHigh[n] = (this.types[n] << TYPE_SHIFT) | ((size - 1) << ENTRY_SIZE_SHIFT);
    });
  }

  /** Low 32 bits; the upper ones of a 64-bit access are in {@link high}. RAZ where nothing is. */
  *read(offset: number, size: number): Step<number> {
    yield writes(this.gic, "GIC");
    const row = GITS.find(offset, size);
    const isHigh = size === 4 && (offset & 4) !== 0 && row >= 0 && GITS.table[row].width === 8;
    const low = this.lowOf(row, offset);
    this.high = size === 8 || isHigh ? this.highOf(row, offset) : 0;
    if (!isHigh) return low;
    const value = this.high;
    this.high = 0;
    return value;
  }

  private lowOf(row: number, offset: number): number {
    switch (row) {
      case Gits.CTLR:
        return GITS_CTLR_QUIESCENT | (this.number << 4) | (this.isEnabled ? GITS_CTLR_ENABLED : 0);
      case Gits.IIDR:
        return this.implementation.iidr;
      case Gits.TYPER:
        return this.implementation.typerLow;
      case Gits.CBASER:
        return this.cbaserLow;
      case Gits.CWRITER:
        return this.cwriter;
      case Gits.CREADR:
        return this.creadr | (this.isStalled ? CREADR_STALLED : 0);
      case Gits.BASER:
        return this.baserLow[(offset >> 3) & 7];
      case Gits.ID:
        return offset === PIDR2_OFFSET ? this.implementation.pidr2 : 0;
      default:
        return 0;
    }
  }

  private highOf(row: number, offset: number): number {
    switch (row) {
      case Gits.TYPER:
        return this.implementation.typerHigh;
      case Gits.CBASER:
        return this.cbaserHigh;
      case Gits.CWRITER:
        return this.cwriterHigh;
      case Gits.BASER:
        return this.baserHigh[(offset >> 3) & 7];
      default:
        return 0;
    }
  }

  /** A 32-bit access of a 64-bit register reaches one half. */
  *write(offset: number, size: number, lo: number, hi: number): Step<void> {
    if (offset === GITS_SGIR && this.gic.is41) {
      yield* this.generateSgi(hi & 0xffff, lo & 0xf);
      return;
    }
    yield writes(this.gic, "GIC");
    const row = GITS.find(offset, size);
    const isHigh = size === 4 && (offset & 4) !== 0;
    switch (row) {
      case Gits.CTLR:
        this.writeCtlr(lo);
        break;
      case Gits.CBASER:
        if (this.isEnabled) return;
        if (!isHigh) this.cbaserLow = lo;
        if (size === 8 || isHigh) this.cbaserHigh = size === 8 ? hi : lo;
        this.creadr = 0;
        this.isStalled = false;
        return;
      case Gits.CWRITER:
        if (!isHigh) this.writeCwriter(lo);
        if (size === 8 || isHigh) this.cwriterHigh = size === 8 ? hi : lo;
        break;
      case Gits.CREADR:
        if (this.implementation.creadrWritable && !isHigh) this.creadr = lo & ~CREADR_STALLED;
        return;
      case Gits.BASER:
        this.writeBaser((offset >> 3) & 7, isHigh ? null : lo, size === 8 ? hi : isHigh ? lo : null);
        return;
      default:
        return;
    }
    yield* this.process();
  }

  private writeCtlr(value: number): void {
    const wasEnabled = this.isEnabled;
    this.isEnabled = (value & GITS_CTLR_ENABLED) !== 0;
    if (!this.isEnabled || wasEnabled) return;
    const { devices, collections, vpes, isVirtual } = this.translation;
    devices.configure(this.baserLow[0], this.baserHigh[0]);
    collections.configure(this.baserLow[1], this.baserHigh[1]);
    if (isVirtual) vpes.configure(this.baserLow[2], this.baserHigh[2]);
  }

  private writeCwriter(value: number): void {
    this.cwriter = value & ~CWRITER_RETRY;
    if ((value & CWRITER_RETRY) !== 0) this.isStalled = false;
  }

  private writeBaser(n: number, lo: number | null, hi: number | null): void {
    if (this.isEnabled || this.types[n] === 0) return;
    if (lo !== null) this.baserLow[n] = lo;
    if (hi !== null) this.baserHigh[n] = (this.baserHigh[n] & FIXED_HIGH) | (hi & ~FIXED_HIGH);
  }

  /** The queue up to where software has written, a command at a time; one that cannot be done for want of memory stops it, where the implementation does. */
  private *process(): Step<void> {
    for (let command = this.next(); command; command = this.next()) {
      const outcome = this.execute();
      if (outcome === Outcome.STALLED && this.implementation.stalls) this.isStalled = true;
      else this.advance();
      this.listener?.command(this, this.command, outcome);
      yield* this.gic.settle();
      yield writes(this.gic, "GIC");
    }
  }

  /** Reads the next command, if there is one to do. A queue that lies in no memory stops there, or is passed over. */
  private next(): boolean {
    const { ram } = this.gic;
    for (let at = this.nextAddress(); at >= 0; at = this.nextAddress()) {
      if (ram.has(at, ITS_COMMAND_SIZE)) {
        ram.row(at, this.command);
        return true;
      }
      this.isStalled = this.implementation.stalls;
      if (!this.isStalled) this.advance();
    }
    return false;
  }

  /** Where it is, -1: nowhere. */
  private nextAddress(): number {
    if (!this.isEnabled || this.isStalled || this.cbaserHigh >= 0) return -1;
    const end = cbaserBytes(this.cbaserLow);
    const from = this.creadr & QUEUE_OFFSET;
    const to = this.cwriter & QUEUE_OFFSET;
    if (from === to || from >= end || to >= end) return -1;
    return physicalAddress(this.cbaserHigh & 0xfffff, this.cbaserLow & 0xfffff000) + from;
  }

  private advance(): void {
    const next = (this.creadr & QUEUE_OFFSET) + ITS_COMMAND_SIZE;
    this.creadr = next < cbaserBytes(this.cbaserLow) ? next : 0;
  }

  private execute(): Outcome {
    const { command, translation } = this;
    const opcode = opcodeOf(command);
    translation.isUnpredictable = false;
    if (opcode <= 0x0f) return executePhysical(translation, command);
    if (!translation.isVirtual) return Outcome.SKIPPED;
    return opcode === (ItsVOp.VMOVP as number) ? this.vmovp() : executeVirtual(translation, command);
  }

  /** With GITS_TYPER.VMOVP one command reaches every ITS of the GIC; else each gets its own. */
  private vmovp(): Outcome {
    const { command, gic, implementation, translation } = this;
    const vpeid = vpeidOf(command);
    const cpu = translation.redistributor(rdbaseOf(command), true);
    if (vpeid >= translation.vpes.entries || cpu < 0) return Outcome.SKIPPED;
    if ((implementation.typerHigh & TYPER_VMOVP_HIGH) === 0) return moveVpe(translation, vpeid, cpu, command);
    let outcome = Outcome.DONE;
    for (let i = 0; i < gic.itses.length; i++) if (moveVpe(gic.itses[i].translation, vpeid, cpu, command) === Outcome.STALLED) outcome = Outcome.STALLED;
    return outcome;
  }

  /** GITS_TRANSLATER: the device `deviceId`, as the bus names it, writes an event. */
  *message(deviceId: number, event: number): Step<void> {
    yield writes(this.gic, "GIC");
    if (!this.isEnabled) return;
    this.translation.signal(deviceId, event, true);
    yield* this.gic.settle();
  }

  /** GITS_SGIR (4.1): an SGI for a vPE. */
  private *generateSgi(vpeid: number, sgi: number): Step<void> {
    yield writes(this.gic, "GIC");
    const { translation } = this;
    if (!this.isEnabled || translation.findVpe(vpeid) !== Outcome.DONE) return;
    translation.signalSgi(vpeid, sgi);
    yield* this.gic.settle();
  }
}
