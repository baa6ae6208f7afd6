import type { HazardCase } from "../hazard-case.js";
import * as bypass from "../protocols/bypass.js";
import * as forwarding from "../protocols/forwarding.js";
import * as injection from "../protocols/injection.js";
import * as ioeventfd from "../protocols/ioeventfd.js";
import * as irqfd from "../protocols/irqfd.js";
import * as pci from "../protocols/vfio-pci.js";
import * as resampler from "../protocols/resampler.js";
import * as routing from "../protocols/routing.js";
import * as x86Eoi from "../protocols/x86-eoi.js";
import * as x86Pit from "../protocols/x86-pit.js";
import { CasesOf, searched } from "./cases.js";
import { vector36, vector40, vector94, waitInsideReader } from "./core-vectors.js";

const core = new CasesOf("kvm-irq-core.md");

/** kvm-irq-core.md 10.2. */
export const KVM_IRQ_CORE_HAZARDS: readonly HazardCase[] = [
  core.race("H1", "lost first event", irqfd.assignAgainstSignal, "sampleBeforeInsert", 2),
  core.race("H2", "event seen twice", irqfd.signalInjectedOnce, "keepCount", 1),
  core.reproduced("H2", "event seen twice", irqfd.signalInjectedOnce, 2, "poll samples the count without the eventfd lock: between a signal's count and its callback the rule does not reach"),
  core.race("H3", "callback before the route is known", routing.assignAgainstReroute, "routeOutsideLock", 2),
  core.impossible(
    "H3",
    "a callback that reads an unset route injects nothing, or garbage",
    "an unset route is of type 0, and an irqfd is active only once its route is set: either sends the callback to the work item, which asks the table",
    () => searched(irqfd.assignAgainstSignal, { routeAfterInsert: true }, 2) ?? searched(routing.assignMessageAgainstSignal, { routeAfterInsert: true }, 2),
  ),
  core.race("H4", "torn route", routing.rerouteAgainstSignal, "readTornRoute", 2),
  core.race("H5", "old message after the routing ioctl returned", routing.rerouteAgainstSignal, "swapWithoutWait", 2),
  core.reproduced("H6", "old route from a work item", routing.rerouteAgainstWork, 2, "a work item injects by copies of the entries, outside the reader section, so that the swap does not wait for it"),
  core.trapIn("H7", "injection after deassign", irqfd.deassignAgainstSignal, "returnBeforeShutdown", 2),
  core.race("H8", "flush before unhook", irqfd.deassignAgainstSignal, "flushBeforeUnhook", 2),
  core.race("H9", "double deactivation", irqfd.deassignAgainstClose, "deactivateUnasked", 2),
  core.trapIn("H10", "teardown inside the callback", irqfd.assignAgainstSignalAndClose, "shutdownInHangUp", 1),
  core.race("H11", "hang-up during assign: the lock order", irqfd.busyAssignAgainstClose, "dropFileEarly", 2),
  core.race("H11", "hang-up during assign: shutdown under the assigner", irqfd.assignAgainstDeassign, "shutdownWithoutWait", 2),
  core.race("H12", "resampler freed without a grace period", resampler.leaveAgainstAcknowledge, "freeResamplerEarly", 2),
  core.race("H13", "resamplefd context dropped too early", resampler.leaveAgainstAcknowledge, "dropResamplefdEarly", 2),
  core.race("H13", "resamplefd context dropped too early: by one who leaves others behind", resampler.leaveOthersAgainstAcknowledge, "leaveWithoutWait", 2),
  core.race("H14", "one deassert per member", resampler.sharedLineAgainstAcknowledge, "deassertPerMember", 2),
  core.race("H15", "notify before deassert", resampler.sharedLineAgainstAcknowledge, "notifyBeforeDeassert", 2),
  core.race("H16", "acknowledge of the final injection", resampler.leaveAgainstAcknowledge, "keepLineAtLeave", 2),
  core.race("H17", "manual deassert too early", resampler.leaveAgainstSignal, "leaveBeforeFlush", 2),
  core.impossible(
    "H18",
    "new member misses an acknowledge",
    "a walk that misses the member began before RJ4, so its de-assert (AK3 before AK4) came before anything that the member asserts: the line stays up and the next acknowledge tells it, even without RJ5",
    () => searched(resampler.joinAgainstAcknowledge, { joinWithoutWait: true }, 2),
  ),
  core.reproduced("H19", "EBUSY after joining: the owner is told", resampler.busyJoinAgainstAcknowledge, 1, "the member is visible from RJ4 to AS12; consumers tolerate a notification without a trigger (3.5 rule 3)"),
  core.trapIn("H19", "EBUSY after joining: the member leaks", irqfd.reassignAgainstDeassign, "forgetLeaveWhenBusy", 1),
  core.reproduced("H20", "shared source id", injection.lineAgainstPulse, 0, "plain irqfds and KVM_IRQ_LINE share source 0"),
  core.trap("H20", "shared source id: not for resampling irqfds", "resampleBySourceZero", 36, vector36),
  core.race("H21", "re-assert inside the notification: sent twice", x86Eoi.eoiAgainstRetrigger, "clearRemoteIrrBeforeAck", 2),
  core.race("H21", "re-assert inside the notification: not sent at all", x86Eoi.eoiAgainstRetrigger, "eoiWithoutService", 2),
  core.trapIn("H21", "re-assert inside the notification: the chip's lock held", x86Eoi.eoiAgainstRetrigger, "ackUnderLock", 2),
  core.trapIn("H22", "PIC recursion: a decision from before the notification", x86Eoi.picEoiOfQuietLine, "picOutputBeforeAck", 2),
  core.trapIn("H22", "PIC recursion: the chip's lock held", x86Eoi.picEoiAgainstRetrigger, "ackUnderLock", 2),
  core.trap("H23", "stale request at unmask", "serviceOnUnmask", 40, vector40),
  core.reproduced("H24", "route moved under an asserted level", routing.rerouteAsserted, 0, "set and de-assert use the GSI's route of the moment, the acknowledge the pin's GSI of the moment (3.8)"),
  core.race("H25", "routing update between deactivation and unhook", routing.hangUpAgainstReroute, "clearRouteOnDeassign", 1),
  core.trapIn("H25", "host interrupt left posted after a deassign", bypass.deassignPosted, "clearRouteOnDeassign", 1),
  core.trapIn("H26", "table freed while something can inject", routing.releaseAgainstSignal, "releaseWithoutFlush", 2),
  core.race("H26", "table freed while a timer can inject", x86Pit.releaseAgainstTimer, "freeTableBeforeTimers", 2),
  core.race("H27", "producer appears during a routing update", bypass.connectAgainstReroute, "producerOutsideLock", 2),
  core.trapIn("H28", "key outlives the context", bypass.connectAgainstClose, "dropContextEarly", 1),
  core.trap("H29", "stop/start imbalance", "refuseWithoutStart", 94, vector94),
  core.race("H30", "ioeventfd removed under a vCPU", ioeventfd.removeAgainstWrite, "freeBusEarly", 2),
  core.race("H31", "re-assign too early", irqfd.reassignAgainstDeassign, "busyByList", 1),
  core.trapIn("H31", "re-assign too early: in another VM", irqfd.bindInTwoVms, "busyByList", 2),
  core.trapIn("H32", "signal recursion", pci.resampleWhileAsserted, "signalInWakeup", 1),
  core.impossible(
    "H33",
    "wait inside a reader",
    "a context that is inside a reader section of a domain is refused when it waits for that domain: the acknowledge that deassigns is reported, whatever the interleaving",
    waitInsideReader,
  ),
  core.reproduced("H34", "close is not deassign", injection.closeAgainstWork, 1, "hang-up detaches asynchronously; only DE4 is a barrier"),
  core.race("H35", "coalesced triggers", injection.signalAgainstWork, "clearPendingLate", 2),
  core.race("H36", "forward while signalling is live", forwarding.forwardAgainstTrigger, "forwardWhileSignalling", 1),
  core.race("H37", "unforward while active in the guest", forwarding.unforwardActive, "unmarkWithoutDeactivate", 2),
  core.trapIn("H38", "node without its own reference", forwarding.unforwardOneOfTwo, "shareDeviceReference", 1),
  core.race("H39", "two FORWARDs race", forwarding.forwardTwice, "lookUpOutsideMutex", 1),
  core.impossible(
    "H40",
    "release against FORWARD",
    "the ioctl holds a reference to the file that it came by, so that release runs after it",
    () => searched(forwarding.forwardAgainstRelease, {}, 2),
  ),
];
