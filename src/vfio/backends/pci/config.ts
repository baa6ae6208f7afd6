import { Af, CapId, Command, Exp, Msi, Pci, Pm, Vpd } from "../../../arch/pci/config-registers.js";
import { IRQ_NOTCONNECTED } from "../../../host/irq/request.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import { pieceAt } from "../../../host/memory.js";
import type { Process } from "../../../host/process.js";
import { block, reads, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT } from "../../../uapi/errno.js";
import { addressMask, typeBits, upperAddressMask } from "../../../device/pci/bar.js";
import { ConfigMap, Owner } from "./config-map.js";

/** What configuration writes do to the device beside their registers. */
export interface ConfigEffects {
  /** Zaps the user's mappings where asked, and takes the memory lock. */
  lockMemory(zaps: boolean): Step<void>;
  unlockMemory(): Step<void>;
  /** The user's DisINTx, on an edge of it (8.8). */
  setIntxDisabled(isDisabled: boolean): Step<void>;
  setPowerState(state: number): Step<void>;
  /** A function reset that the user asked for by a capability. */
  resetFunction(): Step<void>;
  /** Without 23.3's rule: what the user does not write is read first, and written back under another hold of the lock. */
  readonly writesInTwo: boolean;
  /** While MSI is the mode: log2 of its vectors; else -1. */
  msiQmax(): Step<number>;
}

const BARS = 6;
const BAR_WORDS = BARS + 1;
const SPACES = Command.IO | Command.MEMORY;
const MPS_SHIFT = 5;
const MRRS_SHIFT = 12;

/** The configuration space that the user of a device sees, from open to close (vfio.md 13). */
export class VirtualConfig {
  private readonly map: ConfigMap;
  /** The host's BARs and ROM BAR, as they were at open. */
  private readonly hostBars = new Int32Array(BAR_WORDS);
  private areBarsDirty = true;

  constructor(
    private readonly pci: PciDevice,
    private readonly effects: ConfigEffects,
  ) {
    this.map = new ConfigMap(pci, pci.fn.configSize);
  }

  *build(hidesIntx: boolean): Step<void> {
    yield writes(this, "config");
    const { map, pci } = this;
    yield* map.build();
    yield writes(this, "config");
    for (let i = 0; i < BARS; i++) this.hostBars[i] = map.copy.getInt32(Pci.BAR0 + 4 * i, true);
    this.hostBars[BARS] = map.copy.getInt32(Pci.ROM, true);
    map.copy.setUint8(Pci.INT_LINE, pci.irq & 0xff);
    if (hidesIntx || pci.irq === 0 || pci.irq === IRQ_NOTCONNECTED) map.copy.setUint8(Pci.INT_PIN, 0);
    if (pci.physicalFunction !== null) this.fillVirtualFunction();
  }

  /** A virtual function's ids read as ones; it has no pin, and no memory enable of its own (SR-IOV 3.4.1): the user's is the copy's. */
  private fillVirtualFunction(): void {
    const { copy, virt } = this.map;
    copy.setInt32(Pci.VENDOR_ID, this.pci.fn.peek(Pci.VENDOR_ID, 4), true);
    copy.setUint8(Pci.INT_PIN, 0);
    virt[Pci.COMMAND] |= Command.MEMORY;
  }

  get size(): number {
    return this.map.size;
  }

  /** The virtual interrupt pin: 0 where the user has no INTx. */
  *interruptPin(): Step<number> {
    yield reads(this, "config");
    return this.map.copy.getUint8(Pci.INT_PIN);
  }

  /** Does the user let the function's memory decode? */
  *isMemoryEnabled(): Step<boolean> {
    yield reads(this, "config");
    return (this.map.copy.getUint16(Pci.COMMAND, true) & Command.MEMORY) !== 0;
  }

