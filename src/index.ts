export { Sim, type SimOptions } from "./sim/sim.js";
export { run, type Step, STRAIGHT } from "./sim/step.js";
