import type { HazardCase } from "../hazard-case.js";
import * as xics from "../protocols/xics.js";
import { CasesOf } from "./cases.js";

const R = new CasesOf("xics.md");

/**
 * xics.md 22. Not here: R5, R7, R9, R12 to R22 and R24 to R27; those that are no race have vectors of their own (R7: 42, R9: 31,
 * R12: 47, R13: 24, R14: 26, R15: 32, R17: 44, R18: 41, R20: 55, R22: 51, R26: 50, R27: 54).
 */
export const XICS_HAZARDS: readonly HazardCase[] = [
  R.race("R1", "need_resend consumed too early", xics.failAgainstLower, "forgetConsumedNote", 2),
  R.race("R2", "map bit before resend flag", xics.twoFailAgainstScan, "mapBeforeMark", 2),
  R.race("R3", "two scanners", xics.twoScanners, "scanUnasked", 2),
  R.race("R4", "set-xive and scan", xics.entryAgainstScan, "entryKeepsMark", 2),
  R.race("R6", "rejected source moved", xics.moveAgainstReject, "keepServerOfRejected", 2),
  R.race("R8", "EE clear outside the owner", xics.requestAgainstDelivery, "lowerForeign", 2),
  R.reproduced("R10", "LSI re-raised during EOI", xics.levelAgainstEoi, 1, "The EOI lowers the priority first and looks at the line afterwards: at most one presentation more than needed for each EOI, which ends it."),
  R.race("R11", "MSI trigger against EOI without CAS", xics.messageAgainstEoi, "swapPqBlindly", 2),
  R.race("R23", "block creation race", xics.blockAgainstBlock, "createBlockTwice", 2),
];
