/**
 * Encodings of the CPU interface's system registers as the CPU_SYSREGS attribute has them:
 * op0 [15:14], op1 [13:11], CRn [10:7], CRm [6:3], op2 [2:0] (gic-v3.md A10.2).
 */
export const enum Icc {
  PMR = 0xc230,
  IAR0 = 0xc640,
  EOIR0 = 0xc641,
  HPPIR0 = 0xc642,
  BPR0 = 0xc643,
  AP0R0 = 0xc644,
  AP0R3 = 0xc647,
  AP1R0 = 0xc648,
  AP1R3 = 0xc64b,
  DIR = 0xc659,
  RPR = 0xc65b,
  SGI1R = 0xc65d,
  ASGI1R = 0xc65e,
  SGI0R = 0xc65f,
  IAR1 = 0xc660,
  EOIR1 = 0xc661,
  HPPIR1 = 0xc662,
  BPR1 = 0xc663,
  CTLR = 0xc664,
  SRE = 0xc665,
  IGRPEN0 = 0xc666,
  IGRPEN1 = 0xc667,
}

/** The hypervisor's side of the virtual CPU interface: op1 = 4. */
export const enum Ich {
  AP0R0 = 0xe640,
  AP0R3 = 0xe643,
  AP1R0 = 0xe648,
  AP1R3 = 0xe64b,
  HCR = 0xe658,
  VTR = 0xe659,
  MISR = 0xe65a,
  EISR = 0xe65b,
  ELRSR = 0xe65d,
  VMCR = 0xe65f,
  LR0 = 0xe660,
  LR15 = 0xe66f,
}

/** Bits of ICC_CTLR_EL1. */
export const enum IccCtlr {
  CBPR = 1 << 0,
  EOI_MODE = 1 << 1,
  PMHE = 1 << 6,
  PRIBITS_SHIFT = 8,
  IDBITS_SHIFT = 11,
  SEIS = 1 << 14,
  A3V = 1 << 15,
}

/** ICC_SRE_EL1: SRE, DFB, DIB, all fixed. */
export const ICC_SRE_VALUE = 7;

export interface SystemRegister {
  readonly name: string;
  readonly encoding: number;
  readonly access: "RO" | "RW" | "WO";
  readonly meaning: string;
}

const row = (name: string, encoding: number, access: SystemRegister["access"], meaning: string): SystemRegister => ({ name, encoding, access, meaning });
const array = (prefix: string, suffix: string, first: number, count: number, meaning: string): SystemRegister[] =>
  Array.from({ length: count }, (_, i) => row(`${prefix}${i}${suffix}`, first + i, "RW", meaning));

