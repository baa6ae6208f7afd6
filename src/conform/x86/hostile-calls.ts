import { CAPABILITY, POINTER_REQUEST } from "./names.js";
import type { Chooser } from "./random.js";
import { EVENTFDS, HOSTILE_GSIS, type Make, message, PINS, RESAMPLEFDS } from "./random-calls.js";
import type { X86Call } from "./vector.js";

// Calls that nobody should make: descriptors of the wrong kind, closed or never open; pointers to nothing; flags, GSIs and
// counts out of range.

/** Every kind of descriptor, closed ones and names that nothing has; -1 and 9999 are plain numbers that are not open. */
const ANY = ["vm", "vcpu0", "kvm", "dev", "e0", "e1", "null", "p.r", "p.w", "closed", "nobody"];
const NUMBERS = [-1, 9999, 0x7fff_ffff];
const any = (c: Chooser): string => c.of(ANY);
const anyFd = (c: Chooser): string | number => (c.oneIn(5) ? c.of(NUMBERS) : any(c));
const REQUESTS = Object.keys(POINTER_REQUEST);
/** What is no flag of any of these calls. */
const WRONG_FLAGS = [4, 8, 0x80, 0x8000_0000, 0xffff_ffff];
const WRONG_COUNTS = [4096, 4097, 5000, 0x10_0000, 0xffff_ffff];

/** What the others work on. */
export const prepared: X86Call[] = [
  { op: "pipe", args: { as: "p" } },
  { op: "openFile", args: { as: "null", path: "/dev/null" } },
  { op: "eventfd", args: { as: "closed" } },
  { op: "closeFd", args: { fd: "closed" } },
  { op: "createDevice", args: { type: "VFIO", as: "dev" } },
];

export const badPointer: Make = (c) => ({ op: "badPointer", args: { on: c.weighted([[4, "vm"], [4, "vcpu0"], [2, "dev"], [1, "kvm"], [1, any(c)]]), request: c.of(REQUESTS), pointer: c.of(["null", "low", "kernel"] as const) } });

/** A request to a VM, made on what is none. */
export const onNoVm: Make = (c) => {
  const vm = any(c);
  return c.of<() => X86Call>([
    () => ({ op: "irqLine", args: { vm, gsi: 5, level: 0 } }),
    () => ({ op: "irqLineStatus", args: { vm, gsi: 5, level: c.below(2) } }),
    () => ({ op: "signalMsi", args: { vm, ...message(c) } }),
    () => ({ op: "setGsiRouting", args: { vm, entries: [{ gsi: 30, type: "msi", ...message(c) }] } }),
    () => ({ op: "irqfd", args: { vm, fd: "e0", gsi: 5 } }),
    () => ({ op: "ioeventfd", args: { vm, fd: "e0", addr: 0xd000_0000, len: 4 } }),
    () => ({ op: "getIrqchip", args: { vm, chip: "ioapic" } }),
    () => ({ op: "setIrqchip", args: { vm, chip: "picMaster", state: {} } }),
    () => ({ op: "createIrqchip", args: { vm } }),
    () => ({ op: "createDevice", args: { vm, type: "VFIO", flags: "TEST" } }),
    () => ({ op: "createPit2", args: { vm, flags: c.of([0, 1, 2]) } }),
    () => ({ op: "enableCap", args: { vm, cap: "SPLIT_IRQCHIP", args: [24] } }),
    () => ({ op: "setBootCpuId", args: { vm, id: 1 } }),
  ])();
};

/** A request to a vCPU, made on what is none. */
export const onNoVcpu: Make = (c) => {
  const vcpu = c.of(ANY.filter((each) => each !== "vcpu0"));
  return c.of<X86Call>([
    { op: "getLapic", args: { vcpu } },
    { op: "setLapic", args: { vcpu, state: { tpr: 0x20 } } },
    { op: "getMpState", args: { vcpu } },
    { op: "setMpState", args: { vcpu, state: "runnable" } },
    { op: "getVcpuEvents", args: { vcpu } },
    { op: "interrupt", args: { vcpu, irq: 0x41 } },
    { op: "nmi", args: { vcpu } },
    { op: "getApicBase", args: { vcpu } },
    { op: "setCpuid", args: { vcpu, x2apic: 1 } },
  ]);
};

/** read(2), write(2), dup(2), close(2) on anything. A VM or vCPU is closed under what is still bound to it. */
export const descriptors: Make = (c) =>
  c.of<() => X86Call>([
    () => ({ op: "writeEventfd", args: { fd: any(c), ...(c.oneIn(2) ? { value: c.of<number | string>([0, 1, "0xfffffffffffffffe", "0xffffffffffffffff"]) } : {}) } }),
    () => ({ op: "readEventfd", args: { fd: any(c) } }),
    () => ({ op: "dupFd", args: { fd: any(c), as: c.of(["d", "e1"]) } }),
    () => ({ op: "closeFd", args: { fd: c.of(["e0", "e1", "d", "p.r", "closed", "nobody", "dev", "null"]) } }),
    () => ({ op: "eventfd", args: { as: c.of(["e0", "e1"]), flags: c.of([["EFD_SEMAPHORE"], [2], [0x80], [0x4000_0000]] as ("EFD_SEMAPHORE" | number)[][]) } }),
    () => ({ op: "pipe", args: { as: "p" } }),
  ])();

