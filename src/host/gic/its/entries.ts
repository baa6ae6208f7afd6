import { NO_DOORBELL } from "../../../arch/gic/its-command.js";
import { physicalAddress } from "../../../arch/gic/physical-address.js";
import type { HostRam } from "./host-ram.js";

// Entries of an ITS's tables. Their formats are the implementation's own: nothing but the ITS reads them.

/** Bytes. An interrupt translation entry has GITS_TYPER's 12. */
export const DEVICE_ENTRY = 8;
export const COLLECTION_ENTRY = 8;
export const ITT_ENTRY = 12;
export const VPE_ENTRY_40 = 8;
export const VPE_ENTRY_41 = 32;

const VALID = 1;
/** Of a vPE of 4.1: byte offset of the groups that its doorbell is to ring for. */
const ASKED = 20;

/** 2^bits, 2^31 at most. */
const idsOf = (bits: number): number => (bits > 30 ? 2 ** 31 : 1 << bits);

/** The first word of each says whether it holds anything. */
export const isValidEntry = (ram: HostRam, address: number): boolean => (ram.word(address) & VALID) !== 0;

/** A device: word 0 ITT [31:8], event bits less one [5:1], valid 0; word 1 ITT [51:32]. */
export class DeviceEntry {
  itt = 0;
  /** Its event ids are below. */
  events = 0;
  /** The words that this was decoded from. */
  private word0 = 0;
  private word1 = 0;

  load(ram: HostRam, address: number): boolean {
    const word = ram.word(address);
    if ((word & VALID) === 0) return false;
    const next = ram.word(address + 4);
    if (word === this.word0 && next === this.word1) return true;
    this.word0 = word;
    this.word1 = next;
    this.itt = physicalAddress(next & 0xfffff, word & 0xffffff00);
    this.events = idsOf(((word >>> 1) & 0x1f) + 1);
    return true;
  }

  static store(ram: HostRam, address: number, isValid: boolean, sizeField: number, itt: number): void {
    ram.setWord(address, isValid ? (itt % 2 ** 32 | 0) | (sizeField << 1) | VALID : 0);
    ram.setWord(address + 4, isValid ? Math.floor(itt / 2 ** 32) : 0);
  }
}

/** A collection: its redistributor's number, -1 where there is none. */
export function collectionAt(ram: HostRam, address: number): number {
  const word = ram.word(address);
  return (word & VALID) === 0 ? -1 : word >>> 1;
}

export function storeCollection(ram: HostRam, address: number, redistributor: number): void {
  ram.setWord(address, redistributor < 0 ? 0 : (redistributor << 1) | VALID);
}

/** An event: word 0 INTID [25:2], virtual 1, valid 0; word 1 collection or vPE; word 2 doorbell. */
export class InterruptEntry {
  intid = 0;
  isVirtual = false;
  /** Collection id, or of a virtual one the vPE's. */
  target = 0;
  doorbell = 0;

  load(ram: HostRam, address: number): boolean {
    const word = ram.word(address);
    if ((word & VALID) === 0) return false;
    this.intid = word >>> 2;
    this.isVirtual = (word & 2) !== 0;
    this.target = ram.word(address + 4);
    this.doorbell = this.isVirtual ? ram.word(address + 8) : NO_DOORBELL;
    return true;
  }

  store(ram: HostRam, address: number): void {
    ram.setWord(address, (this.intid << 2) | (this.isVirtual ? 2 : 0) | VALID);
    ram.setWord(address + 4, this.target);
    ram.setWord(address + 8, this.doorbell);
  }

  static clear(ram: HostRam, address: number): void {
    ram.setWord(address, 0);
  }
}

/**
 * A vPE: word 0 VPT [31:16], redistributor [15:6], ID bits less one [5:1], valid 0; word 1 VPT [51:32]. 4.1: then VCONF,
 * doorbell, and whether that was asked for and has not rung since.
 */
export class VpeRecord {
  redistributor = 0;
  vpt = 0;
  /** Bits of its LPIs' INTIDs, and what these are below. */
  idBits = 0;
  endLpi = 0;
  /** 4.1. */
  configuration = 0;
  /** 4.1: the default doorbell. */
  doorbell = 0;
  /** The words that this was decoded from. */
  private word0 = 0;
  private word1 = 0;

  load(ram: HostRam, address: number, is41: boolean): boolean {
    const word = ram.word(address);
    if ((word & VALID) === 0) return false;
    const next = ram.word(address + 4);
    if (!is41 && word === this.word0 && next === this.word1) return true;
    this.word0 = word;
    this.word1 = next;
    this.redistributor = (word >>> 6) & 0x3ff;
    this.vpt = physicalAddress(next & 0xfffff, word & 0xffff0000);
    this.idBits = ((word >>> 1) & 0x1f) + 1;
    this.endLpi = idsOf(this.idBits);
    if (is41) {
      this.configuration = physicalAddress(ram.word(address + 12) & 0xfffff, ram.word(address + 8) & 0xffff0000);
      this.doorbell = ram.word(address + 16);
    }
    return true;
  }

  store(ram: HostRam, address: number, is41: boolean): void {
    ram.setWord(address, (this.vpt % 2 ** 32 | 0) | (this.redistributor << 6) | ((this.idBits - 1) << 1) | VALID);
    ram.setWord(address + 4, Math.floor(this.vpt / 2 ** 32));
    this.word0 = 0; // what was stored is decoded anew
    if (!is41) return;
    ram.setWord(address + 8, this.configuration % 2 ** 32 | 0);
    ram.setWord(address + 12, Math.floor(this.configuration / 2 ** 32));
    ram.setWord(address + 16, this.doorbell);
  }

  static clear(ram: HostRam, address: number): void {
    ram.setWord(address, 0);
  }

  /**
   * 4.1: the vPE leaves and asks for its doorbell, for what comes in one of these groups (bit 0: group 0); or is back, and
   * asks for none. That is its own, whoever is resident meanwhile and wherever it is moved to.
   */
  static ask(ram: HostRam, address: number, groups: number): void {
    ram.setWord(address + ASKED, groups);
  }

  /** 4.1: takes the one ring that was asked for. */
  static takeRing(ram: HostRam, address: number, group: 0 | 1): boolean {
    if (((ram.word(address + ASKED) >>> group) & 1) === 0) return false;
    VpeRecord.ask(ram, address, 0);
    return true;
  }
}
