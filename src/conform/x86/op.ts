import { z } from "zod";
import { KVM_MAX_IRQ_ROUTES } from "../../uapi/kvm.js";
import { BAD_POINTER, CAPABILITY, DEVICE_TYPE, POINTER_REQUEST } from "./names.js";
import { integer, ioapicEntry, ioapicState, lapicState, MP_STATES, PIN, picState, word } from "./state.js";

// The operations of kvm-x86-irq.json and their arguments (conformance/README.md, "Operations").

const signed = z.number().int().min(-0x8000_0000).max(0x7fff_ffff);
const bit = z.number().int().min(0).max(1);
const as = z.string().describe("the name that the new descriptor, VM or vCPU gets");
const vm = z.string().optional().describe("default vm");
const vcpu = z.string().optional().describe("default vcpu0");
const fd = z.union([z.string(), signed]).describe("a name, or a number that is not open");
const flagged = <T extends readonly [string, ...string[]]>(names: T) => z.array(z.union([z.enum(names), word])).optional();
const namedOf = (names: Readonly<Record<string, number>>) => z.union([z.enum(Object.keys(names)), word]);

export const CHIP_NAMES = ["picMaster", "picSlave", "ioapic"] as const;
export type ChipName = (typeof CHIP_NAMES)[number];
const chip = z.union([z.enum(CHIP_NAMES), word]);

export const ROUTE_TYPES = ["irqchip", "msi", "s390Adapter", "hvSint", "xenEvtchn"] as const;
const routingEntry = z.strictObject({
  gsi: word.optional(),
  type: z.union([z.enum(ROUTE_TYPES), word]),
  flags: word.optional(),
  pad: word.optional(),
  irqchip: chip.optional(),
  pin: word.optional(),
  addressLo: word.optional(),
  addressHi: word.optional(),
  data: word.optional(),
  devid: word.optional(),
});

export const GUEST_ACTIONS = [
  "nop",
  "sti",
  "cli",
  "iret",
  "hlt",
  "stiHlt",
  "ud2",
  "run",
  "cpuid",
  "mmioRead8",
  "mmioRead16",
  "mmioRead32",
  "mmioWrite8",
  "mmioWrite16",
  "mmioWrite32",
  "in8",
  "in16",
  "in32",
  "out8",
  "out16",
  "out32",
  "rdmsr",
  "wrmsr",
] as const;

const attribute = {
  dev: z.string(),
  group: word,
  attr: integer,
  flags: word.optional(),
  addr: z.union([z.literal("buf"), z.number().int().min(0), z.strictObject({ fd })]).optional().describe('"buf": valid memory; {fd}: a pointer to that descriptor; 0: null'),
};

/** The arguments of every operation. */
export const X86_ARGS = {
  createVm: z.strictObject({ as: as.optional(), type: word.optional() }),
  createIrqchip: z.strictObject({ vm }),
  createPit2: z.strictObject({ vm, flags: word.optional() }),
  createVcpu: z.strictObject({ vm, id: word, as: as.optional() }),
  setBootCpuId: z.strictObject({ vm, id: word }),
  checkExtension: z.strictObject({ vm, cap: namedOf(CAPABILITY), on: z.literal("kvm").optional() }),
  enableCap: z.strictObject({ vm, cap: namedOf(CAPABILITY), args: z.array(z.number().int().min(0)).max(4).optional(), flags: word.optional() }),
  eventfd: z.strictObject({ as, init: word.optional(), flags: flagged(["EFD_NONBLOCK", "EFD_SEMAPHORE"]) }),
  writeEventfd: z.strictObject({ fd: z.string(), value: integer.optional().describe("default 1") }),
  readEventfd: z.strictObject({ fd: z.string() }),
  dupFd: z.strictObject({ fd: z.string(), as }),
  closeFd: z.strictObject({ fd: z.string() }),
  openFile: z.strictObject({ as, path: z.literal("/dev/null") }),
  pipe: z.strictObject({ as: as.describe("the ends are NAME.r and NAME.w") }),
  irqfd: z.strictObject({ vm, fd, gsi: word, flags: flagged(["DEASSIGN", "RESAMPLE"]), resamplefd: fd.optional() }),
  ioeventfd: z.strictObject({ vm, fd, addr: integer, len: word, flags: flagged(["DATAMATCH", "PIO", "DEASSIGN"]), datamatch: integer.optional() }),
  irqLine: z.strictObject({ vm, gsi: word, level: word }),
  irqLineStatus: z.strictObject({ vm, gsi: word, level: word }),
  setGsiRouting: z.strictObject({
    vm,
    flags: word.optional(),
    nr: word.optional().describe("overrides the number of entries"),
    entries: z.union([z.array(routingEntry).max(KVM_MAX_IRQ_ROUTES + 1), z.strictObject({ count: z.number().int().min(0).max(KVM_MAX_IRQ_ROUTES + 1), firstGsi: word, template: routingEntry })]),
  }),
  signalMsi: z.strictObject({ vm, addressLo: word, addressHi: word.optional(), data: word, flags: word.optional(), devid: word.optional() }),
  getIrqchip: z.strictObject({ vm, chip }),
  setIrqchip: z.strictObject({
    vm,
    chip,
    state: z.union([
      z.strictObject({ ...ioapicState.partial().shape, redirtbl: z.record(z.string().regex(PIN), ioapicEntry.partial().strict()).optional() }),
      picState.partial().strict(),
    ]),
  }),
  getLapic: z.strictObject({ vcpu }),
  setLapic: z.strictObject({ vcpu, state: lapicState.partial().strict() }),
  getApicBase: z.strictObject({ vcpu }),
  setApicBase: z.strictObject({ vcpu, value: integer }),
  setCpuid: z.strictObject({ vcpu, x2apic: bit }),
  getMpState: z.strictObject({ vcpu }),
  setMpState: z.strictObject({ vcpu, state: z.union([z.enum(MP_STATES), word]) }),
  getVcpuEvents: z.strictObject({ vcpu }),
  interrupt: z.strictObject({ vcpu, irq: signed }),
  nmi: z.strictObject({ vcpu }),
  createDevice: z.strictObject({ vm, type: namedOf(DEVICE_TYPE), flags: z.union([z.literal("TEST"), word]).optional(), as: as.optional() }),
  hasDeviceAttr: z.strictObject(attribute),
  setDeviceAttr: z.strictObject(attribute),
  getDeviceAttr: z.strictObject(attribute),
  badPointer: z
    .strictObject({ on: fd, request: z.enum(Object.keys(POINTER_REQUEST)), pointer: z.enum(Object.keys(BAD_POINTER) as (keyof typeof BAD_POINTER)[]) })
    .describe("KVM_request with a pointer to nothing; in generated sequences"),
  guestInit: z.strictObject({ vm, vcpu }),
  guest: z.strictObject({ vcpu, do: z.enum(GUEST_ACTIONS), addr: word.optional(), port: z.number().int().min(0).max(0xffff).optional(), value: integer.optional() }),
  sleep: z.strictObject({ ms: z.number().int().min(0).max(10_000) }),
};

export type X86OpName = keyof typeof X86_ARGS;
export type X86Args<T extends X86OpName> = z.infer<(typeof X86_ARGS)[T]>;
export type RoutingEntryArgs = z.infer<typeof routingEntry>;
export type GuestAction = (typeof GUEST_ACTIONS)[number];
