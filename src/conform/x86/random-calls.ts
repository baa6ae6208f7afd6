import type { RoutingEntryArgs } from "./op.js";
import type { Chooser } from "./random.js";
import type { X86Call } from "./vector.js";

export type Make = (choose: Chooser) => X86Call;

// Calls of generated sequences but those that the guest makes (guest-calls.ts): they mostly mean something, sometimes nothing.

export const EVENTFDS = ["e0", "e1", "e2", "e3"];
export const RESAMPLEFDS = ["r0", "r1"];
const NO_EVENTFD = ["vm", "vcpu0", "null", "p.r", "nobody", -1, 9999];
export const PINS = [3, 4, 5, 8, 9, 10, 14];
/** Of these routing has 30 to 41. */
const MSI_GSIS = [30, 31, 34, 40];
export const HOSTILE_GSIS = [0, 2, 13, 16, 23, 24, 25, 100, 4095, 4096, 0x7fff_ffff, 0xffff_ffff];
export const VECTORS = [0x31, 0x32, 0x39, 0x41, 0x51, 0x52, 0x61, 0x71, 0x81, 0xa1, 0xf1];
const HOSTILE_VECTORS = [0, 2, 8, 15, 16, 31, 254, 255];

const gsi = (c: Chooser): number => (c.oneIn(12) ? c.of(HOSTILE_GSIS) : c.oneIn(4) ? c.of(MSI_GSIS) : c.of(PINS));
export const vector = (c: Chooser): number => (c.oneIn(15) ? c.of(HOSTILE_VECTORS) : c.of(VECTORS));
const eventfd = (c: Chooser): string | number => (c.oneIn(20) ? c.of(NO_EVENTFD) : c.of(EVENTFDS));
const resamplefd = (c: Chooser): string | number => (c.oneIn(20) ? c.of(NO_EVENTFD) : c.of(RESAMPLEFDS));
export const vcpu = (c: Chooser): string => (c.oneIn(3) ? c.of(["vcpu1", "vcpu2", "vcpu3"]) : "vcpu0");

/** Fixed, lowest priority, NMI, remote read, ExtINT: what leaves vCPU 0 able to go on with its guest. */
export const deliveryMode = (c: Chooser): number => c.weighted([[12, 0], [4, 1], [1, 4], [1, 3], [1, 7]]);
const destination = (c: Chooser): number => c.weighted([[10, 0], [4, 1], [2, 2], [2, 3], [1, 5], [2, 0xff], [1, 0x0f], [1, 0x31]]);

/** Address and data of an MSI; INIT and start-up go to other vCPUs than the guest's, by their ids 1 to 3 alone. */
export function message(c: Chooser): { addressLo: number; data: number } {
  if (c.oneIn(25)) return { addressLo: (0xfee0_0000 | (c.of([1, 2, 3]) << 12)) >>> 0, data: (c.of([5, 6]) << 8) | vector(c) | (c.below(2) << 14) };
  const address = 0xfee0_0000 | (destination(c) << 12) | (c.oneIn(6) ? 8 : 0) | (c.oneIn(4) ? 4 : 0);
  return { addressLo: address >>> 0, data: vector(c) | (deliveryMode(c) << 8) | (c.oneIn(4) ? 0x8000 : 0) | (c.oneIn(3) ? 0x4000 : 0) };
}

export const irqLine: Make = (c) => ({ op: c.oneIn(4) ? "irqLine" : "irqLineStatus", args: { gsi: gsi(c), level: c.oneIn(20) ? c.of([2, 0x8000_0000]) : c.below(2) } });
export const signalMsi: Make = (c) => ({
  op: "signalMsi",
  args: { ...message(c), ...(c.oneIn(12) ? { addressHi: c.of([1, 0x100, 0xffff_ff00]) } : {}), ...(c.oneIn(15) ? { flags: c.of([1, 2, 0x8000_0000]) } : {}) },
});
export const writeEventfd: Make = (c) => ({ op: "writeEventfd", args: { fd: c.of(EVENTFDS), ...(c.oneIn(8) ? { value: c.of([0, 2, 7]) } : {}) } });
export const readEventfd: Make = (c) => ({ op: "readEventfd", args: { fd: c.oneIn(3) ? c.of(EVENTFDS) : c.of(RESAMPLEFDS) } });
/** A resamplefd that is an irqfd's trigger too: one worker sets off another. */
export const assignChained: Make = (c) => ({ op: "irqfd", args: { fd: c.of(RESAMPLEFDS), gsi: c.of(PINS) } });
export const assign: Make = (c) => ({ op: "irqfd", args: { fd: eventfd(c), gsi: gsi(c), ...(c.oneIn(20) ? { flags: c.of([[4], [0x80], ["DEASSIGN", "RESAMPLE"]] as (number | "DEASSIGN" | "RESAMPLE")[][]) } : {}) } });
export const assignResample: Make = (c) => ({ op: "irqfd", args: { fd: eventfd(c), gsi: gsi(c), flags: ["RESAMPLE"], resamplefd: resamplefd(c) } });
export const deassign: Make = (c) => ({ op: "irqfd", args: { fd: eventfd(c), gsi: gsi(c), flags: ["DEASSIGN"] } });

