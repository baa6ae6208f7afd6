import { kvm_ioapic_state, kvm_pic_state, kvm_vcpu_events, KVM_IOAPIC_NUM_PINS, LAPIC_REGISTER } from "../../uapi/x86.js";
import type { IoapicEntry, IoapicState, LapicState, PicState, VcpuEvents } from "./state.js";

// Between the bytes that KVM's ioctls carry and the decoded state of vectors. "overlay" writes only the fields given, of the IOAPIC
// whole entries.

/** Some of the fields. */
export type Overlay<T> = { readonly [field in keyof T]?: T[field] | undefined };

const PIC_FIELDS = [
  ["lastIrr", kvm_pic_state.last_irr],
  ["irr", kvm_pic_state.irr],
  ["imr", kvm_pic_state.imr],
  ["isr", kvm_pic_state.isr],
  ["priorityAdd", kvm_pic_state.priority_add],
  ["irqBase", kvm_pic_state.irq_base],
  ["readRegSelect", kvm_pic_state.read_reg_select],
  ["poll", kvm_pic_state.poll],
  ["specialMask", kvm_pic_state.special_mask],
  ["initState", kvm_pic_state.init_state],
  ["autoEoi", kvm_pic_state.auto_eoi],
  ["rotateOnAutoEoi", kvm_pic_state.rotate_on_auto_eoi],
  ["specialFullyNested", kvm_pic_state.special_fully_nested_mode],
  ["init4", kvm_pic_state.init4],
  ["elcr", kvm_pic_state.elcr],
  ["elcrMask", kvm_pic_state.elcr_mask],
] as const;

export const decodePic = (view: DataView, at: number): PicState => Object.fromEntries(PIC_FIELDS.map(([name, field]) => [name, field.get(view, at)])) as PicState;

export function overlayPic(view: DataView, at: number, state: Overlay<PicState>): void {
  for (const [name, field] of PIC_FIELDS) {
    const value = state[name];
    if (value !== undefined) field.set(view, value, at);
  }
}

type EntryBits = Exclude<keyof IoapicEntry, "otherBits">;
/** Bit and width of the fields of a redirection entry (x86-irqchip.md 5.2). */
const ENTRY_BITS: readonly (readonly [EntryBits, number, number])[] = [
  ["vector", 0, 8],
  ["deliveryMode", 8, 3],
  ["destMode", 11, 1],
  ["deliveryStatus", 12, 1],
  ["polarity", 13, 1],
  ["remoteIrr", 14, 1],
  ["trigMode", 15, 1],
  ["mask", 16, 1],
  ["destId", 56, 8],
];
const RESET_ENTRY = 0x10000n;
const OTHER_BITS = ENTRY_BITS.reduce((bits, [, at, width]) => bits & ~(((1n << BigInt(width)) - 1n) << BigInt(at)), 0xffff_ffff_ffff_ffffn);

function decodeEntry(entry: bigint): IoapicEntry {
  const fields = ENTRY_BITS.map(([name, at, width]) => [name, Number((entry >> BigInt(at)) & ((1n << BigInt(width)) - 1n))]);
  const others = entry & OTHER_BITS;
  return { ...(Object.fromEntries(fields) as IoapicEntry), ...(others === 0n ? {} : { otherBits: `0x${others.toString(16)}` }) };
}

/** Fields that are not given are 0. */
function entryOf(state: Overlay<IoapicEntry>): bigint {
  let entry = state.otherBits === undefined ? 0n : BigInt(state.otherBits) & OTHER_BITS;
  for (const [name, at, width] of ENTRY_BITS) {
    const value = state[name];
    const mask = ((1n << BigInt(width)) - 1n) << BigInt(at);
    if (value !== undefined) entry |= (BigInt(value) << BigInt(at)) & mask;
  }
  return entry;
}

