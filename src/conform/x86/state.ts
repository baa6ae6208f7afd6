import { z } from "zod";

// What the answers of /dev/kvm say about the state of chips and vCPUs, decoded (conformance/README.md, "Form").

const byte = z.number().int().min(0).max(0xff);
export const word = z.number().int().min(0).max(0xffff_ffff);
const HEX = /^0x[0-9a-f]{1,16}$/i;
/** A pin of the IOAPIC, as a key. */
export const PIN = /^(1?\d|2[0-3])$/;
/** A number, or a hexadecimal string from 2^53 on. */
export const integer = z.union([z.number().int().min(0), z.string().regex(HEX)]);
const vectors = z.array(byte).describe("vectors whose bit is set, ascending");
const bit = z.number().int().min(0).max(1);

/** struct kvm_pic_state. */
export const picState = z.object({
  lastIrr: byte,
  irr: byte,
  imr: byte,
  isr: byte,
  priorityAdd: byte,
  irqBase: byte,
  readRegSelect: byte,
  poll: byte,
  specialMask: byte,
  initState: byte,
  autoEoi: byte,
  rotateOnAutoEoi: byte,
  specialFullyNested: byte,
  init4: byte,
  elcr: byte,
  elcrMask: byte,
});

export const ioapicEntry = z.object({
  vector: byte,
  deliveryMode: z.number().int().min(0).max(7),
  destMode: bit,
  deliveryStatus: bit,
  polarity: bit,
  remoteIrr: bit,
  trigMode: bit,
  mask: bit,
  destId: byte,
  otherBits: z.string().regex(HEX).optional().describe("the reserved bits, where any is set"),
});

/** struct kvm_ioapic_state. */
export const ioapicState = z.object({
  baseAddress: integer,
  ioregsel: word,
  id: word,
  irr: word,
  redirtbl: z.record(z.string().regex(PIN), ioapicEntry).describe("by pin; only entries that differ from reset (mask 1, all else 0)"),
});

/** struct kvm_lapic_state: raw registers; IRR, ISR and TMR as lists. */
export const lapicState = z.object({
  id: word,
  version: word,
  tpr: word,
  apr: word,
  ldr: word,
  dfr: word,
  svr: word,
  esr: word,
  lvtCmci: word,
  icrLo: word,
  icrHi: word,
  lvtTimer: word,
  lvtThermal: word,
  lvtPerf: word,
  lvtLint0: word,
  lvtLint1: word,
  lvtError: word,
  timerInitial: word,
  timerDivide: word,
  pprLazy: word.describe("the stored PPR, which the kernel refreshes late: not compared"),
  isr: vectors,
  tmr: vectors,
  irr: vectors,
});

/** Of struct kvm_vcpu_events, what concerns interrupts. */
export const vcpuEvents = z.object({
  interruptInjected: byte,
  interruptNr: byte,
  interruptSoft: byte,
  nmiInjected: byte,
  nmiPending: byte,
  nmiMasked: byte,
});

export const MP_STATES = ["runnable", "uninitialized", "initReceived", "halted", "sipiReceived", "stopped"] as const;

/** What a guest's action brought about, in order. */
export const guestEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("intr"), vector: byte }).describe("the CPU took it; the interrupt flag is now off"),
  z.object({ type: z.literal("blocked"), mpState: z.string() }).describe("halted in the kernel"),
  z.object({ type: z.literal("exitHlt") }).describe("halted, and left KVM_RUN"),
  z.object({ type: z.literal("pioIn"), port: z.number().int(), size: byte }),
  z.object({ type: z.literal("pioOut"), port: z.number().int(), size: byte, value: word }),
  z.object({ type: z.literal("mmioRead"), addr: integer, len: byte }),
  z.object({ type: z.literal("mmioWrite"), addr: integer, len: byte, value: integer }),
  z.object({ type: z.literal("ioapicEoi"), vector: byte }).describe("KVM_EXIT_IOAPIC_EOI"),
  z.object({ type: z.literal("internalError"), suberror: word }).describe("KVM_EXIT_INTERNAL_ERROR: the vCPU cannot go on"),
]);

/** The decoded chips after a step. What is missing was not readable then, or was left out on purpose. */
export const chips = z.object({
  picMaster: picState.optional(),
  picSlave: picState.optional(),
  ioapic: ioapicState.optional(),
  lapic: z.record(z.string(), lapicState).optional().describe("by the vCPU's name"),
});

export type PicState = z.infer<typeof picState>;
export type IoapicEntry = z.infer<typeof ioapicEntry>;
export type IoapicState = z.infer<typeof ioapicState>;
export type LapicState = z.infer<typeof lapicState>;
export type VcpuEvents = z.infer<typeof vcpuEvents>;
export type MpState = (typeof MP_STATES)[number];
export type GuestEvent = z.infer<typeof guestEvent>;
export type X86Chips = z.infer<typeof chips>;
