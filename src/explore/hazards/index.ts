import type { HazardCase } from "../hazard-case.js";
import { HOST_IRQ_HAZARDS } from "./host-irq.js";

/** The numbered hazards of the specifications, in their order. */
export const HAZARD_CASES: readonly HazardCase[] = [...HOST_IRQ_HAZARDS];
