import { encodeMapc, encodeSync, encodeVpe } from "../../arch/gic/its-encode.js";
import { ITS_COMMAND_SIZE, ITS_COMMAND_WORDS, ItsVOp } from "../../arch/gic/its-command.js";
import { BASER_TYPE_DEVICE, BASER_TYPE_VPE, TYPER_PTA, TYPER_VLPIS, TYPER_SVPET_HIGH, TYPER_VMOVP_HIGH } from "../../arch/gic/gits.js";
import { writes } from "../../sim/access.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { PhysicalIts } from "../gic/its/physical-its.js";
import type { ItsDevice } from "./its-device.js";

const CTLR = 0x00;
const TYPER = 0x08;
const CBASER = 0x80;
const CWRITER = 0x88;
const BASER = 0x100;
const BASERS = 8;
const VALID = 0x80000000 | 0;
const PAGE = 0x10000;
const QUEUE_SIZE = 0x10000;
const QUEUE_PAGES = QUEUE_SIZE / 0x1000;
const PAGE_SIZE_64K = 2 << 8;
const MAX_PAGES = 256;
/** Ids of collections and vPEs. */
const TABLE_BITS = 16;

/** One ITS as the host's driver has it: its tables, and the queue that commands go through. */
export class ItsNode {
  /** its->lock: one command with its SYNC at a time. */
  readonly lock: Spinlock;
  isV4 = false;
  /** One VMOVP moves a vPE on every ITS. */
  hasVmovp = false;
  /** 4.1: redistributors look vPEs up in its table. */
  sharesVpes = false;
  /** The words of the next command; `lock` is held. */
  readonly words = new Int32Array(ITS_COMMAND_WORDS);
  /** The words of the command behind it, which waits. */
  private readonly sync = new Int32Array(ITS_COMMAND_WORDS);
  /** By device id. */
  readonly devices = new Map<number, ItsDevice>();
  /** GITS_TYPER.Devbits. */
  deviceBits = 0;
  /** Its device table has room for ids below. */
  deviceIds = 0;
  /** Where its vPE table lies, -1 without. */
  vpeTable = -1;
  vpeTablePages = 0;
  private usesAddresses = false;
  private queue = 0;
  private at = 0;

  constructor(
    sim: Sim,
    readonly its: PhysicalIts,
    /** Physical address of its frames. */
    readonly base: number,
  ) {
    this.lock = new Spinlock(sim, "its->lock");
  }

  get number(): number {
    return this.its.number;
  }

  /**
   * Tables of 64 KiB for all that GITS_BASER<n> names, the queue, and a collection for each CPU. False: no memory left.
   *
   * @param vpeTable the vPE table that is there already, of another ITS, for GICv4.1 to share; -1
   */
  *boot(cpus: number, vpeTable: number): Step<boolean> {
    const { its } = this;
    const typer = yield* its.read(TYPER, 8);
    this.isV4 = (typer & TYPER_VLPIS) !== 0;
    this.hasVmovp = (its.high & TYPER_VMOVP_HIGH) !== 0;
    this.sharesVpes = (its.high & TYPER_SVPET_HIGH) !== 0;
    this.usesAddresses = (typer & TYPER_PTA) !== 0;
    this.deviceBits = ((typer >>> 13) & 0x1f) + 1;
    const { ram } = its.gic;
    this.queue = ram.take(QUEUE_SIZE, PAGE);
    if (this.queue < 0) return false;
    yield* its.write(CBASER, 8, this.queue | (QUEUE_PAGES - 1), VALID);
    for (let n = 0; n < BASERS; n++) {
      yield* its.read(BASER + 8 * n, 8);
      const type = (its.high >>> 24) & 7;
      if (type === 0) continue;
      const bits = type === BASER_TYPE_DEVICE ? this.deviceBits : TABLE_BITS;
      const entrySize = ((its.high >>> 16) & 0x1f) + 1;
      const pages = tablePages(entrySize, bits);
      if (type === BASER_TYPE_DEVICE) this.deviceIds = Math.min(2 ** bits, (pages * PAGE) / entrySize);
      const isShared = type === BASER_TYPE_VPE && vpeTable >= 0;
      const table = isShared ? vpeTable : ram.take(pages * PAGE, PAGE);
      if (table < 0) return false;
      if (type === BASER_TYPE_VPE) {
        this.vpeTable = table;
        this.vpeTablePages = pages;
      }
      yield* its.write(BASER + 8 * n, 8, table | PAGE_SIZE_64K | (pages - 1), VALID);
    }
    yield* its.write(CTLR, 4, 1, 0);
    yield* this.lock.lock();
    for (let cpu = 0; cpu < cpus; cpu++) {
      encodeMapc(this.words, cpu, this.rdbaseOf(cpu, false), true);
      yield* this.send();
    }
    yield* this.lock.unlock();
    return true;
  }

  /** What names a CPU's redistributor in a command; that of a vPE may be displaced (gic-v4.md C1.7). */
  rdbaseOf(cpu: number, isVirtual: boolean): number {
    if (!this.usesAddresses) return cpu;
    const { gic, implementation } = this.its;
    const offset = isVirtual ? implementation.vlpiRedistOffset : 0;
    return (gic.redistAddress(cpu) + offset) / 0x10000;
  }

  /** Has the command in {@link words} executed; `lock` is held. It is over when this returns. */
  *send(): Step<void> {
    yield* this.enqueue(this.words);
    yield* this.post();
  }

  /** {@link send} with a SYNC for a CPU: both are queued before the ITS is told, as Linux does. */
  *sendAndSync(cpu: number): Step<void> {
    yield* this.enqueue(this.words);
    encodeSync(this.sync, this.rdbaseOf(cpu, false));
    yield* this.enqueue(this.sync);
    yield* this.post();
  }

  /** {@link send} with a VSYNC for a vPE. */
  *sendAndVsync(vpe: number): Step<void> {
    yield* this.enqueue(this.words);
    encodeVpe(this.sync, ItsVOp.VSYNC, vpe);
    yield* this.enqueue(this.sync);
    yield* this.post();
  }

  private *enqueue(words: Int32Array): Step<void> {
    const { gic } = this.its;
    yield writes(gic, "GIC");
    gic.ram.setRow(this.queue + this.at, words);
    this.at = (this.at + ITS_COMMAND_SIZE) & (QUEUE_SIZE - 1);
  }

  /** Tells the ITS how far the queue goes. */
  private *post(): Step<void> {
    yield* this.its.write(CWRITER, 8, this.at, 0);
  }
}

/** Flat, as far as a table reaches. */
const tablePages = (entrySize: number, bits: number): number => Math.min(MAX_PAGES, Math.ceil((2 ** bits * entrySize) / PAGE));
