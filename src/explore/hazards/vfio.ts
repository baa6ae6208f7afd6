import type { HazardCase } from "../hazard-case.js";
import { wireAgainstRaise } from "../protocols/assigned-device.js";
import * as pci from "../protocols/vfio-pci.js";
import { CasesOf } from "./cases.js";

const V = new CasesOf("vfio.md");

/** vfio.md 23: those whose rule can be taken out. The other protocols of that section are searched with their rules. */
export const VFIO_HAZARDS: readonly HazardCase[] = [
  V.race("23.5", "a trigger is replaced under its handler", pci.swapAgainstHandler, "swapWithoutSync", 2),
  V.race("23.5", "a trigger is replaced under the worker of its unmask", pci.swapAgainstUnmask, "swapWithoutFlush", 2),
  V.race("23.8", "an unmask eventfd that counts already is attached", wireAgainstRaise, "unmaskSetUpWithoutSample", 1),
  V.race("23.9", "a resample while the user has INTx disabled", pci.resampleAgainstUserDisable, "unmaskWhileDisabled", 1),
  V.race("23.21", "a BAR goes away under an access", pci.memoryOffAgainstStore, "zapWithoutWait", 2),
  V.trapIn("23.29", "the receiver of an unmask eventfd signals inside the wake-up", pci.resampleWhileAsserted, "signalInWakeup", 1),
];
