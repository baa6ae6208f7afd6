import { RegisterFrame, registerTable } from "./register-table.js";

/** Rows of the GICv2 CPU interface, physical (GICC) and virtual (GICV) alike (host-irq.md 2.1, 2.3). */
export const enum Gicc {
  CTLR,
  PMR,
  BPR,
  IAR,
  EOIR,
  RPR,
  HPPIR,
  ABPR,
  AIAR,
  AEOIR,
  AHPPIR,
  APR,
  IIDR,
  DIR,
}

const frame = (prefix: string): RegisterFrame =>
  new RegisterFrame(
    registerTable(prefix, [
      ["CTLR", 0x0000, "RW", "EnableGrp0 0, EnableGrp1 1, AckCtl 2, FIQEn 3, CBPR 4, EOImode 9"],
      ["PMR", 0x0004, "RW", "priority mask"],
      ["BPR", 0x0008, "RW", "binary point of group 0"],
      ["IAR", 0x000c, "RO", "acknowledge: INTID [9:0], source CPU [12:10]"],
      ["EOIR", 0x0010, "WO", "priority drop; deactivation with EOImode 0"],
      ["RPR", 0x0014, "RO", "running priority"],
      ["HPPIR", 0x0018, "RO", "highest priority pending interrupt"],
      ["ABPR", 0x001c, "RW", "binary point of group 1"],
      ["AIAR", 0x0020, "RO", "acknowledge, group 1"],
      ["AEOIR", 0x0024, "WO", "end, group 1"],
      ["AHPPIR", 0x0028, "RO", "highest priority pending interrupt, group 1"],
      ["APR", 0x00d0, "RW", "active priorities", { count: 4 }],
      ["IIDR", 0x00fc, "RO", "product, architecture version, revision, implementer"],
      ["DIR", 0x1000, "WO", "deactivation with EOImode 1"],
    ]),
    GICC_SIZE,
  );

export const GICC_SIZE = 0x2000;
export const GICC_V2 = frame("GICC");
export const GICV_V2 = frame("GICV");

export const enum GiccCtlr {
  ENABLE_GRP0 = 1 << 0,
  ENABLE_GRP1 = 1 << 1,
  ACK_CTL = 1 << 2,
  FIQ_EN = 1 << 3,
  CBPR = 1 << 4,
  EOI_MODE = 1 << 9,
}
