import { z } from "zod";
import { integer, ioapicEntry, ioapicState, lapicState, MP_STATES, picState } from "./x86-state.js";

// The operations of kvm-x86-irq.json and their arguments (conformance/README.md, "Operations").

const number = z.number().int();
const bit = z.number().int().min(0).max(1);
const as = z.string().describe("the name that the new descriptor, VM or vCPU gets");
const vm = z.string().optional().describe("default vm");
const vcpu = z.string().optional().describe("default vcpu0");
const fd = z.union([z.string(), number]).describe("a name, or a number that is not open");
const flagged = <T extends readonly [string, ...string[]]>(names: T) => z.array(z.union([z.enum(names), number])).optional();
const named = z.union([z.string(), number]);

export const CHIP_NAMES = ["picMaster", "picSlave", "ioapic"] as const;
export type ChipName = (typeof CHIP_NAMES)[number];
const chip = z.union([z.enum(CHIP_NAMES), number]);

export const ROUTE_TYPES = ["irqchip", "msi", "s390Adapter", "hvSint", "xenEvtchn"] as const;
const routingEntry = z.object({
  gsi: number.optional(),
  type: z.union([z.enum(ROUTE_TYPES), number]),
  flags: number.optional(),
  pad: number.optional(),
  irqchip: chip.optional(),
  pin: number.optional(),
  addressLo: number.optional(),
  addressHi: number.optional(),
  data: number.optional(),
  devid: number.optional(),
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
  group: number,
  attr: integer,
  flags: number.optional(),
  addr: z.union([z.literal("buf"), number, z.object({ fd })]).optional().describe('"buf": valid memory; {fd}: a pointer to that descriptor; 0: null'),
};

/** The arguments of every operation. */
export const X86_ARGS = {
  createVm: z.object({ as: as.optional(), type: number.optional() }),
  createIrqchip: z.object({ vm }),
  createPit2: z.object({ vm, flags: number.optional() }),
  createVcpu: z.object({ vm, id: number, as: as.optional() }),
  setBootCpuId: z.object({ vm, id: number }),
  checkExtension: z.object({ vm, cap: named, on: z.literal("kvm").optional() }),
  enableCap: z.object({ vm, cap: named, args: z.array(number).optional(), flags: number.optional() }),
  eventfd: z.object({ as, init: number.optional(), flags: flagged(["EFD_NONBLOCK", "EFD_SEMAPHORE"]) }),
  writeEventfd: z.object({ fd: z.string(), value: integer.optional().describe("default 1") }),
  readEventfd: z.object({ fd: z.string() }),
  dupFd: z.object({ fd: z.string(), as }),
  closeFd: z.object({ fd: z.string() }),
  openFile: z.object({ as, path: z.literal("/dev/null") }),
  pipe: z.object({ as: as.describe("the ends are NAME.r and NAME.w") }),
  irqfd: z.object({ vm, fd, gsi: number, flags: flagged(["DEASSIGN", "RESAMPLE"]), resamplefd: fd.optional() }),
  ioeventfd: z.object({ vm, fd, addr: integer, len: number, flags: flagged(["DATAMATCH", "PIO", "DEASSIGN"]), datamatch: integer.optional() }),
  irqLine: z.object({ vm, gsi: number, level: number }),
  irqLineStatus: z.object({ vm, gsi: number, level: number }),
  setGsiRouting: z.object({
    vm,
    flags: number.optional(),
    nr: number.optional().describe("overrides the number of entries"),
    entries: z.union([z.array(routingEntry), z.object({ count: number, firstGsi: number, template: routingEntry })]),
  }),
  signalMsi: z.object({ vm, addressLo: number, addressHi: number.optional(), data: number, flags: number.optional(), devid: number.optional() }),
  getIrqchip: z.object({ vm, chip }),
  setIrqchip: z.object({
    vm,
    chip,
    state: z.union([
      z.strictObject({ ...ioapicState.partial().shape, redirtbl: z.record(z.string(), ioapicEntry.partial()).optional() }),
      picState.partial().strict(),
    ]),
  }),
  getLapic: z.object({ vcpu }),
  setLapic: z.object({ vcpu, state: lapicState.partial() }),
  getApicBase: z.object({ vcpu }),
  setApicBase: z.object({ vcpu, value: integer }),
  setCpuid: z.object({ vcpu, x2apic: bit }),
  getMpState: z.object({ vcpu }),
  setMpState: z.object({ vcpu, state: z.union([z.enum(MP_STATES), number]) }),
  getVcpuEvents: z.object({ vcpu }),
  interrupt: z.object({ vcpu, irq: number }),
  nmi: z.object({ vcpu }),
  createDevice: z.object({ vm, type: named, flags: z.union([z.literal("TEST"), number]).optional(), as: as.optional() }),
  hasDeviceAttr: z.object(attribute),
  setDeviceAttr: z.object(attribute),
  getDeviceAttr: z.object(attribute),
  guestInit: z.object({ vm, vcpu }),
  guest: z.object({ vcpu, do: z.enum(GUEST_ACTIONS), addr: number.optional(), port: number.optional(), value: integer.optional() }),
  sleep: z.object({ ms: number }),
};

export type X86OpName = keyof typeof X86_ARGS;
export type X86Args<T extends X86OpName> = z.infer<(typeof X86_ARGS)[T]>;
export type RoutingEntryArgs = z.infer<typeof routingEntry>;
export type GuestAction = (typeof GUEST_ACTIONS)[number];
