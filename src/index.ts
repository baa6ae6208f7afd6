export { Sim, type SimOptions } from "./sim/sim.js";
export { type Clean, explore, type ExploreOptions, replay, type Violation } from "./explore/explorer.js";
export type { Program, Scenario } from "./explore/trial.js";
export { run, type Step, STRAIGHT } from "./sim/step.js";
