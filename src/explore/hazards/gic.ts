import type { HazardCase } from "../hazard-case.js";
import * as kicks from "../protocols/kicks.js";
import { moveAgainstRoute, queueAgainstRoute } from "../protocols/vgic.js";
import { CasesOf } from "./cases.js";
import * as vgic from "./vgic-vectors.js";

const R = new CasesOf("gic.md");

/**
 * gic.md D2, as far as it needs neither an ITS nor direct injection: R1 to R29, R40 to R49 and R53 to R57 wait for the
 * machines that they are about. (R24 is kvm-irq-core.md's H4 and H5.)
 */
export const GIC_HAZARDS: readonly HazardCase[] = [
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
