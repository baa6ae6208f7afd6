import { RegisterFrame, registerTable } from "./register-table.js";

/** Rows of the GICv2 virtual interface control block (host-irq.md 2.3). */
export const enum Gich {
  HCR,
  VTR,
  VMCR,
  MISR,
  EISR,
  ELRSR,
  APR,
  LR,
}

export const GICH_SIZE = 0x200;

export const GICH_V2 = new RegisterFrame(
  registerTable("GICH", [
    ["HCR", 0x00, "RW", "En 0, maintenance enables [7:1], EOICount [31:27]"],
    ["VTR", 0x04, "RO", "ListRegs-1 [5:0], PREbits-1 [28:26], PRIbits-1 [31:29]"],
    ["VMCR", 0x08, "RW", "the guest's CTLR, ABPR [20:18], BPR [23:21], PMR [31:27]"],
    ["MISR", 0x10, "RO", "maintenance conditions"],
    ["EISR", 0x20, "RO", "list registers with an end-of-interrupt request", { count: 2 }],
    ["ELRSR", 0x30, "RO", "usable list registers", { count: 2 }],
    ["APR", 0xf0, "RW", "one bit per 5-bit group priority"],
    ["LR", 0x100, "RW", "list registers", { count: 64 }],
  ]),
  GICH_SIZE,
);

/** Bits of ICH_HCR_EL2; GICH_HCR has those up to bit 7 and the count (gic-v3.md A9.7). */
export const enum IchHcr {
  EN = 1 << 0,
  UIE = 1 << 1,
  LRENPIE = 1 << 2,
  NPIE = 1 << 3,
  VGRP0EIE = 1 << 4,
  VGRP0DIE = 1 << 5,
  VGRP1EIE = 1 << 6,
  VGRP1DIE = 1 << 7,
  VSGI_EOI_COUNT = 1 << 8,
  TC = 1 << 10,
  TALL0 = 1 << 11,
  TALL1 = 1 << 12,
  TSEI = 1 << 13,
  TDIR = 1 << 14,
}

/** EOIcount is [31:27]. */
export const EOI_COUNT_SHIFT = 27;
/** What GICH_HCR keeps of a write. */
export const GICH_HCR_BITS = 0xf80000ff | 0;
/** What ICH_HCR_EL2 keeps of a write. */
export const ICH_HCR_BITS = 0xf8007dff | 0;

/** Bits of ICH_MISR_EL2 and GICH_MISR (host-irq.md 2.4). */
export const enum IchMisr {
  EOI = 1 << 0,
  U = 1 << 1,
  LRENP = 1 << 2,
  NP = 1 << 3,
  VGRP0E = 1 << 4,
  VGRP0D = 1 << 5,
  VGRP1E = 1 << 6,
  VGRP1D = 1 << 7,
}

/** Fields of ICH_VMCR_EL2 and GICH_VMCR; the priority mask is [31:24] in GICv3, [31:27] in GICv2 (the same upper bits). */
export const enum IchVmcr {
  ENG0 = 1 << 0,
  ENG1 = 1 << 1,
  ACK_CTL = 1 << 2,
  FIQ_EN = 1 << 3,
  CBPR = 1 << 4,
  EOIM = 1 << 9,
  BPR1_SHIFT = 18,
  BPR0_SHIFT = 21,
  PMR_SHIFT = 24,
}