/** Every register of the table in gic-v3.md A10.2, and the ICH registers. */
export const SYSTEM_REGISTERS: readonly SystemRegister[] = [
  row("ICC_PMR_EL1", Icc.PMR, "RW", "priority mask"),
  row("ICC_IAR0_EL1", Icc.IAR0, "RO", "acknowledge, group 0"),
  row("ICC_EOIR0_EL1", Icc.EOIR0, "WO", "priority drop, group 0; deactivation with EOImode 0"),
  row("ICC_HPPIR0_EL1", Icc.HPPIR0, "RO", "highest priority pending interrupt of group 0"),
  row("ICC_BPR0_EL1", Icc.BPR0, "RW", "binary point of group 0"),
  ...array("ICC_AP0R", "_EL1", Icc.AP0R0, 4, "active priorities of group 0"),
  ...array("ICC_AP1R", "_EL1", Icc.AP1R0, 4, "active priorities of group 1"),
  row("ICC_DIR_EL1", Icc.DIR, "WO", "deactivation with EOImode 1"),
  row("ICC_RPR_EL1", Icc.RPR, "RO", "running priority"),
  row("ICC_SGI1R_EL1", Icc.SGI1R, "WO", "generates an SGI of group 1"),
  row("ICC_ASGI1R_EL1", Icc.ASGI1R, "WO", "generates an SGI of the other security state"),
  row("ICC_SGI0R_EL1", Icc.SGI0R, "WO", "generates an SGI of group 0"),
  row("ICC_IAR1_EL1", Icc.IAR1, "RO", "acknowledge, group 1"),
  row("ICC_EOIR1_EL1", Icc.EOIR1, "WO", "priority drop, group 1; deactivation with EOImode 0"),
  row("ICC_HPPIR1_EL1", Icc.HPPIR1, "RO", "highest priority pending interrupt of group 1"),
  row("ICC_BPR1_EL1", Icc.BPR1, "RW", "binary point of group 1"),
  row("ICC_CTLR_EL1", Icc.CTLR, "RW", "CBPR 0, EOImode 1, PRIbits [10:8], IDbits [13:11], SEIS 14, A3V 15"),
  row("ICC_SRE_EL1", Icc.SRE, "RW", "system register enable, always 7"),
  row("ICC_IGRPEN0_EL1", Icc.IGRPEN0, "RW", "enables group 0"),
  row("ICC_IGRPEN1_EL1", Icc.IGRPEN1, "RW", "enables group 1"),
  ...array("ICH_AP0R", "_EL2", Ich.AP0R0, 4, "the guest's active priorities of group 0"),
  ...array("ICH_AP1R", "_EL2", Ich.AP1R0, 4, "the guest's active priorities of group 1"),
  row("ICH_HCR_EL2", Ich.HCR, "RW", "En, maintenance enables, traps, EOIcount [31:27]"),
  row("ICH_VTR_EL2", Ich.VTR, "RO", "what is implemented"),
  row("ICH_MISR_EL2", Ich.MISR, "RO", "maintenance conditions"),
  row("ICH_EISR_EL2", Ich.EISR, "RO", "list registers with an end-of-interrupt request"),
  row("ICH_ELRSR_EL2", Ich.ELRSR, "RO", "usable list registers"),
  row("ICH_VMCR_EL2", Ich.VMCR, "RW", "the guest's CTLR, binary points, priority mask"),
  ...array("ICH_LR", "_EL2", Ich.LR0, 16, "list registers"),
];

const byEncoding = new Map(SYSTEM_REGISTERS.map((register) => [register.encoding, register]));
const byName = new Map(SYSTEM_REGISTERS.map((register) => [register.name, register]));

/** "ICC_PMR_EL1" to its row. */
export function systemRegisterNamed(name: string): SystemRegister | undefined {
  return byName.get(name);
}

/** "ICC_PMR_EL1", or "S3_0_C4_C6_0" for an encoding that the table does not hold. */
export function systemRegisterName(encoding: number): string {
  const known = byEncoding.get(encoding);
  if (known !== undefined) return known.name;
  return `S${encoding >> 14}_${(encoding >> 11) & 7}_C${(encoding >> 7) & 15}_C${(encoding >> 3) & 15}_${encoding & 7}`;
}

/** Fields of ICH_VTR_EL2 (gic-v3.md A1); GICH_VTR has the list registers and the priority bits at the same places. */
export const listRegistersOf = (vtr: number): number => (vtr & 0x1f) + 1;
export const priorityBitsOf = (vtr: number): number => (vtr >>> 29) + 1;
export const preemptionBitsOf = (vtr: number): number => ((vtr >>> 26) & 7) + 1;
export const idBitsFieldOf = (vtr: number): number => (vtr >>> 23) & 7;
export const VTR_SEIS = 1 << 22;
export const VTR_A3V = 1 << 21;

/** The CPU interface of the recorded kernels: 5 priority bits, 24 ID bits, A3V, 4 list registers. */
export const DEFAULT_VTR = 0x90a00003 | 0;

/** ICC_CTLR_EL1 as an interface of this ICH_VTR_EL2 presents it, CBPR and EOImode clear. */
export function ctlrOfVtr(vtr: number): number {
  const a3v = (vtr & VTR_A3V) === 0 ? 0 : IccCtlr.A3V;
  const seis = (vtr & VTR_SEIS) === 0 ? 0 : IccCtlr.SEIS;
  return a3v | seis | (idBitsFieldOf(vtr) << IccCtlr.IDBITS_SHIFT) | ((priorityBitsOf(vtr) - 1) << IccCtlr.PRIBITS_SHIFT);
}
