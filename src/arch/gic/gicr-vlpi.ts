import { physicalAddress } from "./physical-address.js";
import { RegisterFrame, registerTable, W32, W64 } from "./register-table.js";

/** Rows of a GICv4 redistributor's VLPI frame (gic-v4.md C1.2). */
export const enum GicrVlpi {
  VPROPBASER,
  VPENDBASER,
  VSGIR,
  VSGIPENDR,
}

/** The VLPI frame, from the start of the redistributor; a reserved one follows it. */
export const VLPI_BASE = 0x20000;
/** RD_base, SGI_base, VLPI frame, reserved. */
export const GICR_V4_SIZE = 0x40000;

const DOUBLE = { width: 8, sizes: W32 | W64 };

export const GICR_VLPI = new RegisterFrame(
  registerTable("GICR", [
    ["VPROPBASER", 0x70, "RW", "4.0: address [51:12], IDbits-1 [4:0] of the virtual configuration table; 4.1: the vPE table", DOUBLE],
    ["VPENDBASER", 0x78, "RW", "Valid 63, 4.0: IDAI 62, 4.1: Doorbell 62, PendingLast 61, Dirty 60; the resident vPE", DOUBLE],
    ["VSGIR", 0x80, "WO", "4.1: asks for the pending SGIs of vPEID [15:0]"],
    ["VSGIPENDR", 0x88, "RO", "4.1: Busy 31, Pending [15:0]"],
  ]),
  0x10000,
);

/** In the high half of GICR_VPENDBASER. */
export const VPEND_VALID = 0x80000000 | 0;
/** 4.0: the vPE left nothing behind that hardware has to reconsider. */
export const VPEND_IDAI = 1 << 30;
/** 4.1: ring the default doorbell while the vPE is away. */
export const VPEND_DOORBELL = 1 << 30;
export const VPEND_PENDING_LAST = 1 << 29;
export const VPEND_DIRTY = 1 << 28;
export const VPEND_VGRP0EN = 1 << 27;
export const VPEND_VGRP1EN = 1 << 26;

/** Address of the virtual pending table in GICR_VPENDBASER of 4.0, bits [51:16]. */
export const vpendAddress = (low: number, high: number): number => physicalAddress(high & 0xfffff, low & 0xffff0000);
/** Address of a configuration table in GICR_PROPBASER and GICR_VPROPBASER of 4.0, bits [51:12]. */
export const propAddress = (low: number, high: number): number => physicalAddress(high & 0xfffff, low & 0xfffff000);
/** IDbits of the same, less one. */
export const propIdBits = (low: number): number => low & 0x1f;

/** GICR_TYPER (gic-v4.md C1.1). */
export const enum GicrTyper {
  PLPIS = 1 << 0,
  VLPIS = 1 << 1,
  DIRTY = 1 << 2,
  DIRECT_LPI = 1 << 3,
  RVPEID = 1 << 7,
}
