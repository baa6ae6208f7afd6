import { CapId, EXTENDED_NEXT, Exp, MAX_EXTENDED, Msi, msiLength, Pci, Status } from "../../../arch/pci/config-registers.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Step } from "../../../sim/step.js";
import { CAPABILITY_RULES, type CapabilityRule, EXTENDED_RULES, type ExtendedRule, HEADER_PERMISSIONS, type Permission } from "./config-permissions.js";
import { extendedLength } from "./extended-length.js";

/** Who serves a word of configuration space. Capability ids stand for themselves. */
export const enum Owner {
  HEADER = 0x100,
  EXTENDED = 0x101,
  /** Claimed by nobody: read and written through. */
  RAW = 0x102,
}

const MAX_CAPABILITIES = 48;
/** Of an extended capability: its header, and the words that may say how long it is. */
const EXTENDED_LEAST = 12;

/** The virtual copy and the permissions of each byte, and the owner of each word: what a device's open builds (vfio.md 12.1, 13). */
export class ConfigMap {
  readonly copy: DataView;
  readonly virt: Uint8Array;
  readonly write: Uint8Array;
  readonly owner: Uint16Array;
  /** Where a word's capability begins. */
  readonly start: Uint16Array;
  /** Where the visible MSI and PCI Express capabilities are; 0: none. */
  private readonly at = new Map<number, number>();

  constructor(
    private readonly pci: PciDevice,
    readonly size: number,
  ) {
    this.copy = new DataView(new ArrayBuffer(size));
    this.virt = new Uint8Array(size);
    this.write = new Uint8Array(size).fill(0xff);
    this.owner = new Uint16Array(size / 4).fill(Owner.RAW);
    this.start = new Uint16Array(size / 4);
  }

  /** The visible capability of an id; 0: none. */
  capability(id: number): number {
    return this.at.get(id) ?? 0;
  }

  *build(): Step<void> {
    yield* this.claim(0, Pci.FIRST_CAP, Owner.HEADER);
    this.permit(0, HEADER_PERMISSIONS, Pci.FIRST_CAP);
    yield* this.walk();
    if (this.size > Pci.LEGACY_SIZE) yield* this.walkExtended();
  }

  /** The words of a capability: copied, and from now on only what is permitted is written. */
  private *claim(start: number, length: number, owner: number): Step<void> {
    for (let offset = start & ~3; offset < start + length; offset += 4) {
      this.owner[offset >> 2] = owner;
      this.start[offset >> 2] = start;
      this.copy.setInt32(offset, yield* this.pci.readConfig(offset, 4), true);
    }
    this.write.fill(0, start, start + length);
  }

  /** Of the fields that are inside `length`: a capability of an older version ends before the later ones. */
  private permit(base: number, fields: readonly Permission[], length: number): void {
    for (const { offset, size, virt, write } of fields)
      for (let i = 0; i < size && offset + i < length; i++) {
        this.virt[base + offset + i] = (virt >>> (8 * i)) & 0xff;
        this.write[base + offset + i] = (write >>> (8 * i)) & 0xff;
      }
  }

  /** The standard list; whoever is hidden is left out of the virtual links, and so is one that says it has no bytes or goes beyond its space. */
  private *walk(): Step<void> {
    const status = yield* this.pci.readConfig(Pci.STATUS, 2);
    this.copy.setUint8(Pci.CAP_POINTER, 0);
    if (!(status & Status.CAP_LIST)) return;
    let link: number = Pci.CAP_POINTER;
    let at = (yield* this.pci.readConfig(Pci.CAP_POINTER, 1)) & ~3;
    for (let left = MAX_CAPABILITIES; at >= Pci.FIRST_CAP && left > 0; left--) {
      const id = yield* this.pci.readConfig(at, 1);
      const rule = CAPABILITY_RULES.get(id);
      const next = (yield* this.pci.readConfig(at + 1, 1)) & ~3;
      const length = rule === undefined ? 0 : yield* this.lengthOf(at, rule);
      if (rule !== undefined && length > 0 && at + length <= Pci.LEGACY_SIZE) {
        yield* this.show(at, id, rule, length);
        this.copy.setUint8(link, at);
        link = at + 1;
        this.copy.setUint8(link, 0);
      }
      at = next;
    }
    if (link === Pci.CAP_POINTER) this.copy.setUint8(Pci.STATUS, this.copy.getUint8(Pci.STATUS) & ~Status.CAP_LIST);
  }

