import { CapId, Command, Exp, Msix, Pci, Pm, Status, Vpd } from "../../arch/pci/config-registers.js";
import type { EdgeSink, LevelSink } from "../../arch/level.js";
import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { addressMask, type Bar, type BarRegisters, typeBits, upperAddressMask } from "./bar.js";
import type { Capability, MsixLayout } from "./capabilities.js";
import { ConfigSpace } from "./config-space.js";
import { IntxPin } from "./intx-pin.js";
import type { MessagePort } from "./message-port.js";
import { MessageSource } from "./message-source.js";
import { MsixTable } from "./msix-table.js";
import { VGA_MEMORY, type VgaRegisters } from "./vga.js";

/** What a PCI function is made of. */
export interface PciFunctionOptions {
  /** "0000:06:00.0" */
  readonly name: string;
  /** Bus, device and function: 16 bits. */
  readonly requesterId: number;
  readonly vendor: number;
  readonly device: number;
  /** Class, subclass and programming interface: 24 bits. */
  readonly classCode: number;
  readonly bars?: readonly Bar[];
  /** 1 for INTA# to 4 for INTD#; 0, the default, for none. */
  readonly intxPin?: number;
  /** In the order of the capability list. */
  readonly capabilities?: readonly Capability[];
  /** Extended capabilities of a function that has room for them, in the order of their list. */
  readonly extended?: readonly Capability[];
  /** Where the MSI-X table is, of a function with that capability. */
  readonly msix?: MsixLayout;
  /** Default: 4096 with a PCI Express capability, else 256. */
  readonly configSize?: number;
  /** The image of the expansion ROM, which begins with 55 aa; its BAR is as large, a power of two and 2 KiB at least. */
  readonly rom?: Uint8Array;
  /** Vital product data, of a function with that capability; a multiple of 4 bytes. */
  readonly vpd?: Uint8Array;
  /** Header type; default 0. Anything else is a bridge to whoever reads it. */
  readonly headerType?: number;
  /** The legacy ranges of a VGA adapter. */
  readonly vga?: VgaRegisters;
}

/** What a function is inside, as its resets see it. */
export interface FunctionCore {
  reset(): Step<void>;
}

const COMMAND_WRITABLE = Command.IO | Command.MEMORY | Command.MASTER | Command.PARITY | Command.SERR | Command.INTX_DISABLE;
/** Of what an expansion ROM's BAR can decode (PCI 3.0, 6.2.5.2). */
const SMALLEST_ROM = 0x800;
const STATUS_CLEARS = 0xf900;
const ALL_ONES = [0, 0xff, 0xffff, 0, -1];

/**
 * One PCI function: configuration space, base address registers, the INTx pin and messages. Each access, and each change
 * of an interrupt condition, is atomic: the block is the function.
 */
export class PciFunction {
  readonly name: string;
  readonly requesterId: number;
  readonly bars: readonly Bar[];
  readonly rom: Uint8Array | null;
  readonly msix: MsixLayout | null;
  readonly table: MsixTable | null;
  /** The wired interrupt, as the function's core drives it. */
  readonly intx: IntxPin;
  readonly messages: MessageSource;
  /** Told of resets. */
  core: FunctionCore | null = null;
  /** Resets of the function, by whatever way. */
  resets = 0;
  private readonly config: ConfigSpace;
  private readonly vpd: DataView | null;
  private readonly vga: VgaRegisters | null;
  /** Where each capability is, by its id. */
  private readonly caps = new Uint16Array(0x100);
  private readonly vectorSinks: EdgeSink[] = [];

  constructor(options: PciFunctionOptions) {
    this.name = options.name;
    this.requesterId = options.requesterId;
    this.bars = options.bars ?? [];
    this.rom = options.rom ?? null;
    this.vpd = options.vpd === undefined ? null : new DataView(options.vpd.buffer, options.vpd.byteOffset, options.vpd.length);
    this.vga = options.vga ?? null;
    this.msix = options.msix ?? null;
    this.table = this.msix === null ? null : new MsixTable(this.msix.vectors);
    const capabilities = options.capabilities ?? [];
    const isExpress = capabilities.some((each) => each.id === CapId.EXPRESS);
    const config = new ConfigSpace(options.configSize ?? (isExpress ? Pci.EXPRESS_SIZE : Pci.LEGACY_SIZE));
    this.config = config;
    this.layOut(config, options);
    this.chain(config, capabilities);
    chainExtended(config, options.extended ?? []);
    this.intx = new IntxPin(this);
    this.messages = new MessageSource(this);
  }

