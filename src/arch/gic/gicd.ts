import { RegisterFrame, W32, W64, W8, registerTable } from "./register-table.js";

/** Rows of the distributor's registers (gic-v3.md A5; host-irq.md 2.1 for GICv2). */
export const enum Gicd {
  CTLR,
  TYPER,
  IIDR,
  TYPER2,
  STATUSR,
  SETSPI_NSR,
  CLRSPI_NSR,
  SETSPI_SR,
  CLRSPI_SR,
  IGROUPR,
  ISENABLER,
  ICENABLER,
  ISPENDR,
  ICPENDR,
  ISACTIVER,
  ICACTIVER,
  IPRIORITYR,
  ITARGETSR,
  ICFGR,
  IGRPMODR,
  NSACR,
  SGIR,
  CPENDSGIR,
  SPENDSGIR,
  IROUTER,
  ID,
}

const BIT = { count: 32, perInterrupt: 1 };
const BYTE = { count: 256, perInterrupt: 8, sizes: W8 | W32 };

const GICD = registerTable("GICD", [
  ["CTLR", 0x0000, "RW", "group enables; GICv3: ARE bit 4, DS bit 6, RWP bit 31", { reset: 0x50 }],
  ["TYPER", 0x0004, "RO", "ITLinesNumber [4:0], CPUNumber [7:5], LPIS 17, IDbits [23:19]"],
  ["IIDR", 0x0008, "RO", "product, revision, implementer"],
  ["TYPER2", 0x000c, "RO", "nASSGIcap bit 8"],
  ["STATUSR", 0x0010, "RO", "access errors, where reported"],
  ["SETSPI_NSR", 0x0040, "WO", "message-based SPI: pends the INTID written"],
  ["CLRSPI_NSR", 0x0048, "WO", "message-based SPI: clears it"],
  ["SETSPI_SR", 0x0050, "WO", "secure form, not used with DS=1"],
  ["CLRSPI_SR", 0x0058, "WO", "secure form, not used with DS=1"],
  ["IGROUPR", 0x0080, "RW", "1: group 1", BIT],
  ["ISENABLER", 0x0100, "RW", "1 enables", BIT],
  ["ICENABLER", 0x0180, "RW", "1 disables", BIT],
  ["ISPENDR", 0x0200, "RW", "1 pends", BIT],
  ["ICPENDR", 0x0280, "RW", "1 clears the latch", BIT],
  ["ISACTIVER", 0x0300, "RW", "1 activates", BIT],
  ["ICACTIVER", 0x0380, "RW", "1 deactivates", BIT],
  ["IPRIORITYR", 0x0400, "RW", "priority, lower is more urgent", BYTE],
  ["ITARGETSR", 0x0800, "RW", "GICv2: one bit per target CPU; RAZ/WI with affinity routing", BYTE],
  ["ICFGR", 0x0c00, "RW", "odd bit: 1 edge, 0 level", { count: 64, perInterrupt: 2 }],
  ["IGRPMODR", 0x0d00, "RAZ", "RAZ/WI with DS=1", BIT],
  ["NSACR", 0x0e00, "RAZ", "RAZ/WI with DS=1", { count: 64, perInterrupt: 2 }],
  ["SGIR", 0x0f00, "WO", "GICv2: sends an SGI; RAZ/WI with affinity routing"],
  ["CPENDSGIR", 0x0f10, "RW", "GICv2: clears pending sources of an SGI", { count: 4, perInterrupt: 8, sizes: W8 | W32 }],
  ["SPENDSGIR", 0x0f20, "RW", "GICv2: sets pending sources of an SGI", { count: 4, perInterrupt: 8, sizes: W8 | W32 }],
  ["IROUTER", 0x6000, "RW", "Aff3 [39:32], IRM 31, Aff2.Aff1.Aff0 [23:0]", { count: 1020, width: 8, perInterrupt: 64, sizes: W32 | W64 }],
  ["ID", 0xffd0, "RO", "identification; PIDR2 at +0x18 names the architecture", { count: 12 }],
]);

/** Offset of GICD_PIDR2 and GICR_PIDR2 in a 64 KiB frame. */
export const PIDR2_OFFSET = 0xffe8;

export const GICD_V3_SIZE = 0x10000;
export const GICD_V2_SIZE = 0x1000;

/** The GICv3 distributor. */
export const GICD_V3 = new RegisterFrame(GICD, GICD_V3_SIZE);

/** The GICv2 distributor: the first 4 KiB, ID registers at its end. */
export const GICD_V2 = new RegisterFrame(
  GICD.map((register) => {
    if (register.name === "GICD_CTLR") return { ...register, reset: 0 };
    if (register.name === "GICD_ID") return { ...register, offset: 0xfd0 };
    if (register.name === "GICD_IROUTER") return { ...register, count: 0 };
    return register;
  }),
  GICD_V2_SIZE,
);

/** Offset of GICD_PIDR2 (ICPIDR2) in the GICv2 distributor. */
export const GICD_V2_PIDR2_OFFSET = 0xfe8;

export const enum GicdCtlr {
  ENABLE_GRP0 = 1 << 0,
  ENABLE_GRP1 = 1 << 1,
  ARE = 1 << 4,
  DS = 1 << 6,
  NASSGI_REQ = 1 << 8,
}
