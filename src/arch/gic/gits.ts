import { physicalAddress } from "./physical-address.js";
import { RegisterFrame, registerTable, W32, W64 } from "./register-table.js";

/** Rows of an ITS's registers (gic-its.md B2). */
export const enum Gits {
  CTLR,
  IIDR,
  TYPER,
  CBASER,
  CWRITER,
  CREADR,
  BASER,
  ID,
}

const DOUBLE = { width: 8, sizes: W32 | W64 };

/** The control frame and, behind it, the translation frame. */
export const GITS_SIZE = 0x20000;
export const GITS_CONTROL_SIZE = 0x10000;
/** GITS_TRANSLATER, where devices write their events. */
export const GITS_TRANSLATER = 0x10040;

export const GITS = new RegisterFrame(
  registerTable("GITS", [
    ["CTLR", 0x0000, "RW", "Enabled 0, Quiescent 31"],
    ["IIDR", 0x0004, "RO", "product, revision (the ABI of saved tables), implementer"],
    ["TYPER", 0x0008, "RO", "Devbits-1 [17:13], IDbits-1 [12:8], ITT_entry_size-1 [7:4], Physical 0", DOUBLE],
    ["CBASER", 0x0080, "RW", "command queue: Valid 63, address [51:12], size-1 in 4 KiB pages [7:0]", DOUBLE],
    ["CWRITER", 0x0088, "RW", "where software writes the next command", DOUBLE],
    ["CREADR", 0x0090, "RO", "where the ITS reads the next command", DOUBLE],
    ["BASER", 0x0100, "RW", "tables: Valid 63, Indirect 62, Type [58:56], address [47:12], pages-1 [7:0]", { ...DOUBLE, count: 8 }],
    ["ID", 0xffd0, "RO", "identification; PIDR2 at +0x18 names the architecture", { count: 12 }],
  ]),
  GITS_CONTROL_SIZE,
);

/** GITS_CTLR. */
export const GITS_CTLR_ENABLED = 1;
export const GITS_CTLR_QUIESCENT = 0x80000000 | 0;

/** In the high halves of GITS_CBASER and GITS_BASER<n>. */
export const BASER_VALID_HIGH = 0x80000000 | 0;
export const BASER_INDIRECT_HIGH = 0x40000000;

/** GITS_BASER<n>.Type. */
export const BASER_TYPE_DEVICE = 1;
export const BASER_TYPE_VPE = 2;
export const BASER_TYPE_COLLECTION = 4;

/** Page size 64 KiB: address bits [51:48] stand in [15:12]. */
export function baserAddress64k(low: number, high: number): number {
  return physicalAddress(((low & 0xf000) << 4) | (high & 0xffff), low & 0xffff0000);
}

/** Bytes of a table of 64 KiB pages. */
export const baserBytes64k = (low: number): number => ((low & 0xff) + 1) * 0x10000;

/** Bytes of the command queue. */
export const cbaserBytes = (low: number): number => ((low & 0xff) + 1) * 0x1000;

/** Address of the command queue, bits [51:16]: KVM keeps it on 64 KiB. */
export const cbaserAddress = (low: number, high: number): number => physicalAddress(high & 0xfffff, low & 0xffff0000);

/** Bytes of a page of a table, by GITS_BASER<n>.Page_Size. */
export const baserPageSize = (low: number): number => [0x1000, 0x4000, 0x10000, 0x10000][(low >>> 8) & 3];

/** Address of a table: of 64 KiB pages bits [51:48] stand in [15:12], of others there are none. */
export function baserAddress(low: number, high: number): number {
  if (((low >>> 8) & 3) >= 2) return baserAddress64k(low, high);
  return physicalAddress(high & 0xffff, low & 0xfffff000);
}

/** In the high half of GITS_TYPER (gic-v4.md C1.1). */
export const TYPER_VMOVP_HIGH = 1 << (37 - 32);
/** 4.1: which redistributors share the ITS's vPE table, as their CommonLPIAff counts; 0: none. */
export const TYPER_SVPET_HIGH = 3 << (41 - 32);
export const SVPET_AFF3_HIGH = 1 << (41 - 32);
export const TYPER_VMAPP_HIGH = 1 << (40 - 32);
/** In the low half. */
export const TYPER_VLPIS = 1 << 1;
export const TYPER_PTA = 1 << 19;

/** GITS_CTLR.ITS_Number [7:4]. */
export const GITS_CTLR_NUMBER = 0xf0;
/** GITS_CWRITER.Retry, GITS_CREADR.Stalled. */
export const CWRITER_RETRY = 1;
export const CREADR_STALLED = 1;
/** GICv4.1's GITS_SGIR, in a frame of its own behind the translation frame. */
export const GITS_SGIR = 0x20020;