  private layOut(config: ConfigSpace, { vendor, device, classCode, intxPin = 0, headerType = 0 }: PciFunctionOptions): void {
    config.define([
      { offset: Pci.VENDOR_ID, size: 2, value: vendor },
      { offset: Pci.DEVICE_ID, size: 2, value: device },
      { offset: Pci.COMMAND, size: 2, writable: COMMAND_WRITABLE },
      { offset: Pci.STATUS, size: 2, clears: STATUS_CLEARS },
      { offset: Pci.REVISION, size: 4, value: classCode << 8 },
      { offset: Pci.CACHE_LINE_SIZE, size: 2, writable: 0xffff },
      { offset: Pci.HEADER_TYPE, size: 1, value: headerType },
      { offset: Pci.SUBSYSTEM_VENDOR, size: 2, value: vendor },
      { offset: Pci.SUBSYSTEM_ID, size: 2, value: device },
      { offset: Pci.INT_LINE, size: 1, writable: 0xff },
      { offset: Pci.INT_PIN, size: 1, value: intxPin },
    ]);
    for (const bar of this.bars) {
      config.define([{ offset: Pci.BAR0 + 4 * bar.index, size: 4, value: typeBits(bar), writable: addressMask(bar) }]);
      if (bar.kind === "mem64") config.define([{ offset: Pci.BAR0 + 4 * bar.index + 4, size: 4, writable: upperAddressMask(bar) }]);
    }
    if (this.rom !== null) config.define([{ offset: Pci.ROM, size: 4, writable: (~(this.romSize - 1) & 0xffff_f800) | 1 }]);
  }

  /** The capability list, from 0x40 on, each at a multiple of 4. */
  private chain(config: ConfigSpace, capabilities: readonly Capability[]): void {
    let pointer: number = Pci.CAP_POINTER;
    let at: number = Pci.FIRST_CAP;
    for (const { id, length, fields } of capabilities) {
      config.define([{ offset: pointer, size: 1, value: at }]);
      config.define([{ offset: 0, size: 1, value: id }, ...fields], at);
      this.caps[id] = at;
      pointer = at + 1;
      at = (at + length + 3) & ~3;
    }
    if (capabilities.length > 0) config.define([{ offset: Pci.STATUS, size: 2, value: Status.CAP_LIST, clears: STATUS_CLEARS }]);
  }

  /** Bytes that the expansion ROM's BAR decodes; 0 without a ROM. */
  get romSize(): number {
    if (this.rom === null) return 0;
    return Math.max(SMALLEST_ROM, 2 ** (32 - Math.clz32(this.rom.length - 1)));
  }

  get configSize(): number {
    return this.config.size;
  }

  /** Where a capability is; 0 where the function has none. */
  capability(id: number): number {
    return this.caps[id];
  }

  /** The registers without an access: for tests, dumps, and the function itself. */
  peek(offset: number, size: number): number {
    return this.config.get(offset, size);
  }

  // --- cycles on the bus ---

  *readConfig(offset: number, size: number): Step<number> {
    yield reads(this, "PCI");
    return this.config.get(offset, size);
  }

  *writeConfig(offset: number, size: number, value: number): Step<void> {
    yield writes(this, "PCI");
    const wasD3 = this.isInD3();
    this.config.store(offset, size, value);
    if (wasD3 && !this.isInD3() && !(this.config.get(this.capability(CapId.PM) + Pm.PMCSR, 2) & Pm.NO_SOFT_RESET)) yield* this.reset();
    if (this.takesFlr()) yield* this.reset();
    this.serveVpd(offset, size);
    yield* this.intx.drive();
    yield* this.messages.flush();
  }

