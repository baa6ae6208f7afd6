// Numbers of mpic.md 1 and 4.

export const MPIC_CPUS = 32;
/** External 0 to 15 and internal 16 to 255. */
export const MPIC_SOURCES = 256;
export const FIRST_INTERNAL = 16;
export const FIRST_MSI = 224;
export const FIRST_IPI = 256;
export const FIRST_TIMER = 260;
export const MPIC_INTERRUPTS = 264;
export const MSI_REGISTERS = 8;
export const MPIC_SIZE = 0x4_0000;

/** IVPR: vector, priority, sense, polarity, activity, mask. */
export const enum Ivpr {
  VECTOR_MASK = 0xffff,
  PRIORITY_SHIFT = 16,
  PRIORITY_MASK = 0xf_0000,
  LEVEL = 1 << 22,
  POLARITY = 1 << 23,
  ACTIVITY = 1 << 30,
  MASK = 1 << 31,
  WRITABLE = MASK | POLARITY | LEVEL | PRIORITY_MASK | VECTOR_MASK,
}

/** The lines to a CPU; only INT reaches a vCPU. */
export const enum Output {
  INT,
  CINT,
  MCP,
}
export const OUTPUTS = 3;

export const MASKED_PRIORITY = 15;
export const NOTHING_READ = -1;

/** What distinguishes the two models. */
export interface MpicModel {
  readonly name: string;
  readonly brr1: number;
  /** Cosmetic: all sources work on both. */
  readonly reportedSources: number;
  /** Critical targets are inside IDR; else there is an ILR. */
  readonly hasCriticalTargets: boolean;
  readonly modeMask: number;
}

/** As KVM has it, or with M1, M3, M5, M6, M7 and the reads of timers repaired (mpic.md 12). */
export type MpicProfile = "strict" | "fixed";

export const MPIC_20: MpicModel = { name: "mpic-2.0", brr1: 0x0040_0200, reportedSources: 80, hasCriticalTargets: true, modeMask: 0x2000_0000 };
export const MPIC_42: MpicModel = { name: "mpic-4.2", brr1: 0x0040_0402, reportedSources: 196, hasCriticalTargets: false, modeMask: 0x6000_0000 };
/** GCR: the processor takes its vector from EPR (5.9). */
export const EXTERNAL_PROXY = 0x6000_0000;
export const GCR_RESET = 1 << 31;
