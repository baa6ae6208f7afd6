import type { HazardCase } from "../hazard-case.js";
import * as lines from "../protocols/host-lines.js";
import * as kicks from "../protocols/kicks.js";
import { unmaskAgainstFirstShot } from "../protocols/vfio-platform.js";
import { CasesOf } from "./cases.js";
import * as host from "./host-line-vectors.js";
import * as kvm from "./kvm-base-vectors.js";

const K = new CasesOf("host-irq.md");

/** host-irq.md 7. */
export const HOST_IRQ_HAZARDS: readonly HazardCase[] = [
  K.trap("K1", "lazy disable treated as mask", "maskAtDisable", 2, host.vector2),
  K.trap("K2", "level line replayed", "resendLevel", 3, host.vector3),
  K.race("K3", "edge lost while disabled", lines.edgeAgainstDisable, "forgetMaskedEdge", 2),
  K.race("K4", "resend twice", lines.edgeAgainstTwoEnables, "resendAgain", 2),
  K.race("K5", "enable before the second shot", lines.automaskAgainstGuest, "actOnOldDisabled", 2),
  K.trapIn("K6", 'unmask skipped because "not masked"', unmaskAgainstFirstShot, "unmaskByChip", 2),
  K.trap("K7", "disable_irq in the handler path", "automaskAndWait", "vfio.md vector 94", host.vfioVector94),
  K.trap("K8", "free_irq while forwarded and active", "maskKeepsActive", 32, host.vector32),
  K.trap("K9", "DIR written for a forwarded interrupt", "deactivateForwarded", 31, host.vector31),
  K.trap("K10", "EOIR skipped for a forwarded interrupt", "keepForwardedPriority", 31, host.vector31),
  K.trap("K11", "deactivation on the wrong CPU", "keepPpiActive", "host-irq.md 2.5, 6", kvm.timerPpiFollowsVcpu),
  K.trap("K12", "HW list register with pending and active", "pendingActiveHw", "host-irq.md I7", kvm.noPendingAndActiveHw),
  K.trap("K13", "UIE with one list register", "alwaysUnderflow", 56, kvm.vector56),
  K.trap("K14", "maintenance interrupt needs its handler", "foldByInterrupt", 56, kvm.vector56),
  K.race("K15", "kick before data", kicks.injectIntoRunningVcpu, "kickBeforeRequest", 1),
  K.race("K16", "mode written late", kicks.injectIntoRunningVcpu, "modeAfterCheck", 1),
  K.trap("K17", "double IPI", "kickWithoutSwap", 61, kvm.vector61),
  K.race("K18", "wake lost between poll and sleep", kicks.injectIntoHaltedVcpu, "sleepAfterCheck", 1),
  K.trap("K19", "unhandled flood by a shared line: the window", "countHandled", 24, host.vector24),
  K.trap("K20", "spurious counter as doomsday timer", "countForEver", 23, host.vector23),
  K.race("K21", "LPI taken on two CPUs during an affinity move", lines.lpiAgainstMove, "dropInProgress", 2),
  K.reproduced("K21", "LPI resent into a handler that still runs", lines.lpiAgainstMoveAndEnable, 3,
    "check_irq_resend refuses while REPLAY is set, and the busy path of handle_fasteoi_irq sets PENDING without clearing REPLAY (6.17): nobody looks again."),
  K.trap("K22", "hot-unplug overwrites affinity", "returnUnmanaged", 27, host.vector27),
  K.impossible("K23", "MSI message stale after a domain move",
    "Messages are composed at activation; a group does not leave its container while its device is open, and the last close frees the vectors. That is so of groups and containers; a move by iommufd is not tried here.", kvm.staleMessageIsRefused),
  K.trap("K24", "user map covers the doorbell window", "attachWithoutLook", "vfio.md 17.3, 5", kvm.attachLooksAtMappings),
  K.trap("K25", "mbigen clear bit from q instead of p", "clearByIndex", 60, host.vector60),
  K.trap("K26", "MMIO completed twice or never", "completeTwice", 85, kvm.vector85),
  K.trap("K27", "vCPU freed on close", "freeVcpuAtClose", 74, kvm.vector74),
  K.trap("K28", "SGI EOI without source (v2)", "eoiWithoutSource", 49, host.vector49),
  K.reproduced("K29", "immediate exit race", kicks.immediateExitWithoutSignal, 1,
    "KVM_RUN reads immediate_exit once, at its start; only a signal reaches a vCPU that is past it."),
  K.reproduced("K30", "stale level message behind an LPI", lines.staleMessageBehindLpi, 1,
    "The clear of the masked second message lets the pin, still high, send a third; filtering it would hide lost edges (K3)."),
];