/** irqfds and ioeventfds of descriptors that are none, with flags that are none. */
export const irqfds: Make = (c) =>
  c.of<() => X86Call>([
    () => ({ op: "irqfd", args: { fd: anyFd(c), gsi: c.of([...PINS, ...HOSTILE_GSIS]), ...(c.oneIn(3) ? { flags: [c.of(WRONG_FLAGS)] } : {}) } }),
    () => ({ op: "irqfd", args: { fd: c.oneIn(2) ? c.of(EVENTFDS) : anyFd(c), gsi: c.of(PINS), flags: ["RESAMPLE"], resamplefd: c.oneIn(4) ? c.of(RESAMPLEFDS) : anyFd(c) } }),
    () => ({ op: "irqfd", args: { fd: anyFd(c), gsi: c.of(PINS), flags: c.of([["DEASSIGN"], ["DEASSIGN", "RESAMPLE"], ["DEASSIGN", 4]] as ("DEASSIGN" | "RESAMPLE" | number)[][]) } }),
    () => ({ op: "ioeventfd", args: { fd: anyFd(c), addr: c.of<number | string>([0xd000_0000, "0xffffffffffffffff"]), len: c.of([0, 4, 16, 0xffff_ffff]), flags: c.of([[], ["DATAMATCH"], [c.of(WRONG_FLAGS)]] as ("DATAMATCH" | number)[][]) } }),
  ])();

/** Tables too long, or with an entry that spoils them. */
export const routing: Make = (c) =>
  c.of<() => X86Call>([
    () => ({ op: "setGsiRouting", args: { entries: [], nr: c.of(WRONG_COUNTS) } }),
    () => ({ op: "setGsiRouting", args: { entries: { count: c.of([1000, 4096, 4097]), firstGsi: c.of([0, 1, 4000]), template: { type: "msi", ...message(c) } } } }),
    () => ({ op: "setGsiRouting", args: { entries: [{ gsi: c.of(HOSTILE_GSIS), type: "msi", ...message(c) }], ...(c.oneIn(2) ? { flags: c.of([1, 0x8000_0000]) } : {}) } }),
    () => ({ op: "setGsiRouting", args: { entries: [{ gsi: 30, type: c.of<"hvSint" | "xenEvtchn" | "s390Adapter" | number>(["s390Adapter", 0, 6, 0xffff_ffff]) }] } }),
    () => ({ op: "setGsiRouting", args: { entries: [{ gsi: 30, type: "msi", ...message(c), flags: c.of([1, 2, 0xffff_ffff]), devid: 7, pad: 0xffff_ffff }] } }),
    () => ({ op: "setGsiRouting", args: { entries: [0, 1].map(() => ({ gsi: 5, type: c.of(["irqchip", "msi"] as const), irqchip: c.of(["ioapic", "picMaster"] as const), pin: 5, addressLo: 0xfee0_0000, data: 0x41 })) } }),
  ])();

/** Arguments out of range to what is otherwise right. */
export const values: Make = (c) =>
  c.of<() => X86Call>([
    () => ({ op: "signalMsi", args: { ...message(c), flags: c.of(WRONG_FLAGS), devid: 1 } }),
    () => ({ op: "irqLineStatus", args: { gsi: c.of(HOSTILE_GSIS), level: c.of([0, 1, 0xffff_ffff]) } }),
    () => ({ op: "getIrqchip", args: { chip: c.of([3, 255, 0xffff_ffff]) } }),
    () => ({ op: "setIrqchip", args: { chip: c.of([3, 255, 0xffff_ffff]), state: {} } }),
    () => ({ op: "createVcpu", args: { id: c.of([0, 255, 4095, 4096, 0x7fff_ffff, 0xffff_ffff]), as: "extra" } }),
    () => ({ op: "setMpState", args: { state: c.of([4, 5, 6, 7, 10, 99, 0xffff_ffff]) } }),
    () => ({ op: "interrupt", args: { irq: c.of([-1, 256, 0x1_0000]) } }),
    () => ({ op: "enableCap", args: { cap: c.of<string | number>(["SPLIT_IRQCHIP", "X2APIC_API", "IRQFD", 0, 0xffff_ffff]), args: [c.of([0, 4, 8, 4097, 2 ** 40])], flags: c.of([0, 1, 0xffff_ffff]) } }),
    () => ({ op: "createDevice", args: { type: c.of<string | number>(["VFIO", "XICS", "ARM_VGIC_ITS", "RISCV_AIA", 0, 15, 0xffff_ffff]), flags: c.of<"TEST" | number>(["TEST", 2, 0xffff_ffff]), as: "other" } }),
    () => ({ op: "setBootCpuId", args: { id: c.of([0, 4096, 0xffff_ffff]) } }),
    () => ({ op: "checkExtension", args: { cap: c.oneIn(2) ? c.below(250) : c.of(Object.keys(CAPABILITY)), ...(c.oneIn(2) ? { on: "kvm" as const } : {}) } }),
    () => ({ op: "createVm", args: { as: "protected", type: c.of([1, 2, 5, 0x8000_0000]) } }),
  ])();

/** Attributes of a device, or of what is none, through pointers of every kind. */
export const attributes: Make = (c) => {
  const args = { dev: c.oneIn(3) ? any(c) : "dev", group: c.of([0, 1, 2, 9, 0xffff_ffff]), attr: c.of<number | string>([0, 1, 2, 3, 4, "0xffffffffffffffff"]), addr: c.of(["buf" as const, 0, 8, { fd: -1 }, { fd: "null" }, { fd: "e0" }, { fd: "closed" }, { fd: "vm" }]), ...(c.oneIn(4) ? { flags: 1 } : {}) };
  return { op: c.of(["hasDeviceAttr", "setDeviceAttr", "getDeviceAttr"] as const), args };
};