  private *show(at: number, id: number, rule: CapabilityRule, length: number): Step<void> {
    this.at.set(id, at);
    yield* this.claim(at, length, id);
    if (rule.isRaw) this.write.fill(0xff, at + 2, at + length);
    this.permit(at, rule.fields, length);
    this.virt[at + 1] = 0xff;
    this.write[at + 1] = 0;
    if (id === CapId.MSI) this.permit(at, msiPermissions(this.copy.getUint16(at + Msi.FLAGS, true)), length);
    // The user's view of power management events is that there are none.
    if (id === CapId.PM) for (const byte of [3, 5]) this.copy.setUint8(at + byte, this.copy.getUint8(at + byte) & ~this.virt[at + byte]);
    if (id === CapId.PM) this.copy.setUint8(at + 4, this.copy.getUint8(at + 4) & ~this.virt[at + 4]);
  }

  private *lengthOf(at: number, { length }: CapabilityRule): Step<number> {
    if (typeof length === "number") return length;
    const flags = yield* this.pci.readConfig(at + 2, 2);
    if (length === "msi") return msiLength(flags);
    if (length === "own") return flags & 0xff;
    if (length === "pcix") return (flags >> 12) & 3 ? 24 : 8;
    return (flags & 0xf) === 1 ? 0x14 : Exp.LENGTH;
  }

  /** A hidden first one cannot be unlinked: its header keeps only the next pointer. */
  private *walkExtended(): Step<void> {
    let before = 0;
    let at: number = Pci.LEGACY_SIZE;
    for (let left = MAX_EXTENDED; at >= Pci.LEGACY_SIZE && left > 0; left--) {
      const header = yield* this.pci.readConfig(at, 4);
      if (header === 0 || header === -1) return;
      const rule = EXTENDED_RULES.get(header & 0xffff);
      const next = (header >>> 20) & EXTENDED_NEXT;
      const length = rule === undefined || at + EXTENDED_LEAST > this.size ? 0 : yield* this.lengthOfExtended(at, rule);
      const isHidden = length === 0 || at + length > this.size;
      if (isHidden && before !== 0) this.link(before, next);
      else {
        yield* this.claim(at, isHidden ? 4 : length, Owner.EXTENDED);
        if (rule?.isRaw) this.write.fill(0xff, at + 4, at + length);
        if (rule !== undefined && !isHidden) this.permit(at, rule.fields, length);
        this.virt.fill(0xff, at, at + 4);
        if (isHidden) this.copy.setInt32(at, next << 20, true);
        before = at;
      }
      at = next;
    }
  }

  private link(at: number, next: number): void {
    this.copy.setInt32(at, (this.copy.getInt32(at, true) & 0x000f_ffff) | (next << 20), true);
  }

  private *lengthOfExtended(at: number, { length }: ExtendedRule): Step<number> {
    return typeof length === "number" ? length : yield* extendedLength(this.pci, at, length);
  }
}

const ALL = 0xffff_ffff;

/** 13.6: enable, sizes, address and data are virtual; masks and pending bits are the function's. */
function msiPermissions(flags: number): Permission[] {
  const is64 = (flags & Msi.IS_64) !== 0;
  const data = is64 ? Msi.DATA_64 : Msi.DATA_32;
  const fields: Permission[] = [
    { offset: Msi.FLAGS, size: 1, virt: ALL, write: ALL },
    { offset: Msi.ADDRESS_LO, size: 4, virt: ALL, write: ALL },
    { offset: data, size: 2, virt: ALL, write: ALL },
  ];
  if (is64) fields.push({ offset: Msi.ADDRESS_HI, size: 4, virt: ALL, write: ALL });
  if (flags & Msi.IS_MASKABLE) {
    fields.push({ offset: data + 4, size: 4, virt: 0, write: ALL });
    fields.push({ offset: data + 8, size: 4, virt: 0, write: ALL });
  }
  return fields;
}
