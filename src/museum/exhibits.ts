import type { Exhibit } from "./exhibit.js";
import { activeAndPending } from "./exhibits/active-and-pending.js";
import { postedToASleeper } from "./exhibits/posted-to-a-sleeper.js";
import { sleepAfterCheck } from "./exhibits/sleep-after-check.js";
import { unmaskOnAccessStorm } from "./exhibits/unmask-on-access-storm.js";
import { unmaskOnAccessWedge } from "./exhibits/unmask-on-access-wedge.js";
import { unmaskSetUpLate } from "./exhibits/unmask-set-up-late.js";

/** The museum, from the core outwards: irqfds and resamplers, the IOAPIC, VMMs, forwarding, vCPUs, the vGIC. */
export const EXHIBITS: readonly Exhibit[] = [
  unmaskSetUpLate,
  unmaskOnAccessWedge,
  unmaskOnAccessStorm,
  sleepAfterCheck,
  postedToASleeper,
  activeAndPending,
];