  /** A load from a BAR: all ones where nobody answers. */
  *readBar(index: number, offset: number, size: number): Step<number> {
    yield reads(this, "PCI");
    const bar = this.decoding(index);
    if (bar === null || offset + size > bar.size) return ALL_ONES[size];
    const overlay = this.tableWord(index, offset);
    if (overlay !== null) return (overlay >> (8 * (offset & 3))) & ALL_ONES[size];
    return yield* bar.registers.read(offset, size);
  }

  *writeBar(index: number, offset: number, size: number, value: number): Step<void> {
    yield writes(this, "PCI");
    const bar = this.decoding(index);
    if (bar === null || offset + size > bar.size) return;
    const { msix, table } = this;
    if (msix !== null && table !== null && this.isInTable(index, offset)) {
      if (size !== 4) return; // PCI 3.0, 6.8.2: software writes whole words of the table
      table.write(offset - msix.tableOffset, value);
      if (table.pendingCount > 0) yield* this.messages.flush();
    } else if (!this.isInPba(index, offset)) yield* bar.registers.write(offset, size, value);
  }

  /** A load from the legacy ranges of VGA, of a port or of memory: all ones where nobody answers. */
  *readVga(address: number, size: number): Step<number> {
    yield reads(this, "PCI");
    const vga = this.decodingVga(address);
    if (vga === null) return ALL_ONES[size];
    if (address < VGA_MEMORY) return yield* vga.ports.read(address, size);
    return yield* vga.memory.read(address - VGA_MEMORY, size);
  }

  *writeVga(address: number, size: number, value: number): Step<void> {
    yield writes(this, "PCI");
    const vga = this.decodingVga(address);
    if (vga === null) return;
    if (address < VGA_MEMORY) yield* vga.ports.write(address, size, value);
    else yield* vga.memory.write(address - VGA_MEMORY, size, value);
  }

  private decodingVga(address: number): VgaRegisters | null {
    const space = address < VGA_MEMORY ? Command.IO : Command.MEMORY;
    return !this.isInD3() && this.config.get(Pci.COMMAND, 2) & space ? this.vga : null;
  }

  /** A BAR as a window of registers, with what is in its way. */
  window(index: number): BarWindow {
    return new BarWindow(this, index);
  }

  /** Does the BAR decode? */
  *decodes(index: number): Step<boolean> {
    yield reads(this, "PCI");
    return this.decoding(index) !== null;
  }

  private decoding(index: number): Bar | null {
    const bar = this.barAt(index);
    if (bar === null || this.isInD3()) return null;
    const space = bar.kind === "io" ? Command.IO : Command.MEMORY;
    return this.config.get(Pci.COMMAND, 2) & space ? bar : null;
  }

  barAt(index: number): Bar | null {
    for (let i = 0; i < this.bars.length; i++) if (this.bars[i].index === index) return this.bars[i];
    return null;
  }

  private isInTable(index: number, offset: number): boolean {
    const { msix, table } = this;
    return msix !== null && table !== null && index === msix.tableBar && offset >= msix.tableOffset && offset < msix.tableOffset + table.bytes;
  }

  private isInPba(index: number, offset: number): boolean {
    const { msix, table } = this;
    return msix !== null && table !== null && index === msix.pbaBar && offset >= msix.pbaOffset && offset < msix.pbaOffset + table.pbaBytes;
  }

  /** The word of the MSI-X table or of the pending bits at a place, null where there is neither. */
  private tableWord(index: number, offset: number): number | null {
    const { msix, table } = this;
    if (msix === null || table === null) return null;
    if (this.isInTable(index, offset)) return table.read(offset - msix.tableOffset);
    return this.isInPba(index, offset) ? table.readPending(offset - msix.pbaOffset) : null;
  }

  // --- the function's own side; the caller has announced the block ---

  isInD3(): boolean {
    const pm = this.capability(CapId.PM);
    return pm !== 0 && (this.config.get(pm + Pm.PMCSR, 2) & Pm.STATE_MASK) === Pm.D3HOT;
  }