  /** Bytes read; -EFAULT beyond the space or the process's memory. Cut into aligned pieces of one owner (13.1). */
  *read(process: Process, address: number, length: number, position: number): Step<number> {
    if (position >= this.size || position + length > this.size) return -EFAULT;
    const { memory } = process;
    for (let done = 0; done < length; ) {
      const at = position + done;
      const size = pieceAt(at, length - done);
      const value = yield* this.readPiece(at, size);
      if (!memory.isWritable(address + done, size)) return -EFAULT;
      for (let i = 0; i < size; i++) memory.setU8(address + done + i, (value >>> (8 * i)) & 0xff);
      done += size;
    }
    return length;
  }

  *write(process: Process, address: number, length: number, position: number): Step<number> {
    if (position >= this.size || position + length > this.size) return -EFAULT;
    const { memory } = process;
    for (let done = 0; done < length; ) {
      const at = position + done;
      const size = pieceAt(at, length - done);
      if (!memory.isReadable(address + done, size)) return -EFAULT;
      let value = 0;
      for (let i = 0; i < size; i++) value |= memory.getU8(address + done + i) << (8 * i);
      yield* this.writePiece(at, size, value);
      done += size;
    }
    return length;
  }

  private *readPiece(at: number, size: number): Step<number> {
    if (isBar(at)) yield* this.sizeBars();
    const virt = this.bits(this.map.virt, at, size);
    const all = maskOf(size);
    let value = virt === all ? 0 : yield* this.pci.readConfig(at, size);
    yield reads(this, "config");
    value = (value & ~virt) | (this.copied(at, size) & virt);
    return this.isMsiFlags(at, size) ? yield* this.showQmax(at, value) : value;
  }

  /** 13.1: virtual bits into the copy, the others read, changed and written back; nothing to write, no cycle. */
  private *defaultWrite(at: number, size: number, value: number): Step<void> {
    yield writes(this, "config");
    const virt = this.bits(this.map.virt, at, size);
    const write = this.bits(this.map.write, at, size);
    if (virt & write) this.setCopied(at, size, (this.copied(at, size) & ~(virt & write)) | (value & virt & write));
    const through = write & ~virt;
    if (through === 0) return;
    if (through === maskOf(size)) yield* this.pci.writeConfig(at, size, value);
    else if (this.effects.writesInTwo) yield* this.pci.writeConfig(at, size, ((yield* this.pci.readConfig(at, size)) & ~through) | (value & through));
    else yield* this.pci.mergeConfig(at, size, through, value);
  }

  private *writePiece(at: number, size: number, value: number): Step<void> {
    const owner = this.map.owner[at >> 2];
    const offset = at - this.map.start[at >> 2];
    if (owner === Owner.HEADER) yield* this.writeHeader(at, size, value);
    else if (owner === CapId.MSI) yield* this.writeMsi(at, size, value);
    else if (owner === CapId.PM) yield* this.writePm(at, offset, size, value);
    else if (owner === CapId.EXPRESS) yield* this.writeExpress(at, offset, size, value);
    else if (owner === CapId.VPD) yield* this.writeVpd(at, offset, size, value);
    else if (owner === CapId.AF) yield* this.writeAf(at, offset, size, value);
    else yield* this.defaultWrite(at, size, value);
  }

  // --- header (13.3, 13.4) ---

  private *writeHeader(at: number, size: number, value: number): Step<void> {
    if (at === Pci.COMMAND) yield* this.writeCommand(size, value);
    else yield* this.defaultWrite(at, size, value);
    if (isBar(at)) {
      yield writes(this, "config");
      this.areBarsDirty = true;
    }
    if (at === Pci.COMMAND || at === Pci.COMMAND + 1) yield* this.followIntxDisable();
  }

  private *writeCommand(size: number, value: number): Step<void> {
    const { copy } = this.map;
    yield* this.effects.lockMemory((value & Command.MEMORY) === 0);
    const physical = yield* this.pci.readConfig(Pci.COMMAND, 2);
    yield reads(this, "config");
    const known = copy.getUint16(Pci.COMMAND, true);
    // Enabled as far as the user knows, and now it is not: the function was reset behind our back.
    const isLost = (value & known & ~physical & SPACES) !== 0 || (yield* this.haveBarsMoved());
    if (isLost) yield* this.restoreBars();
    yield* this.defaultWrite(Pci.COMMAND, size, value);
    yield writes(this, "config");
    copy.setUint16(Pci.COMMAND, (copy.getUint16(Pci.COMMAND, true) & ~SPACES) | (value & SPACES), true);
    yield* this.effects.unlockMemory();
  }

