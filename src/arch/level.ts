import type { Step } from "../sim/step.js";

/**
 * Where a level-triggered source ends: a wire with a state. Level and edge are different types end to end, so that
 * one cannot be connected where the other belongs.
 */
export interface LevelSink {
  readonly trigger: "level";
  setLevel(isHigh: boolean): Step<void>;
}

/** Where an edge-triggered source ends: each call is one rising edge. */
export interface EdgeSink {
  readonly trigger: "edge";
  pulse(): Step<void>;
}
