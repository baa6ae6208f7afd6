import type { SearchStrategy } from "../../scenario/exploration.js";

/** Executions that a search, and each that goes on with it, makes when nobody says how many. */
export const LIMIT = 100_000;

/** What a person says to `virq explore`. */
export interface ExploreCommandOptions {
  readonly strategy?: SearchStrategy;
  readonly preemptions?: number;
  readonly depth?: number;
  readonly limit?: number;
  readonly steps?: number;
  readonly seed?: number;
  readonly workers?: number;
  readonly without?: readonly string[];
  readonly property?: readonly string[];
  readonly module?: string;
  readonly resume?: string;
  readonly save?: string;
  readonly writeTest?: string;
  readonly whole?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
}

/** What a person says to `virq replay`. */
export interface ReplayCommandOptions {
  readonly steps?: number;
  readonly without?: readonly string[];
  readonly property?: readonly string[];
  readonly module?: string;
  readonly whole?: boolean;
  readonly json?: boolean;
}

/** What a person says to `virq museum`. */
export interface MuseumCommandOptions {
  readonly all?: boolean;
  readonly whole?: boolean;
  readonly json?: boolean;
}