const irqchipRoute = (c: Chooser): RoutingEntryArgs => {
  const pin = c.of(PINS);
  return c.oneIn(4) ? { gsi: pin, type: "irqchip", irqchip: "ioapic", pin: c.of(PINS) } : { gsi: pin, type: "irqchip", irqchip: pin < 8 ? "picMaster" : "picSlave", pin: pin & 7 };
};
const msiRoute = (c: Chooser): RoutingEntryArgs => ({ gsi: c.oneIn(15) ? c.of(PINS) : 30 + c.below(12), type: "msi", ...message(c), ...(c.oneIn(15) ? { flags: c.of([1, 2]) } : {}) });
const hostileRoute = (c: Chooser): RoutingEntryArgs =>
  c.of<RoutingEntryArgs>([
    { gsi: c.of(HOSTILE_GSIS), type: "irqchip", irqchip: "ioapic", pin: c.of([23, 24, 255]) },
    { gsi: 5, type: "irqchip", irqchip: "picSlave", pin: 8 },
    { gsi: 5, type: "irqchip", irqchip: c.of([3, 7]), pin: 1 },
    { gsi: 5, type: c.of([0, 3, 6, 99]) },
    { gsi: 5, type: "irqchip", irqchip: "ioapic", pin: 5, flags: 1 },
  ]);
export const setGsiRouting: Make = (c) => {
  const entries: RoutingEntryArgs[] = c.oneIn(3) ? [] : PINS.map((pin): RoutingEntryArgs => ({ gsi: pin, type: "irqchip", irqchip: "ioapic", pin }));
  for (let more = c.below(4); more > 0; more--) entries.push(c.oneIn(10) ? hostileRoute(c) : c.oneIn(3) ? irqchipRoute(c) : msiRoute(c));
  return { op: "setGsiRouting", args: { entries, ...(c.oneIn(25) ? { flags: 1 } : {}) } };
};
export const setMsiRouting: Make = (c) => ({ op: "setGsiRouting", args: { entries: Array.from({ length: 1 + c.below(3) }, () => (c.oneIn(15) ? hostileRoute(c) : msiRoute(c))) } });

/** A redirection entry that a test would use: level or edge, to a vCPU that is there. */
export const entry = (c: Chooser): { vector: number; mask: number; trigMode: number; destId: number; deliveryMode: number; destMode: number } => ({
  vector: vector(c),
  mask: c.oneIn(4) ? 1 : 0,
  trigMode: c.below(2),
  destId: destination(c),
  deliveryMode: deliveryMode(c),
  destMode: c.oneIn(5) ? 1 : 0,
});
export const setIoapic: Make = (c) => ({
  op: "setIrqchip",
  args: { chip: "ioapic", state: { redirtbl: { [c.of(PINS)]: entry(c) }, ...(c.oneIn(10) ? { irr: 1 << c.of(PINS) } : {}), ...(c.oneIn(25) ? { id: c.below(16), ioregsel: 0x12 } : {}), ...(c.oneIn(60) ? { baseAddress: 0xfec0_1000 } : {}) } },
});
/** Fields that only user space can write: remote IRR, delivery status, reserved bits. */
export const setIoapicState: Make = (c) => ({
  op: "setIrqchip",
  args: { chip: "ioapic", state: { irr: c.below(0x100_0000), redirtbl: { [c.of(PINS)]: { ...entry(c), remoteIrr: c.below(2), deliveryStatus: c.below(2), polarity: c.below(2), otherBits: c.of(["0x0", "0xfffffffe0000", "0x20000"]) } } } },
});
export const setPicState: Make = (c) => ({
  op: "setIrqchip",
  args: {
    chip: c.of(["picMaster", "picSlave"] as const),
    state: { lastIrr: c.below(256), irr: c.below(256), imr: c.of([0, 0xff, c.below(256)]), isr: c.of([0, c.below(256)]), priorityAdd: c.below(8), elcr: c.below(256), poll: c.below(2), initState: c.below(4), autoEoi: c.below(2), rotateOnAutoEoi: c.below(2), specialFullyNested: c.below(2), specialMask: c.below(2), readRegSelect: c.below(2) },
  },
});
export const setPic: Make = (c) => ({
  op: "setIrqchip",
  args: {
    chip: c.of(["picMaster", "picSlave"] as const),
    state: c.of([{ imr: c.of([0, 0xff, 0xfb, 0x5a]) }, { elcr: c.of([0, 0x20, 0x28]) }, { irr: c.below(256) }, { isr: 1 << c.below(8) }, { irqBase: c.of([0x20, 0x70]) }, { priorityAdd: c.below(8) }]),
  },
});
export const getIrqchip: Make = (c) => ({ op: "getIrqchip", args: { chip: c.of(["picMaster", "picSlave", "ioapic", 3, 255] as const) } });