export function decodeIoapic(view: DataView, at: number): IoapicState {
  const redirtbl: Record<string, IoapicEntry> = {};
  for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
    const entry = kvm_ioapic_state.redirtbl[pin].getBig(view, at);
    if (entry !== RESET_ENTRY) redirtbl[pin] = decodeEntry(entry);
  }
  return {
    baseAddress: integerOf(kvm_ioapic_state.base_address.getBig(view, at)),
    ioregsel: kvm_ioapic_state.ioregsel.get(view, at),
    id: kvm_ioapic_state.id.get(view, at),
    irr: kvm_ioapic_state.irr.get(view, at),
    redirtbl,
  };
}

export type IoapicOverlay = Overlay<Omit<IoapicState, "redirtbl">> & { readonly redirtbl?: Readonly<Record<string, Overlay<IoapicEntry>>> | undefined };

export function overlayIoapic(view: DataView, at: number, state: IoapicOverlay): void {
  if (state.baseAddress !== undefined) kvm_ioapic_state.base_address.setBig(view, BigInt(state.baseAddress), at);
  if (state.ioregsel !== undefined) kvm_ioapic_state.ioregsel.set(view, state.ioregsel, at);
  if (state.id !== undefined) kvm_ioapic_state.id.set(view, state.id, at);
  if (state.irr !== undefined) kvm_ioapic_state.irr.set(view, state.irr, at);
  for (const [pin, fields] of Object.entries(state.redirtbl ?? {})) {
    const entry = kvm_ioapic_state.redirtbl[Number(pin)];
    entry.setBig(view, entryOf(fields), at);
  }
}

type LapicWord = Exclude<keyof LapicState, "isr" | "tmr" | "irr">;
const LAPIC_WORDS: readonly (readonly [LapicWord, number])[] = [
  ...(Object.entries(LAPIC_REGISTER).filter(([name]) => !["isr", "tmr", "irr", "ppr"].includes(name)) as [LapicWord, number][]),
  ["pprLazy", LAPIC_REGISTER.ppr],
];
const LAPIC_BITMAPS = ["isr", "tmr", "irr"] as const;
const wordOf = (vector: number): number => (vector >> 5) * 0x10;

export function decodeLapic(view: DataView): LapicState {
  const words = Object.fromEntries(LAPIC_WORDS.map(([name, offset]) => [name, view.getUint32(offset, true)]));
  const bitmaps = LAPIC_BITMAPS.map((name) => [name, vectorsOf(view, LAPIC_REGISTER[name])]);
  return { ...words, ...Object.fromEntries(bitmaps) } as LapicState;
}

function vectorsOf(view: DataView, base: number): number[] {
  const vectors: number[] = [];
  for (let vector = 0; vector < 256; vector++) if ((view.getUint32(base + wordOf(vector), true) >>> (vector & 31)) & 1) vectors.push(vector);
  return vectors;
}

export function overlayLapic(view: DataView, state: Overlay<LapicState>): void {
  for (const [name, offset] of LAPIC_WORDS) {
    const value = state[name];
    if (value !== undefined) view.setUint32(offset, value, true);
  }
  for (const name of LAPIC_BITMAPS) {
    const vectors = state[name];
    if (vectors === undefined) continue;
    for (let word = 0; word < 0x80; word += 0x10) view.setUint32(LAPIC_REGISTER[name] + word, 0, true);
    for (const vector of vectors) {
      const at = LAPIC_REGISTER[name] + wordOf(vector);
      view.setUint32(at, view.getUint32(at, true) | (1 << (vector & 31)), true);
    }
  }
}

export const decodeVcpuEvents = (view: DataView): VcpuEvents => ({
  interruptInjected: kvm_vcpu_events.interrupt.injected.get(view),
  interruptNr: kvm_vcpu_events.interrupt.nr.get(view),
  interruptSoft: kvm_vcpu_events.interrupt.soft.get(view),
  nmiInjected: kvm_vcpu_events.nmi.injected.get(view),
  nmiPending: kvm_vcpu_events.nmi.pending.get(view),
  nmiMasked: kvm_vcpu_events.nmi.masked.get(view),
});

/** A number, or a hexadecimal string from 2^53 on. */
export const integerOf = (value: bigint): number | string => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `0x${value.toString(16)}`);
