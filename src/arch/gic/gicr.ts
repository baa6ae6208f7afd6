import { RegisterFrame, W32, W64, W8, registerTable } from "./register-table.js";

/** Rows of a redistributor's registers: RD_base, then SGI_base at +0x10000 (gic-v3.md A6). */
export const enum Gicr {
  CTLR,
  IIDR,
  TYPER,
  STATUSR,
  WAKER,
  SETLPIR,
  CLRLPIR,
  PROPBASER,
  PENDBASER,
  INVLPIR,
  INVALLR,
  SYNCR,
  ID,
  IGROUPR0,
  ISENABLER0,
  ICENABLER0,
  ISPENDR0,
  ICPENDR0,
  ISACTIVER0,
  ICACTIVER0,
  IPRIORITYR,
  ICFGR,
  IGRPMODR0,
  NSACR,
}

const DOUBLE = { width: 8, sizes: W32 | W64 };

/** SGI_base, from the start of the redistributor. */
export const SGI_BASE = 0x10000;
/** RD_base and SGI_base. */
export const GICR_SIZE = 0x20000;

/** One redistributor of a GICv3: two 64 KiB frames. */
export const GICR_V3 = new RegisterFrame(
  registerTable("GICR", [
    ["CTLR", 0x0000, "RW", "EnableLPIs 0, CES 1, IR 2, RWP 3"],
    ["IIDR", 0x0004, "RO", "product, revision, implementer"],
    ["TYPER", 0x0008, "RO", "affinity [63:32], processor number [23:8], Last 4, PLPIS 0", DOUBLE],
    ["STATUSR", 0x0010, "RO", "access errors, where reported"],
    ["WAKER", 0x0014, "RW", "ProcessorSleep 1, ChildrenAsleep 2", { reset: 6 }],
    ["SETLPIR", 0x0040, "WO", "pends an LPI, where TYPER.DirectLPI is 1", DOUBLE],
    ["CLRLPIR", 0x0048, "WO", "clears a pending LPI, where TYPER.DirectLPI is 1", DOUBLE],
    ["PROPBASER", 0x0070, "RW", "LPI configuration table", DOUBLE],
    ["PENDBASER", 0x0078, "RW", "LPI pending table; PTZ 62", DOUBLE],
    ["INVLPIR", 0x00a0, "WO", "reloads one LPI's configuration", DOUBLE],
    ["INVALLR", 0x00b0, "WO", "reloads all LPIs' configuration", DOUBLE],
    ["SYNCR", 0x00c0, "RO", "bit 0 while an invalidation is in flight"],
    ["ID", 0xffd0, "RO", "identification; PIDR2 at +0x18 names the architecture", { count: 12 }],
    ["IGROUPR0", SGI_BASE + 0x080, "RW", "1: group 1", { perInterrupt: 1 }],
    ["ISENABLER0", SGI_BASE + 0x100, "RW", "1 enables", { perInterrupt: 1 }],
    ["ICENABLER0", SGI_BASE + 0x180, "RW", "1 disables", { perInterrupt: 1 }],
    ["ISPENDR0", SGI_BASE + 0x200, "RW", "1 pends", { perInterrupt: 1 }],
    ["ICPENDR0", SGI_BASE + 0x280, "RW", "1 clears the latch", { perInterrupt: 1 }],
    ["ISACTIVER0", SGI_BASE + 0x300, "RW", "1 activates", { perInterrupt: 1 }],
    ["ICACTIVER0", SGI_BASE + 0x380, "RW", "1 deactivates", { perInterrupt: 1 }],
    ["IPRIORITYR", SGI_BASE + 0x400, "RW", "priority, lower is more urgent", { count: 8, perInterrupt: 8, sizes: W8 | W32 }],
    ["ICFGR", SGI_BASE + 0xc00, "RW", "odd bit: 1 edge, 0 level; SGIs are edge", { count: 2, perInterrupt: 2, reset: 0xaaaaaaaa }],
    ["IGRPMODR0", SGI_BASE + 0xd00, "RAZ", "RAZ/WI with DS=1", { perInterrupt: 1 }],
    ["NSACR", SGI_BASE + 0xe00, "RAZ", "RAZ/WI with DS=1", { perInterrupt: 2 }],
  ]),
  GICR_SIZE,
);

export const enum GicrCtlr {
  ENABLE_LPIS = 1 << 0,
  CES = 1 << 1,
  IR = 1 << 2,
  RWP = 1 << 3,
}

export const enum GicrWaker {
  PROCESSOR_SLEEP = 1 << 1,
  CHILDREN_ASLEEP = 1 << 2,
}

/** GICR_TYPER bit 4: the last redistributor of its series. */
export const GICR_TYPER_LAST = 1 << 4;
