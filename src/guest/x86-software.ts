import { MSR_KVM_PV_EOI_EN } from "../uapi/x86.js";
import { X86DriverGuest } from "./x86-driver-guest.js";
import { X86Assembler, X86Op } from "./x86-op.js";

/** How the guest's kernel ends an interrupt; "pv": KVM's paravirtual way where it is offered, else as x2apic. */
export type X86Eoi = "xapic" | "x2apic" | "pv" | "pic";

/** An interrupt that the guest's driver serves. */
export interface X86Binding {
  readonly vector: number;
  /** Pin of the IOAPIC, or line of the PIC, of a level interrupt; null for a message. */
  readonly pin: number | null;
  /** Guest physical address of the register whose access services the device. */
  readonly address: number;
  readonly accessesPerService: number;
}

export interface X86SoftwareOptions {
  /** Guest physical address of the program: a page of the first megabyte, where a start-up message can send a CPU. */
  readonly base: number;
  /** CPUs, by their APIC ids from 0 on; the boot CPU is 0 and starts the others. Default 1. */
  readonly cpus?: number;
  /** Guest physical address of a free word: the paravirtual EOI's. */
  readonly scratch: number;
  readonly devices: readonly X86Binding[];
  /** What the drivers store before the boot CPU waits, in this order: guest physical address and word. Default nothing. */
  readonly stores?: readonly (readonly [address: number, value: number])[];
  readonly eoi: X86Eoi;
  readonly idle: "spin" | "hlt";
  /** The handler's own work, nanoseconds. */
  readonly handlerNs: number;
}

const APIC_BASE_MSR = 0x1b;
/** Base 0xfee00000, enabled, boot CPU; and x2APIC mode. */
const APIC_XAPIC = 0xfee0_0900 | 0;
const APIC_X2APIC = 0xfee0_0d00 | 0;
const APIC_BOOT_CPU = 1 << 8;
/** No CPU can have this id where ids have 8 bits. */
const XAPIC_BROADCAST = 0xff;
const XAPIC = 0xfee0_0000;
const X2APIC = 0x800;
const SPIV = 0xf0;
const LVT0 = 0x350;
const EOI = 0xb0;
const ICR = 0x300;
const ICR2 = 0x310;
/** Level-triggered INIT, asserted and de-asserted. */
const ICR_INIT = 0xc500;
const ICR_INIT_END = 0x8500;
/** The page where to begin is in the low byte. */
const ICR_STARTUP = 0x600;
const PAGE = 0x1000;
const MEGABYTE = 0x10_0000;
const SPIV_ENABLED = 0x1ff;
const LVT_MASKED = 0x1_0000;
const IOREGSEL = 0xfec0_0000;
const IOWIN = 0xfec0_0010;
const RTE_LEVEL = 1 << 15;
const PIC_MASTER = 0x20;
const PIC_SLAVE = 0xa0;
const ELCR = 0x4d0;
const PIC_EOI = 0x20;

/** The vector that the PIC of this guest gives a line of its first chip. */
export const PIC_BASE = 0x20;

/** A guest kernel with its drivers: the program, and where the boot CPU enters it. The others enter it at its base. */
export class X86Software {
  readonly guest: X86DriverGuest;
  readonly entry: number;

  constructor(readonly options: X86SoftwareOptions) {
    if (options.base % PAGE !== 0 || options.base >= MEGABYTE) throw new Error("no start-up message sends a CPU to the program's base");
    const code = new X86Assembler(options.base);
    writeOther(code, options.eoi);
    this.entry = code.here;
    writeBoot(code, options);
    for (const device of options.devices) writeHandler(code.handler(device.vector), device, options);
    code.otherHandlers().op(X86Op.IRET);
    this.guest = new X86DriverGuest(code.assemble());
  }
}

const usesMsrs = (eoi: X86Eoi): boolean => eoi === "x2apic" || eoi === "pv";

function writeApic(code: X86Assembler, eoi: X86Eoi, register: number, value: number): void {
  if (usesMsrs(eoi)) code.op(X86Op.WRMSR, X2APIC + (register >> 4), value);
  else code.store(XAPIC + register, value);
}

/** Another CPU, from its start-up on: its local APIC enabled, it halts. Interrupts go to the boot CPU. */
function writeOther(code: X86Assembler, eoi: X86Eoi): void {
  code.op(X86Op.WRMSR, APIC_BASE_MSR, usesMsrs(eoi) ? APIC_X2APIC & ~APIC_BOOT_CPU : APIC_XAPIC & ~APIC_BOOT_CPU);
  writeApic(code, eoi, SPIV, SPIV_ENABLED);
  code.op(X86Op.STI);
  const loop = code.here;
  code.op(X86Op.HLT).jump(loop);
}

