import type { HazardCase } from "../hazard-case.js";
import * as kvm from "../protocols/xics-kvm.js";
import * as restore from "../protocols/xics-restore.js";
import * as words from "../protocols/xics-words.js";
import * as xics from "../protocols/xics.js";
import { CasesOf, searched } from "./cases.js";
import * as vectors from "./xics-vectors.js";

const R = new CasesOf("xics.md");

/** xics.md 22. */
export const XICS_HAZARDS: readonly HazardCase[] = [
  R.race("R1", "need_resend consumed too early", xics.failAgainstLower, "forgetConsumedNote", 2),
  R.race("R2", "map bit before resend flag", xics.twoFailAgainstScan, "mapBeforeMark", 2),
  R.race("R3", "two scanners", xics.twoScanners, "scanUnasked", 2),
  R.race("R4", "set-xive and scan", xics.entryAgainstScan, "entryKeepsMark", 2),
  R.race("R5", "reject against resend", xics.rejectAgainstEnd, "markRejected", 2),
  R.race("R6", "rejected source moved", xics.moveAgainstReject, "keepServerOfRejected", 2),
  R.reproduced("R7", "stale IPI", words.staleIpi, 0, "An MFRR that becomes less favoured takes nothing back, and the word of a server whose pending priority is not its MFRR is refused."),
  R.race("R8", "EE clear outside the owner", xics.requestAgainstDelivery, "lowerForeign", 2),
  R.race("R9", "LSI dropped after presentation: a newer source retracted", xics.fallAgainstDelivery, "retractLevel", 2),
  R.trap("R9", "LSI dropped after presentation", "retractLevel", 31, vectors.vector31),
  R.reproduced("R10", "LSI re-raised during EOI", xics.levelAgainstEoi, 1, "The EOI lowers the priority first and looks at the line afterwards: at most one presentation more than needed for each EOI, which ends it."),
  R.race("R11", "MSI trigger against EOI without CAS", xics.messageAgainstEoi, "swapPqBlindly", 2),
  R.reproduced("R12", "LSI restored while in xisr", words.restorePresentedLevel, 0, "The word of a level says that its line is high, not whether it is presented: a restore delivers it, and a delivery that fails waits for the next EOI."),
  R.reproduced("R13", "double int-off", words.maskTwice, 1, "int-off saves the priority of the moment, which is the mask itself after another int-off."),
  R.race("R14", "mask while presented", xics.maskAgainstReject, "forgetMasked", 2),
  R.trap("R14", "mask while presented: rejected", "forgetMasked", 26, vectors.vector26),
  R.reproduced("R15", "masked LSI deasserted", words.maskedLevelFalls, 0, "A line that falls clears P, and not the mark of the delivery that found the source masked."),
  R.reproduced("R16", "server vanishes: the message", xics.goneServerOfMessage, 1, "A delivery that finds no server ends before it looks at the source's priority, and before it marks anything."),
  R.impossible("R16", "server vanishes: an endless loop", "a delivery looks its server up anew whenever it begins again, and ends where it finds none", () => searched(xics.moveFromGoneServer, {}, 2)),
  R.reproduced("R17", "source restored before ICP", words.sourceBeforeServer, 0, "A server's word opens it without a scan where its MFRR does not become less favoured, and a fresh one's is 0xff."),
  R.race("R17", "source restored before ICP: of all orders", restore.restoreOrder, "sourcesBeforeServers", 1),
  R.reproduced("R18", "ICP restored before its block", words.serverBeforeBlock, 0, "A server's word may name a source only in a block that exists: user space creates all sources first."),
  R.race("R18", "ICP restored before its block: of all orders", restore.restoreOrder, "serversBeforeBlocks", 1),
  R.reproduced("R19", "SET on a live source: queued", words.wordOverQueued, 0, "The word says P and Q, and replaces both: what is in service is reconfigured through RTAS."),
  R.reproduced("R19", "SET on a live source: in service", words.wordInService, 0, "The word says P and Q, and replaces both: what is in service is reconfigured through RTAS."),
  R.race("R19", "SET on a live source: of all orders of a restore", restore.restoreOrder, "irqfdsBeforeSources", 1),
  R.race("R19", "SET on a live source: under a firmware call", xics.wordAgainstEntry, "entryReadEarly", 2),
  R.reproduced("R20", "error hidden by IRQ_LINE", kvm.lineOfNobody, 0, "What became of the line is in the status, which KVM_IRQ_LINE does not copy back."),
  R.reproduced("R21", "plain irqfd on LSI", kvm.plainIrqfdOnLevel, 0, "The wake-up sends level 1, and nobody sends level 0."),
  R.trap("R22", "resample listener after re-present", "ackBeforeEnd", 51, vectors.vector51),
  R.race("R23", "block creation race", xics.blockAgainstBlock, "createBlockTwice", 2),
  R.race("R23", "block creation race: found before it is scanned", xics.blockEndAgainstScan, "blockBeforeEnd", 2),
  R.race("R24", "release against running vCPU", kvm.releaseAgainstEoi, "releaseUnlocked", 1),
  R.race("R24", "release against a firmware call", kvm.releaseAgainstRtas, "releaseBesideRtas", 2),
  R.race("R24", "release against a call on a range", kvm.releaseAgainstSetSources, "rangeUnlocked", 1),
  R.reproduced("R24", "release against an irqfd", kvm.releaseAgainstIrqfd, 1, "An irqfd and KVM_IRQ_LINE hold neither the device nor kvm.lock, and Linux frees the blocks at the device's release while they may be at one."),
  R.race("R25", "CPPR compared inside against outside", kvm.oneRegAgainstCppr, "oneRegUnlocked", 1),
  R.reproduced("R26", "scan order", xics.scanAgainstAccept, 1, "A scan goes by the sources' numbers: what is less favoured is presented until it is rejected, and the guest may be quicker."),
  R.trap("R27", "EOI to raise priority", "rejectAtEoi", 54, vectors.vector54),
];