  /** All six registers: what a 64-bit BAR has lost may be its upper half alone. */
  private *haveBarsMoved(): Step<boolean> {
    for (let i = 0; i < BARS; i++) if ((yield* this.pci.readConfig(Pci.BAR0 + 4 * i, 4)) !== this.hostBars[i]) return true;
    return false;
  }

  private *restoreBars(): Step<void> {
    for (let i = 0; i < BARS; i++) yield* this.pci.writeConfig(Pci.BAR0 + 4 * i, 4, this.hostBars[i]);
    yield* this.pci.writeConfig(Pci.ROM, 4, this.hostBars[BARS]);
  }

  private *followIntxDisable(): Step<void> {
    yield reads(this, "config");
    yield* this.effects.setIntxDisabled((this.map.copy.getUint16(Pci.COMMAND, true) & Command.INTX_DISABLE) !== 0);
  }

  /** What was written to a BAR is cut to what a BAR of its size can hold, at the next read of any. */
  private *sizeBars(): Step<void> {
    yield writes(this, "config");
    if (!this.areBarsDirty) return;
    this.areBarsDirty = false;
    const { copy } = this.map;
    const { fn } = this.pci;
    for (let i = 0; i < BARS; i++) {
      const bar = fn.barAt(i);
      const below = i === 0 ? null : fn.barAt(i - 1);
      const at = Pci.BAR0 + 4 * i;
      const value = copy.getInt32(at, true);
      if (bar !== null) copy.setInt32(at, (value & addressMask(bar)) | typeBits(bar), true);
      else copy.setInt32(at, below?.kind === "mem64" ? value & upperAddressMask(below) : 0, true);
    }
    const romMask = fn.rom === null ? 0 : ~(fn.romSize - 1) | 1;
    copy.setInt32(Pci.ROM, copy.getInt32(Pci.ROM, true) & romMask, true);
  }

  // --- capabilities (13.5, 13.6) ---

  private isMsiFlags(at: number, size: number): boolean {
    const msi = this.map.capability(CapId.MSI);
    return msi !== 0 && at <= msi + Msi.FLAGS && at + size > msi + Msi.FLAGS;
  }

  private *showQmax(at: number, value: number): Step<number> {
    const qmax = yield* this.effects.msiQmax();
    if (qmax < 0) return value;
    const shift = 8 * (this.map.capability(CapId.MSI) + Msi.FLAGS - at);
    return (value & ~(Msi.QMASK << shift)) | (qmax << (Msi.QMASK_SHIFT + shift));
  }

  /** The user cannot enable MSI by itself, nor take more vectors than it has enabled by SET_IRQS. */
  private *writeMsi(at: number, size: number, value: number): Step<void> {
    yield* this.defaultWrite(at, size, value);
    if (!this.isMsiFlags(at, size)) return;
    const { copy } = this.map;
    const where = this.map.capability(CapId.MSI) + Msi.FLAGS;
    const qmax = yield* this.effects.msiQmax();
    yield writes(this, "config");
    let flags = copy.getUint16(where, true);
    if (qmax < 0) flags &= ~Msi.ENABLE;
    const offered = qmax < 0 ? (this.pci.fn.peek(where, 2) & Msi.QMASK) >> Msi.QMASK_SHIFT : qmax;
    if ((flags & Msi.QSIZE) >> Msi.QSIZE_SHIFT > offered) flags = (flags & ~Msi.QSIZE) | (offered << Msi.QSIZE_SHIFT);
    flags = (flags & ~Msi.QMASK) | (this.pci.fn.peek(where, 2) & Msi.QMASK);
    copy.setUint16(where, flags, true);
    yield* this.pci.writeConfig(where, 2, flags);
  }

  private *writePm(at: number, offset: number, size: number, value: number): Step<void> {
    yield* this.defaultWrite(at, size, value);
    if (offset === Pm.PMCSR) yield* this.effects.setPowerState(value & Pm.STATE_MASK);
  }

