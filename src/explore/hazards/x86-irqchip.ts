import type { HazardCase } from "../hazard-case.js";
import * as ioapic from "../protocols/ioapic.js";
import * as apics from "../protocols/local-apics.js";
import { CasesOf } from "./cases.js";
import * as vectors from "./x86-vectors.js";

const X = new CasesOf("x86-irqchip.md");
const REPRODUCE = "KVM's chips do so, and the specification has them reproduced.";

/** x86-irqchip.md 18. */
export const X86_IRQCHIP_HAZARDS: readonly HazardCase[] = [
  X.trap("X1", "re-assert inside the ack listener", "clearRemoteIrrBeforeAck", "x86-irqchip.md 5.6", vectors.raisedInAcknowledge),
  X.reproduced("X2", "vector changed while remote IRR set", ioapic.vectorChangeAgainstEnd, 1, REPRODUCE),
  X.race("X3", "destination changed while pending", ioapic.retargetAgainstService, "scanWithoutPending", 1),
  X.trap("X4", "pending only in PIR", "scanWithoutMerge", "x86-irqchip.md 8.3", vectors.postedIsHandled),
  X.reproduced("X5", "edge message on a level vector", ioapic.messageOnLevelVector, 1, REPRODUCE),
  X.reproduced("X6", "edge while masked", ioapic.edgeWhileMasked, 1, "An unmasked edge entry is never serviced: the edge stays latched until the line falls and rises again."),
  X.trap("X7", "level dropped while masked behind a resampler", "serviceOnUnmask", "x86-irqchip.md 5.3, 5", vectors.unmaskTellsResampler),
  X.reproduced("X8", "stale source bit after X7", ioapic.staleSourceBehindResampler, 0, "The unmask clears the request, not the resampler's source bit: the next acknowledge does."),
  X.reproduced("X9", "software-disabled target", ioapic.enableAgainstRaise, 1, "A write of SPIV tries nothing again: the next line change, entry write or EOI does."),
  X.trap("X10", "EOI storm", "eoiWithoutPause", 33, vectors.vector33),
  X.race("X11", "ON cleared late", apics.postTwice, "clearOnLate", 2),
  X.race("X12", "SN window", apics.loadAgainstPost, "loadWithoutCheck", 1),
  X.race("X13", "block against post", apics.blockAgainstPost, "blockWithoutCheck", 2),
  X.trap("X14", "wakeup list of the wrong CPU", "unlistFromNewCpu", "x86-irqchip.md 10.4", vectors.unlistedWhereItBlocked),
  X.race("X15", "irr_pending hint: set", apics.requestAgainstTake, "hintBeforeBit", 2),
  X.race("X15", "irr_pending hint: cleared", apics.requestAgainstTake, "hintClearedLast", 2),
  X.trap("X16", "slave spurious", "spuriousInService", 6, vectors.vector6),
  X.trap("X17", "master spurious", "spuriousInService", 7, vectors.vector7),
  X.trap("X18", "PIC listener recursion", "picOutputBeforeAck", "x86-irqchip.md 4.6", vectors.raisedByListener),
  X.reproduced("X19", "restore order", ioapic.restoreOrder, 0, "KVM_SET_LAPIC replaces the IRR: what KVM_SET_IRQCHIP has sent before is gone. User space has to keep the order of section 13."),
  X.trap("X20", "delivered edge saved", "saveDeliveredEdges", 46, vectors.vector46),
  X.race("X21", "resampling source shared", ioapic.sharedPinAgainstEnd, "deassertPerMember", 2),
  X.race("X22", "route switch during signal", ioapic.routeAgainstSignal, "readTornRoute", 2),
  X.trap("X23", "split exit against reroute", "exitWithoutRetest", "x86-irqchip.md 8.2", vectors.exitIsTestedAgain),
  X.reproduced("X23", "split exit against reroute, before the scan", apics.splitExitAgainstReroute, 1,
    "The exit is tested against the handled vectors of the last scan, and the exit's request is looked at before the scan's."),
  X.reproduced("X24", "0xff in x2APIC cluster mode", apics.broadcastQuirk, 0, "The quirk is on until user space takes it away (DISABLE_BROADCAST_QUIRK)."),
  X.reproduced("X25", "hash picks an absent CPU", apics.hashPicksAbsentCpu, 1, REPRODUCE),
  X.trapIn("X26", "INIT after start-up", apics.initAfterStartup, "initKeepsStartup", 1),
  X.trap("X27", "KVM_INTERRUPT twice", "overwriteExtInt", "x86-irqchip.md 2", vectors.interruptTwice),
  X.trap("X28", "shared vector on two level pins", "ackFirstPinOnly", 35, vectors.vector35),
];
