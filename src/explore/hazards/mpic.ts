import type { HazardCase } from "../hazard-case.js";
import * as mpic from "../protocols/mpic.js";
import { CasesOf } from "./cases.js";
import * as vectors from "./mpic-vectors.js";

const M = new CasesOf("mpic.md");

/** mpic.md 10. */
export const MPIC_HAZARDS: readonly HazardCase[] = [
  M.reproduced("M1", "IDR never written", mpic.unmaskWithoutTarget, 0, "A reset sets what IDR reads, and not the targets that were made of what was written to it."),
  M.reproduced("M2", "IDR after pending", mpic.targetAfterRaise, 0, "A write of IDR does not evaluate its source again: only its input and its IVPR do."),
  M.reproduced("M3", "retarget while raised", mpic.retargetWhileRaised, 0, "A change of the input tells the targets of the moment, and nobody tells those of before."),
  M.reproduced("M4", "ILR change while active", mpic.outputWhileActive, 0, "What goes inactive is counted down at the output of the moment, wherever it was counted up."),
  M.reproduced("M5", "IACK under CTPR", mpic.acknowledgeUnderCtpr, 0, "An acknowledge uses an edge up whether or not it gives its vector."),
  M.reproduced("M6", "stale cache at CTPR write", mpic.ctprAfterAcknowledge, 0, "An acknowledge takes the edge out of the queue, and leaves the priority that the queue had."),
  M.reproduced("M7", "EOI ignores CTPR", mpic.endUnderCtpr, 0, "An EOI compares what waits with what is in service, and with nothing else."),
  M.reproduced("M8", "wrong EOI order", mpic.endsOutOfOrder, 0, "An EOI names nothing: the most urgent in service has ended."),
  M.reproduced("M9", "MSI read after EOI", mpic.endBeforeMessageRead, 0, "A message is a level that its register's read lowers."),
  M.reproduced("M10", "two MSIs, one register", mpic.twoMessages, 0, "A message is a bit of its register, and the register one input."),
  M.trap("M11", "level drop before IACK", "keepFallenLevel", 9, vectors.vector9),
  M.trap("M12", "IPI to self and other", "forgetOtherTargets", 20, vectors.vector20),
  M.trap("M13", "directed edge to two CPUs", "keepEdgeActive", 18, vectors.vector18),
  M.reproduced("M14", "IACK during reset", mpic.resetWithLineUp, 0, "A reset empties the queues, and leaves the lines."),
  M.trap("M15", "ack listener re-drives: the bits are settled before", "settleAfterAck", 8, vectors.vector8),
  M.trapIn("M15", "ack listener re-drives: the lock held", mpic.mpicEoiAgainstRaise, "ackUnderLock", 1),
  M.reproduced("M16", "reading IACK by attribute", mpic.debuggerAgainstGuest, 0, "A read by the attribute is a guest's read that nobody makes: inspectMpic looks without one."),
  M.reproduced("M17", "half-width IACK", mpic.halfAcknowledge, 0, "The register is read before the width of the access is looked at."),
  M.reproduced("M18", "shared input", mpic.sharedInput, 0, "An input knows no sources: the last who drives it wins, whatever its irq source id."),
  M.reproduced("M19", "nb_cpus grows", mpic.targetBeforeCpu, 0, "What is written to IDR is masked by the CPUs of that moment."),
  M.trap("M20", "priority changed while raised", "quietPriority", "mpic.md 5.1", vectors.priorityWhileRaised),
];