/** What acceptance leaves behind, written out: the EOI that follows is a real one. */
export const setInService: Make = (c) => {
  const isr = c.of(VECTORS);
  return { op: "setLapic", args: { vcpu: vcpu(c), state: { isr: [isr], irr: c.some(VECTORS.filter((each) => each < isr)).slice(0, 2) } } };
};
export const setLapic: Make = (c) => ({
  op: "setLapic",
  args: {
    vcpu: vcpu(c),
    state: c.of([{ svr: 0x1ff }, { svr: 0xff }, { tpr: c.of([0, 0x30, 0x45, 0xff]) }, { svr: 0x1ff, ldr: c.of([1, 2, 4, 0x11]) * 0x100_0000, dfr: c.oneIn(3) ? 0x0fff_ffff : 0xffff_ffff }, { irr: c.some(VECTORS).slice(0, 3) }, { tmr: c.some(VECTORS) }, {}]),
  },
});
export const getLapic: Make = (c) => ({ op: "getLapic", args: { vcpu: vcpu(c) } });
export const mpState: Make = (c) => (c.oneIn(3) ? { op: "setMpState", args: { vcpu: "vcpu1", state: c.of(["halted", "runnable", "initReceived", "uninitialized", "sipiReceived", "stopped", 99] as const) } } : { op: "getMpState", args: { vcpu: vcpu(c) } });
export const nmi: Make = (c) => (c.oneIn(2) ? { op: "nmi", args: {} } : { op: "getVcpuEvents", args: {} });
export const interrupt: Make = (c) => ({ op: "interrupt", args: { irq: c.oneIn(6) ? c.of([256, -1, 0x7fff_ffff]) : c.of(VECTORS) } });
export const setLapicState: Make = (c) => ({
  op: "setLapic",
  args: { vcpu: vcpu(c), state: { irr: c.some([...VECTORS, ...HOSTILE_VECTORS]), isr: c.some(VECTORS).slice(0, 3), tmr: c.some(VECTORS), tpr: c.below(256), svr: c.of([0x1ff, 0xff, 0x11ff]), ...(c.oneIn(6) ? { id: (8 + c.below(248)) * 0x100_0000 } : {}), ...(c.oneIn(6) ? { version: 0x14 } : {}), ...(c.oneIn(4) ? { lvtLint0: c.of([0x700, 0x1_0700, 0x400, 0x41]), icrHi: 0x0200_0000 } : {}) } },
});
export const apicBase: Make = (c) => (c.oneIn(2) ? { op: "getApicBase", args: { vcpu: vcpu(c) } } : { op: "setApicBase", args: { vcpu: c.of(["vcpu1", "vcpu2"]), value: c.of([0xfee0_0900, 0xfee0_0d00, 0xfee0_0800, 0xfee0_0c00, 0xfee0_0400, 0xfee0_0000, 0xfee0_0801]) } });

export const ioeventfd: Make = (c) => ({
  op: "ioeventfd",
  args: {
    fd: eventfd(c),
    addr: c.of<number | string>([0x8_0000_0000, 0xd000_0000, 0x510, "0xfffffffffffffffc"]),
    len: c.of([0, 1, 2, 4, 8, 3]),
    flags: c.of([[], ["PIO"], ["DATAMATCH"], ["DEASSIGN"], ["PIO", "DATAMATCH"], ["DEASSIGN", "DATAMATCH"], [32]] as ("PIO" | "DATAMATCH" | "DEASSIGN" | number)[][]),
    ...(c.oneIn(2) ? { datamatch: c.of([1, 2, 0x101]) } : {}),
  },
});
export const descriptor: Make = (c) =>
  c.of<X86Call>([
    { op: "closeFd", args: { fd: c.of([...EVENTFDS, ...RESAMPLEFDS]) } },
    { op: "eventfd", args: { as: c.of([...EVENTFDS, ...RESAMPLEFDS]), ...(c.oneIn(3) ? { init: c.of([1, 5]) } : {}), ...(c.oneIn(4) ? { flags: ["EFD_SEMAPHORE"] } : {}) } },
    { op: "dupFd", args: { fd: c.of(EVENTFDS), as: "d" } },
    { op: "openFile", args: { as: "null", path: "/dev/null" } },
  ]);
