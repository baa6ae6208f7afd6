// The register map of a local APIC: x86-irqchip.md 7.1, SDM vol. 3 table 12-1 (xAPIC) and 12-6 (x2APIC).

/** Offsets from the APIC base; the x2APIC MSR is 0x800 + offset / 16. */
export const enum ApicReg {
  ID = 0x020,
  LVR = 0x030,
  TPR = 0x080,
  APR = 0x090,
  PPR = 0x0a0,
  EOI = 0x0b0,
  LDR = 0x0d0,
  DFR = 0x0e0,
  SPIV = 0x0f0,
  ISR = 0x100,
  TMR = 0x180,
  IRR = 0x200,
  ESR = 0x280,
  LVTCMCI = 0x2f0,
  ICR = 0x300,
  ICR2 = 0x310,
  LVTT = 0x320,
  LVTTHMR = 0x330,
  LVTPC = 0x340,
  LVT0 = 0x350,
  LVT1 = 0x360,
  LVTERR = 0x370,
  TMICT = 0x380,
  TMCCT = 0x390,
  TDCR = 0x3e0,
  SELF_IPI = 0x3f0,
}

export const X2APIC_MSR_BASE = 0x800;
export const MSR_IA32_APICBASE = 0x1b;
export const MSR_IA32_TSC_DEADLINE = 0x6e0;
/** Bytes of the register page: what KVM_GET_LAPIC copies. */
export const LAPIC_RECORD_SIZE = 0x400;
/** Bytes of the MMIO window. */
export const LAPIC_WINDOW = 0x1000;
export const APIC_DEFAULT_BASE = 0xfee00000;

export const LVT_MASKED = 1 << 16;
export const LVT_LEVEL = 1 << 15;
export const LVT_MODE_SHIFT = 8;
export const LVT_TIMER_PERIODIC = 1 << 17;
export const LVT_TIMER_TSC_DEADLINE = 1 << 18;
export const SPIV_ENABLED = 1 << 8;
/** SPIV bit 12: the guest asks that level EOIs are not broadcast. */
export const SPIV_DIRECTED_EOI = 1 << 12;
export const LVR_DIRECTED_EOI = 1 << 24;
export const ICR_BUSY = 1 << 12;
export const DFR_FLAT = -1;
export const DFR_CLUSTER = 0x0fffffff;

export type ApicAccess = "RO" | "RW" | "WO" | "-";

/** One row: a register, or the eight of a bitmap. */
export interface ApicRegister {
  readonly name: string;
  readonly offset: number;
  readonly count: number;
  readonly xapic: ApicAccess;
  readonly x2apic: ApicAccess;
  /** After reset; ID, LVR and LVT0 of the boot CPU are the implementation's own. */
  readonly reset: number;
  /** Bits that a write can change. */
  readonly mask: number;
  /** Of the local vector table: gains the mask bit while the APIC is software-disabled. */
  readonly isLvt: boolean;
  readonly meaning: string;
}

type Row = readonly [name: string, offset: number, xapic: ApicAccess, x2apic: ApicAccess, mask: number, meaning: string, options?: Partial<ApicRegister>];

const LVT = { isLvt: true, reset: LVT_MASKED };