  private *writeExpress(at: number, offset: number, size: number, value: number): Step<void> {
    const where = at - offset + Exp.DEVCTL;
    yield reads(this, "config");
    const before = this.map.copy.getUint16(where, true);
    yield* this.defaultWrite(at, size, value);
    yield writes(this, "config");
    const after = this.map.copy.getUint16(where, true);
    if (after & Exp.DEVCTL_FLR) {
      this.map.copy.setUint16(where, after & ~Exp.DEVCTL_FLR, true);
      const capability = yield* this.pci.readConfig(at - offset + Exp.DEVCAP, 4);
      if (capability & Exp.DEVCAP_FLR) yield* this.effects.resetFunction();
    }
    if ((before ^ after) & Exp.DEVCTL_MRRS) yield* this.setReadRequest(where, (after & Exp.DEVCTL_MRRS) >> MRRS_SHIFT);
  }

  /** Never below the payload that the function's packets carry: the user does not see the system's choice of it. */
  private *setReadRequest(where: number, wanted: number): Step<void> {
    const payload = ((yield* this.pci.readConfig(where, 2)) & Exp.DEVCTL_MPS) >> MPS_SHIFT;
    yield* this.pci.updateConfig(where, Exp.DEVCTL_MRRS, Math.max(wanted, payload) << MRRS_SHIFT);
  }

  /** The user's address and data are a copy; the host carries each access out, and turns the copy's flag. */
  private *writeVpd(at: number, offset: number, size: number, value: number): Step<void> {
    yield* this.defaultWrite(at, size, value);
    if (offset > Vpd.ADDRESS + 1 || offset + size <= Vpd.ADDRESS + 1) return;
    const { copy } = this.map;
    const base = at - offset;
    yield reads(this, "config");
    const address = copy.getUint16(base + Vpd.ADDRESS, true);
    const data = copy.getInt32(base + Vpd.DATA, true);
    if (address & Vpd.FLAG) yield* this.pci.writeVpd(address & ~Vpd.FLAG, data);
    const read = address & Vpd.FLAG ? data : yield* this.pci.readVpd(address);
    yield writes(this, "config");
    copy.setInt32(base + Vpd.DATA, read, true);
    copy.setUint16(base + Vpd.ADDRESS, address ^ Vpd.FLAG, true);
  }

  private *writeAf(at: number, offset: number, size: number, value: number): Step<void> {
    const where = at - offset + Af.CONTROL;
    yield* this.defaultWrite(at, size, value);
    yield writes(this, "config");
    if (!(this.map.copy.getUint8(where) & Af.CONTROL_FLR)) return;
    this.map.copy.setUint8(where, this.map.copy.getUint8(where) & ~Af.CONTROL_FLR);
    const capabilities = yield* this.pci.readConfig(at - offset + Af.CAPABILITIES, 1);
    if ((capabilities & Af.CAP_TP_FLR) === Af.CAP_TP_FLR) yield* this.effects.resetFunction();
  }

  // --- the copy and its masks, by piece ---

  private bits(mask: Uint8Array, at: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= mask[at + i] << (8 * i);
    return value;
  }

  private copied(at: number, size: number): number {
    if (size === 4) return this.map.copy.getInt32(at, true);
    return size === 2 ? this.map.copy.getUint16(at, true) : this.map.copy.getUint8(at);
  }

  private setCopied(at: number, size: number, value: number): void {
    if (size === 4) this.map.copy.setInt32(at, value, true);
    else if (size === 2) this.map.copy.setUint16(at, value & 0xffff, true);
    else this.map.copy.setUint8(at, value & 0xff);
  }
}
block(VirtualConfig, "areBarsDirty");

function maskOf(size: number): number {
  return size === 4 ? -1 : (1 << (8 * size)) - 1;
}

function isBar(at: number): boolean {
  return (at >= Pci.BAR0 && at < Pci.BAR0 + 4 * BARS) || (at >= Pci.ROM && at < Pci.ROM + 4);
}
