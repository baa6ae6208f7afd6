import { GITS_TRANSLATER } from "../arch/gic/gits.js";
import { GICR_SIZE } from "../arch/gic/gicr.js";
import { ITS_COMMAND_SIZE, ItsOp } from "../arch/gic/its-command.js";
import type { Assembler } from "./op.js";

/** The ITS of a guest, and a device whose events its driver maps: event i is LPI {@link FIRST_LPI} + i. */
export interface LpiSetup {
  /** Guest physical address of the ITS's frames. */
  readonly its: number;
  /** Guest memory for the tables: {@link LPI_TABLES} bytes, on 64 KiB. */
  readonly tables: number;
  readonly deviceId: number;
  /** Events of the device: at most 2,000. */
  readonly events: number;
  /** vCPUs that take them, the first the first and so on; at most 8. Default 1. */
  readonly targets?: number;
  /** Priority and enable bit of every LPI. */
  readonly configuration?: number;
}

export const FIRST_LPI = 8192;
/** Where a device writes its event. */
export const doorbellOf = (its: number): number => its + GITS_TRANSLATER;

const PAGE = 0x1_0000;
const DEVICES = 0;
const COLLECTIONS = PAGE;
const QUEUE = 2 * PAGE;
const PROPERTIES = 3 * PAGE;
const PENDING = 4 * PAGE;
const EVENTS = 5 * PAGE;
/** Of the vCPUs from the second on. */
const MORE_PENDING = 6 * PAGE;
/** Bytes that the tables take. */
export const LPI_TABLES = 13 * PAGE;

const GICR_CTLR = 0x0;
const GICR_PROPBASER = 0x70;
const GICR_PENDBASER = 0x78;
const ENABLE_LPIS = 1;
const ID_BITS = 0xf;
const GITS_CTLR = 0x0;
const GITS_CBASER = 0x80;
const GITS_CWRITER = 0x88;
const GITS_BASER0 = 0x100;
const GITS_BASER1 = 0x108;
const VALID = 0x8000_0000 | 0;
/** GITS_CBASER.Size: 16 pages of 4 KiB. */
const QUEUE_PAGES = 15;
/** Enabled, priority 0xA0. */
const CONFIGURATION = 0xa1;

/** What a kernel does at boot and a driver when it asks for its vectors: tables, EnableLPIs, MAPD, MAPC, a MAPTI for each event. */
export function writeLpis(code: Assembler, redistributor: number, setup: LpiSetup): void {
  const { its, tables, events, targets = 1, configuration = CONFIGURATION } = setup;
  for (let lpi = 0; lpi < events; lpi += 4) code.store(tables + PROPERTIES + lpi, Math.imul(configuration, 0x0101_0101));
  for (let vcpu = 0; vcpu < targets; vcpu++) {
    const frame = redistributor + vcpu * GICR_SIZE;
    storeLong(code, frame + GICR_PROPBASER, tables + PROPERTIES + ID_BITS, 0);
    storeLong(code, frame + GICR_PENDBASER, tables + (vcpu === 0 ? PENDING : MORE_PENDING + (vcpu - 1) * PAGE), 0);
    code.store(frame + GICR_CTLR, ENABLE_LPIS);
  }
  storeLong(code, its + GITS_BASER0, tables + DEVICES, VALID);
  storeLong(code, its + GITS_BASER1, tables + COLLECTIONS, VALID);
  storeLong(code, its + GITS_CBASER, tables + QUEUE + QUEUE_PAGES, VALID);
  code.store(its + GITS_CTLR, 1);
  code.store(its + GITS_CWRITER, writeCommands(code, setup));
}

/** The queue's words; the result is where it ends. */
function writeCommands(code: Assembler, { tables, deviceId, events, targets = 1 }: LpiSetup): number {
  const commands: (readonly number[])[] = [
    [ItsOp.MAPD, deviceId, bitsOf(events) - 1, 0, tables + EVENTS, VALID],
  ];
  for (let vcpu = 0; vcpu < targets; vcpu++) commands.push([ItsOp.MAPC, 0, 0, 0, vcpu | (vcpu << 16), VALID]);
  for (let event = 0; event < events; event++) commands.push([ItsOp.MAPTI, deviceId, event, FIRST_LPI + event, event % targets, 0]);
  commands.push([ItsOp.SYNC]);
  commands.forEach((words, i) => words.forEach((word, at) => code.store(tables + QUEUE + ITS_COMMAND_SIZE * i + 4 * at, word | 0)));
  return ITS_COMMAND_SIZE * commands.length;
}

function storeLong(code: Assembler, address: number, low: number, high: number): void {
  code.store(address, low | 0);
  code.store(address + 4, high);
}

const bitsOf = (events: number): number => Math.max(1, 32 - Math.clz32(events - 1));
