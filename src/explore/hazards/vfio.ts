import type { HazardCase } from "../hazard-case.js";
import * as pci from "../protocols/vfio-pci.js";
import { CasesOf } from "./cases.js";

const V = new CasesOf("vfio.md");

/** vfio.md 23: those whose rule can be taken out. The other protocols of that section are searched with their rules. */
export const VFIO_HAZARDS: readonly HazardCase[] = [
  V.race("23.5", "a trigger is replaced under its handlers and its worker", pci.swapAgainstUnmask, "swapWithoutSync", 2),
  V.race("23.9", "a resample while the user has INTx disabled", pci.resampleAgainstUserDisable, "unmaskWhileDisabled", 1),
  V.race("23.21", "a BAR goes away under an access", pci.memoryOffAgainstStore, "zapWithoutWait", 2),
  V.race("23.29", "the receiver of an unmask eventfd signals inside the wake-up", pci.resampleWhileAsserted, "signalInWakeup", 1),
];
