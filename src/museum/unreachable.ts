import type { Exhibit } from "./exhibit.js";
import { changeInAListRegister } from "./unreachable/change-in-a-list-register.js";
import { pinHeldBackAtEoi } from "./unreachable/pin-held-back-at-eoi.js";
import { unmaskSetUpLate } from "./unreachable/unmask-set-up-late.js";

/** A bug that was told, and cannot happen as it was told: its program is searched with every rule in force, and loses nothing. */
export interface Unreachable extends Pick<Exhibit, "name" | "title" | "year" | "cite" | "story" | "protocol"> {
  /** Why it cannot, a sentence. */
  readonly why: string;
  /** The exhibit that stands in its place. */
  readonly instead: string;
  readonly bound: {
    /** Interruptions up to which the program is searched, whole. */
    readonly preemptions: number;
  };
}

/** What the museum was asked to show and cannot, with the proof. */
export const UNREACHABLE: readonly Unreachable[] = [unmaskSetUpLate, pinHeldBackAtEoi, changeInAListRegister];