const ROWS: readonly Row[] = [
  ["ID", ApicReg.ID, "RW", "RO", 0xff000000 | 0, "APIC id: bits 31:24, in x2APIC mode all 32"],
  ["LVR", ApicReg.LVR, "RO", "RO", 0, "version, number of LVT entries, directed EOI"],
  ["TPR", ApicReg.TPR, "RW", "RW", 0xff, "task priority"],
  ["APR", ApicReg.APR, "RO", "-", 0, "arbitration priority: reads 0"],
  ["PPR", ApicReg.PPR, "RO", "RO", 0, "processor priority"],
  ["EOI", ApicReg.EOI, "WO", "WO", 0, "end of the interrupt of highest priority"],
  ["LDR", ApicReg.LDR, "RW", "RO", 0xff000000 | 0, "logical destination"],
  ["DFR", ApicReg.DFR, "RW", "-", 0xf0000000 | 0, "logical model", { reset: DFR_FLAT }],
  ["SPIV", ApicReg.SPIV, "RW", "RW", 0x3ff, "spurious vector, software enable, directed EOI where LVR has it", { reset: 0xff }],
  ["ISR", ApicReg.ISR, "RO", "RO", 0, "vectors in service", { count: 8 }],
  ["TMR", ApicReg.TMR, "RO", "RO", 0, "vectors delivered as level", { count: 8 }],
  ["IRR", ApicReg.IRR, "RO", "RO", 0, "vectors requested", { count: 8 }],
  ["ESR", ApicReg.ESR, "RW", "RW", 0, "errors: KVM sets none"],
  ["LVTCMCI", ApicReg.LVTCMCI, "RW", "RW", 0x117ff, "corrected machine checks", LVT],
  ["ICR", ApicReg.ICR, "RW", "RW", ~ICR_BUSY, "interrupt command; 64 bits in x2APIC mode"],
  ["ICR2", ApicReg.ICR2, "RW", "-", 0xff000000 | 0, "destination of the interrupt command"],
  ["LVTT", ApicReg.LVTT, "RW", "RW", 0x110ff, "timer; the mode bits that CPUID allows besides", LVT],
  ["LVTTHMR", ApicReg.LVTTHMR, "RW", "RW", 0x117ff, "thermal sensor", LVT],
  ["LVTPC", ApicReg.LVTPC, "RW", "RW", 0x117ff, "performance counters", LVT],
  ["LVT0", ApicReg.LVT0, "RW", "RW", 0x1f7ff, "LINT0", LVT],
  ["LVT1", ApicReg.LVT1, "RW", "RW", 0x1f7ff, "LINT1", LVT],
  ["LVTERR", ApicReg.LVTERR, "RW", "RW", 0x110ff, "errors", LVT],
  ["TMICT", ApicReg.TMICT, "RW", "RW", -1, "initial count"],
  ["TMCCT", ApicReg.TMCCT, "RO", "RO", 0, "current count"],
  ["TDCR", ApicReg.TDCR, "RW", "RW", 0xb, "divide configuration"],
  ["SELF_IPI", ApicReg.SELF_IPI, "-", "WO", 0xff, "an IPI to itself"],
];

/** All registers of a local APIC (x86-irqchip.md 7.1), in the order of their offsets. */
export const APIC_REGISTERS: readonly ApicRegister[] = ROWS.map(([name, offset, xapic, x2apic, mask, meaning, options]) => ({
  name,
  offset,
  count: 1,
  xapic,
  x2apic,
  reset: 0,
  mask,
  isLvt: false,
  meaning,
  ...options,
}));

/** Every register of the local vector table; CMCI's is there only where it is supported. */
export const LVT_REGISTERS: readonly number[] = APIC_REGISTERS.filter((r) => r.isLvt).map((r) => r.offset);

const SLOTS = 0x400 >> 4;
const XAPIC_READ = 1;
const X2APIC_READ = 2;
const rights = new Uint8Array(SLOTS);
const masks = new Int32Array(SLOTS);
const names = new Array<string>(SLOTS).fill("");
for (const { name, offset, count, xapic, x2apic, mask } of APIC_REGISTERS)
  for (let i = 0; i < count; i++) {
    const slot = (offset >> 4) + i;
    rights[slot] = (xapic.startsWith("R") ? XAPIC_READ : 0) | (x2apic.startsWith("R") ? X2APIC_READ : 0);
    masks[slot] = mask;
    names[slot] = count === 1 ? name : `${name}${i}`;
  }

/** May the register at this 16-byte aligned offset be read? LVTCMCI's own condition is the caller's. */
export function isReadable(offset: number, isX2apic: boolean): boolean {
  return offset <= ApicReg.SELF_IPI && (rights[offset >> 4] & (isX2apic ? X2APIC_READ : XAPIC_READ)) !== 0;
}

/** The bits that a write of this register can change. */
export function writeMask(offset: number): number {
  return masks[offset >> 4];
}

/** "LVTT", "IRR3", "+0x123" where nothing is. */
export function apicRegisterName(offset: number): string {
  const name = offset >= 0 && offset < 0x400 ? names[offset >> 4] : "";
  return name === "" ? `+0x${offset.toString(16)}` : name;
}
