/** A race, or an outcome to be reproduced, that the reduction comes to only behind more executions than a check may make. */
interface BeyondDpor {
  /** As the specification numbers it. */
  readonly id: string;
  readonly protocol: string;
  readonly reason: string;
}

const VCPU = "a whole vCPU with its timer and its host's CPU, hundreds of steps: depth first, the orders that differ early come last";
const LINE = "a line, its handler, its guest and two more threads: depth first, the orders that differ early come last";
const LPI = "an ITS's commands, two CPUs' handlers and a move: depth first, the orders that differ early come last";

/** Found by the preemption-bounded search, and by the reduction not within {@link DPOR_EXECUTIONS}. */
export const BEYOND_DPOR: readonly BeyondDpor[] = [
  { id: "host-irq.md K5", protocol: "automask-against-guest", reason: LINE },
  { id: "host-irq.md K16", protocol: "inject-into-running-vcpu", reason: VCPU },
  { id: "host-irq.md K18", protocol: "inject-into-halted-vcpu", reason: VCPU },
  { id: "host-irq.md K21", protocol: "lpi-against-move", reason: LPI },
  { id: "host-irq.md K21", protocol: "lpi-against-move-and-enable", reason: LPI },
];

/** Executions within which the reduction finds all others. */
export const DPOR_EXECUTIONS = 3_000;