/** INIT, its end, and start-up twice, as the Intel MP specification and Linux have it. */
function startOthers(code: X86Assembler, { eoi, cpus = 1, base }: X86SoftwareOptions): void {
  const most = usesMsrs(eoi) ? cpus : Math.min(cpus, XAPIC_BROADCAST);
  for (let id = 1; id < most; id++)
    for (const command of [ICR_INIT, ICR_INIT_END, ICR_STARTUP | (base / PAGE), ICR_STARTUP | (base / PAGE)]) writeIcr(code, eoi, command, id);
}

function writeIcr(code: X86Assembler, eoi: X86Eoi, command: number, id: number): void {
  if (usesMsrs(eoi)) code.op(X86Op.WRMSR, X2APIC + (ICR >> 4), command, id);
  else code.store(XAPIC + ICR2, id << 24).store(XAPIC + ICR, command);
}

function writeBoot(code: X86Assembler, options: X86SoftwareOptions): void {
  const { eoi, devices, idle } = options;
  code.op(X86Op.WRMSR, APIC_BASE_MSR, usesMsrs(eoi) ? APIC_X2APIC : APIC_XAPIC);
  writeApic(code, eoi, SPIV, SPIV_ENABLED);
  startOthers(code, options);
  // LINT0 of the boot CPU is ExtINT from reset: the PIC's way in.
  if (eoi !== "pic") writeApic(code, eoi, LVT0, LVT_MASKED);
  if (eoi === "pv") code.op(X86Op.WRMSR, MSR_KVM_PV_EOI_EN, options.scratch | 1);
  const pins = devices.filter((device) => device.pin !== null);
  if (eoi === "pic") writePic(code, pins);
  else for (const { pin, vector } of pins) if (pin !== null) writeEntry(code, pin, vector);
  for (const [address, value] of options.stores ?? []) code.store(address, value);
  code.op(X86Op.STI);
  const loop = code.here;
  if (idle === "spin") code.op(X86Op.SPIN);
  else code.op(X86Op.HLT).jump(loop);
}

/** A redirection entry: level, unmasked, to local APIC 0. The half with the mask comes last. */
function writeEntry(code: X86Assembler, pin: number, vector: number): void {
  code.store(IOREGSEL, 0x11 + 2 * pin).store(IOWIN, 0);
  code.store(IOREGSEL, 0x10 + 2 * pin).store(IOWIN, RTE_LEVEL | vector);
}

/** ICW1 to ICW4 of both chips, then level mode and mask of the lines. */
function writePic(code: X86Assembler, pins: readonly X86Binding[]): void {
  const lines = pins.reduce((bits, { pin }) => bits | (1 << (pin ?? 0)), 0);
  code.op(X86Op.OUT, PIC_MASTER, 0x11).op(X86Op.OUT, PIC_MASTER + 1, PIC_BASE).op(X86Op.OUT, PIC_MASTER + 1, 4).op(X86Op.OUT, PIC_MASTER + 1, 1);
  code.op(X86Op.OUT, PIC_SLAVE, 0x11).op(X86Op.OUT, PIC_SLAVE + 1, PIC_BASE + 8).op(X86Op.OUT, PIC_SLAVE + 1, 2).op(X86Op.OUT, PIC_SLAVE + 1, 1);
  code.op(X86Op.OUT, ELCR, lines);
  code.op(X86Op.OUT, PIC_MASTER + 1, ~lines & 0xff).op(X86Op.OUT, PIC_SLAVE + 1, 0xff);
}

function writeHandler(code: X86Assembler, device: X86Binding, options: X86SoftwareOptions): void {
  const { eoi, handlerNs, scratch } = options;
  code.op(X86Op.ENTER, device.vector);
  for (let i = 0; i < device.accessesPerService; i++) code.store(device.address, 1);
  code.wideOp(X86Op.WORK, handlerNs).op(X86Op.END, device.vector);
  if (eoi === "pic") code.op(X86Op.OUT, PIC_MASTER, PIC_EOI);
  else if (eoi === "pv") code.unlessCleared(scratch, () => writeApic(code, eoi, EOI, 0));
  else writeApic(code, eoi, EOI, 0);
  code.op(X86Op.IRET);
}