  private takesFlr(): boolean {
    const express = this.capability(CapId.EXPRESS);
    if (express === 0 || !(this.config.get(express + Exp.DEVCTL, 2) & Exp.DEVCTL_FLR)) return false;
    return (this.config.get(express + Exp.DEVCAP, 4) & Exp.DEVCAP_FLR) !== 0;
  }

  /** PCI 3.0, appendix I: a write of the flag's byte asks for a word, to be read (0) or written (1); the flag turns when it is done. */
  private serveVpd(offset: number, size: number): void {
    const at = this.capability(CapId.VPD);
    const flagByte = at + Vpd.ADDRESS + 1;
    if (at === 0 || this.vpd === null || offset > flagByte || offset + size <= flagByte) return;
    const address = this.config.get(at + Vpd.ADDRESS, 2);
    const word = address & ~Vpd.FLAG & ~3;
    if (word + 4 <= this.vpd.byteLength) {
      if (address & Vpd.FLAG) this.vpd.setInt32(word, this.config.get(at + Vpd.DATA, 4), true);
      else this.config.set(at + Vpd.DATA, 4, this.vpd.getInt32(word, true));
    }
    this.config.set(at + Vpd.ADDRESS, 2, address ^ Vpd.FLAG);
  }

  get isMaster(): boolean {
    return (this.config.get(Pci.COMMAND, 2) & Command.MASTER) !== 0;
  }

  get isIntxDisabled(): boolean {
    return (this.config.get(Pci.COMMAND, 2) & Command.INTX_DISABLE) !== 0;
  }

  setInterruptStatus(isAsserted: boolean): void {
    const status = this.config.get(Pci.STATUS, 2) & ~Status.INTERRUPT;
    this.config.set(Pci.STATUS, 2, isAsserted ? status | Status.INTERRUPT : status);
  }

  /** A capability's register changes from inside. */
  setRegister(offset: number, size: number, value: number): void {
    this.config.set(offset, size, value);
  }

  get isMsixEnabled(): boolean {
    const at = this.capability(CapId.MSIX);
    return at !== 0 && (this.config.get(at + Msix.FLAGS, 2) & Msix.ENABLE) !== 0;
  }

  /** Everything as after power-on: BARs, enables, messages, and what the core holds. */
  *reset(): Step<void> {
    yield writes(this, "PCI");
    this.resets++;
    this.config.reset();
    this.intx.showStatus(); // until the condition goes, with the wire
    this.table?.reset();
    if (this.core !== null) yield* this.core.reset();
    yield* this.intx.setLevel(false);
  }

  // --- wiring ---

  connect(line: LevelSink | null, port: MessagePort | null): void {
    this.intx.line = line;
    this.messages.port = port;
  }

  /** Interrupt vector `n` as the end of an edge source: each pulse sends its message, or pends it while masked. */
  vector(n: number): EdgeSink {
    return (this.vectorSinks[n] ??= new VectorSink(this, n));
  }
}
block(PciFunction, "resets");

class BarWindow implements BarRegisters {
  constructor(
    private readonly fn: PciFunction,
    private readonly index: number,
  ) {}
  *read(offset: number, size: number): Step<number> {
    return yield* this.fn.readBar(this.index, offset, size);
  }
  *write(offset: number, size: number, value: number): Step<void> {
    yield* this.fn.writeBar(this.index, offset, size, value);
  }
  *decodes(): Step<boolean> {
    return yield* this.fn.decodes(this.index);
  }
}

/** The list of extended capabilities, version 1 each, from 0x100 on: word 0 id [15:0], version [19:16], next [31:20]. */
function chainExtended(config: ConfigSpace, capabilities: readonly Capability[]): void {
  let at: number = Pci.LEGACY_SIZE;
  for (const [i, { id, length, fields }] of capabilities.entries()) {
    const next = (at + length + 3) & ~3;
    config.define([{ offset: 0, size: 4, value: id | (1 << 16) | (i + 1 < capabilities.length ? next << 20 : 0) }, ...fields], at);
    at = next;
  }
}

class VectorSink implements EdgeSink {
  readonly trigger = "edge";
  constructor(
    private readonly fn: PciFunction,
    private readonly n: number,
  ) {}
  *pulse(): Step<void> {
    yield* this.fn.messages.send(this.n);
  }
}
