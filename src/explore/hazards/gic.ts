import type { HazardCase } from "../hazard-case.js";
import { routeAgainstSignal } from "../protocols/ioapic.js";
import * as kicks from "../protocols/kicks.js";
import { moveAgainstRoute, queueAgainstRoute } from "../protocols/vgic.js";
import { CasesOf } from "./cases.js";
import * as vgic from "./vgic-vectors.js";

const R = new CasesOf("gic.md");

/**
 * gic.md D2, as far as it needs neither an ITS nor direct injection. Not here: R25, R26, R28, R29, R40 to R45 and R55 to
 * R57 are the ITS's, R1 to R23, R27, R46 to R49, R53 and R54 those of direct injection.
 */
export const GIC_HAZARDS: readonly HazardCase[] = [
  R.race("R24", "routing update racing injection", routeAgainstSignal, "readTornRoute", 2),
  R.race("R30", "queue without recheck", queueAgainstRoute, "insertWithoutRecheck", 3),
  R.race("R31", "prune migration without recheck", moveAgainstRoute, "moveWithoutRecheck", 3),
  R.trap("R32", "IROUTER of an active interrupt", "moveActive", "gic.md vector VA73", vgic.vectorVA73),
  R.trap("R33", "ICACTIVER without halting", "activeWithoutHalt", "gic.md vector VA71", vgic.vectorVA71),
  R.trap("R34", "level dropped while pending in a list register", "foldLevelPending", "gic-v3.md A9.4", vgic.lineThatFell),
  R.trap("R35", "edge while its list register is in use", "foldOverLatch", "gic.md vector VA62", vgic.vectorVA62),
  R.trap("R36", "mapped PPI not resampled", "neverResample", "gic.md vector VA63", vgic.vectorVA63),
  R.race("R37", "kick before the interrupt is listed", kicks.injectIntoRunningVcpu, "kickBeforeInsert", 1),
  R.race("R38", "WFI check race", kicks.injectIntoHaltedVcpu, "sleepAfterCheck", 1),
  R.race("R39", "interrupt queued during flush", kicks.injectIntoRunningVcpu, "modeAfterCheck", 1),
  R.trap("R50", "DIR for an interrupt on another vCPU", "ignoreDir", "gic.md vector VA72", vgic.vectorVA72),
  R.trap("R51", "EOI for an entry without list register", "ignoreEoiCount", "gic.md vector VA61", vgic.vectorVA61),
  R.trap("R52", "owner conflict", "ignoreOwner", "gic.md vector VA64", vgic.vectorVA64),
];