export const device: Make = (c) =>
  c.of<X86Call>([
    { op: "createDevice", args: { type: c.of<string | number>(["VFIO", "XICS", "ARM_VGIC_V3", "FSL_MPIC_20", 0, 100]), as: "dev", ...(c.oneIn(3) ? { flags: "TEST" } : {}) } },
    { op: "hasDeviceAttr", args: { dev: c.of(["dev", "vm", "kvm", "e0"]), group: c.below(3), attr: c.below(4) } },
    { op: "setDeviceAttr", args: { dev: "dev", group: c.below(3), attr: c.below(4), addr: c.of(["buf" as const, 0, { fd: -1 }, { fd: "null" }, { fd: "e0" }]) } },
    { op: "getDeviceAttr", args: { dev: "dev", group: 1, attr: 1, addr: "buf" } },
  ]);
export const creation: Make = (c) =>
  c.of<X86Call>([
    { op: "createIrqchip", args: {} },
    { op: "createVcpu", args: { id: c.below(4) } },
    { op: "enableCap", args: { cap: "SPLIT_IRQCHIP", args: [c.of([0, 24, 4096, 4097])], flags: c.oneIn(5) ? 1 : 0 } },
    { op: "enableCap", args: { cap: "X2APIC_API", args: [c.of([0, 1, 2, 3, 16])] } },
    { op: "enableCap", args: { cap: c.of<string | number>(["IRQFD", 100_000]) } },
    { op: "checkExtension", args: { cap: c.of<string | number>(["IRQCHIP", "IRQ_ROUTING", "IRQFD_RESAMPLE", "SPLIT_IRQCHIP", "IOEVENTFD_NO_LENGTH", 100_000]) } },
    { op: "setBootCpuId", args: { id: c.below(3) } },
    { op: "createPit2", args: { flags: c.of([0, 1, 2]) } },
    { op: "pipe", args: { as: "p" } },
  ]);

export const x2apicApi: Make = (c) => ({ op: "enableCap", args: { cap: "X2APIC_API", args: [c.of([1, 2, 3])] } });
/** vCPUs of x2APIC and xAPIC side by side, ids of 32 bits or not. */
export const x2apicVcpu: Make = (c) => {
  const vcpuName = c.of(["vcpu0", "vcpu1", "vcpu2", "vcpu3"]);
  return c.oneIn(3) ? { op: "setCpuid", args: { vcpu: vcpuName, x2apic: 1 } } : { op: "setApicBase", args: { vcpu: vcpuName, value: c.weighted([[6, 0xfee0_0c00], [2, 0xfee0_0800], [1, 0xfee0_0000]]) } };
};
export const wideMsi: Make = (c) => ({
  op: "signalMsi",
  args: { addressLo: (0xfee0_0000 | (c.of([0, 1, 2, 3, 0x0f, 0xff]) << 12) | (c.below(2) << 2) | (c.oneIn(5) ? 8 : 0)) >>> 0, addressHi: c.of([0, 0, 0x100, 0xffff_ff00, 0x1_0000, 1]), data: c.of(VECTORS) | (c.oneIn(3) ? 0x100 : 0) },
});

/** A second VM beside the first: one eventfd can have but one irqfd. */
export const otherVm: Make = (c) =>
  c.of<X86Call>([
    { op: "createVm", args: { as: "b" } },
    { op: "createIrqchip", args: { vm: "b" } },
    { op: "createVcpu", args: { vm: "b", id: 0, as: "bcpu" } },
    { op: "irqfd", args: { vm: "b", fd: c.of(EVENTFDS), gsi: c.of(PINS) } },
    { op: "irqfd", args: { vm: "b", fd: c.of(EVENTFDS), gsi: c.of(PINS), flags: ["DEASSIGN"] } },
    { op: "irqfd", args: { vm: "b", fd: c.of(EVENTFDS), gsi: c.of(PINS), flags: ["RESAMPLE"], resamplefd: c.of(RESAMPLEFDS) } },
    { op: "irqLineStatus", args: { vm: "b", gsi: c.of(PINS), level: c.below(2) } },
    { op: "getIrqchip", args: { vm: "b", chip: c.of(["ioapic", "picMaster"] as const) } },
    { op: "closeFd", args: { fd: c.of(["b", "bcpu"]) } },
  ]);
