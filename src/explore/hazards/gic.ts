import type { HazardCase } from "../hazard-case.js";
import { routeAgainstSignal } from "../protocols/ioapic.js";
import * as kicks from "../protocols/kicks.js";
import * as its from "../protocols/its.js";
import { moveAgainstRoute, queueAgainstRoute } from "../protocols/vgic.js";
import { timerSilencedInHandler } from "../protocols/vgic-fold.js";
import { CasesOf, searched } from "./cases.js";
import { DIRECT_HAZARDS } from "./gic-v4.js";
import * as vgic from "./vgic-vectors.js";

const R = new CasesOf("gic.md");

const OTHERS: readonly HazardCase[] = [
  R.race("R24", "routing update racing injection", routeAgainstSignal, "readTornRoute", 2),
  R.trapIn("R25", "stale translation cache: DISCARD", its.messageAgainstDiscard, "keepTranslations", 2),
  R.trapIn("R25", "stale translation cache: MAPD", its.messageAgainstUnmap, "keepTranslations", 2),
  R.race("R26", "insert after invalidate", its.messageAgainstDiscard, "rememberUnlocked", 2),
  R.impossible("R28", "resurrecting a dying LPI",
    "an LPI is its place in one table: the last reference goes, and the next lookup is made, in one access each, and a new mapping begins with nothing", () => searched(its.mapsOfOneLpi, {}, 2)),
  R.impossible("R29", "two MAPTI of the same LPI from two ITSs", "finding an LPI and making it is one access to that table", () => searched(its.mapsOfOneLpi, {}, 2)),
  R.race("R30", "queue without recheck", queueAgainstRoute, "insertWithoutRecheck", 3),
  R.race("R31", "prune migration without recheck", moveAgainstRoute, "moveWithoutRecheck", 3),
  R.trap("R32", "IROUTER of an active interrupt", "moveActive", "gic.md vector VA73", vgic.vectorVA73),
  R.trap("R33", "ICACTIVER without halting", "activeWithoutHalt", "gic.md vector VA71", vgic.vectorVA71),
  R.trap("R34", "level dropped while pending in a list register", "foldLevelPending", "gic-v3.md A9.4", vgic.lineThatFell),
  R.race("R34", "level dropped in the handler, after its line was noted high", timerSilencedInHandler, "endWithoutSample", 2),
  R.trap("R35", "edge while its list register is in use", "foldOverLatch", "gic.md vector VA62", vgic.vectorVA62),
  R.trap("R36", "mapped PPI not resampled", "neverResample", "gic.md vector VA63", vgic.vectorVA63),
  R.race("R37", "kick before the interrupt is listed", kicks.injectIntoRunningVcpu, "kickBeforeInsert", 1),
  R.race("R38", "WFI check race", kicks.injectIntoHaltedVcpu, "sleepAfterCheck", 1),
  R.race("R39", "interrupt queued during flush", kicks.injectIntoRunningVcpu, "modeAfterCheck", 1),
  R.reproduced("R40", "EnableLPIs=0 racing an MSI", its.messageAgainstDisable, 2,
    "a translation is made and remembered under its_lock, EnableLPIs is cleared and translations forgotten without it: what was asked before is remembered afterwards"),
  R.reproduced("R41", "EnableLPIs=1 erasing a latch", its.messageAgainstEnable, 2,
    "messages are taken on as soon as EnableLPIs is set, and the scan that follows assigns each bit of the pending table"),
  R.impossible("R41", "EnableLPIs=1 erasing a latch: by the strict rule", "with strictPendingScan the scan adds the table's bits to what is latched", () => searched(its.messageAgainstEnable, { strictPendingScan: true }, 2)),
  R.race("R42", "CWRITER from two vCPUs", its.queueOfTwoVcpus, "queueUnlocked", 2),
  R.reproduced("R43", "restore order of CBASER and CWRITER", its.queueRestoredBeforeItsPlace, 0, "a write of CBASER zeroes CREADR and CWRITER, whoever writes: user space restores CBASER first"),
  R.reproduced("R44", "GITS_CTLR disable during a message", its.messageAgainstItsDisable, 2,
    "GITS_CTLR is written under cmd_lock and a message is translated under its_lock: what was asked before is remembered afterwards"),
  R.impossible("R44", "GITS_CTLR disable during processing", "the loop and the write of GITS_CTLR hold cmd_lock", () => searched(its.commandsAgainstItsDisable, {}, 2)),
  R.race("R45", "SAVE_TABLES with running vCPUs", its.saveAgainstRun, "saveWhileRunning", 2),
  R.trap("R50", "DIR for an interrupt on another vCPU", "ignoreDir", "gic.md vector VA72", vgic.vectorVA72),
  R.trap("R51", "EOI for an entry without list register", "ignoreEoiCount", "gic.md vector VA61", vgic.vectorVA61),
  R.trap("R52", "owner conflict", "ignoreOwner", "gic.md vector VA64", vgic.vectorVA64),
  R.reproduced("R55", "CLEAR versus a list register on another vCPU", its.clearOfRunningVcpu, 1,
    "CLEAR changes the latch alone: a vCPU that has the LPI in a list register latches it again when it leaves its guest"),
  R.reproduced("R56", "re-enable after EnableLPIs=0 with PTZ=1", its.latchBehindDisable, 0,
    "EnableLPIs=0 takes LPIs off the list and leaves their latches, and PTZ=1 has nobody look at them until the next event"),
  R.impossible("R56", "re-enable after EnableLPIs=0 with PTZ=1: by the strict rule", "with strictDisable no latch outlives EnableLPIs", () => searched(its.latchBehindDisable, { strictDisable: true }, 1)),
  R.reproduced("R57", "SAVE_PENDING concurrent with an MSI", its.messageAgainstSavePending, 2,
    "the vCPUs are stopped and devices are not: user space has to quiesce them first"),
];

const numberOf = ({ id }: HazardCase): number => Number(id.split(" R")[1]);

/** gic.md D2, all of it. */
export const GIC_HAZARDS: readonly HazardCase[] = [...OTHERS, ...DIRECT_HAZARDS].sort((a, b) => numberOf(a) - numberOf(b));

const B = new CasesOf("gic-its.md");

/** What gic.md does not number. */
export const GIC_ITS_HAZARDS: readonly HazardCase[] = [
  B.trapIn("B4.6", "entry that a DISCARD leaves in the table", its.restoreBehindDiscard, "keepDiscardedEntry", 2),
  B.race("B4.11", "MOVALL against a mapping", its.moveAllAgainstMap, "moveAllWithoutLook", 2),
  B.reproduced("B6.1", "INVALL against a configuration write", its.invalidateAllAgainstInvalidate, 2,
    "a configuration byte is read before the LPI's lock is taken, and a redistributor's INVALLR holds no lock of an ITS: an older byte may be the last to be stored"),
];
