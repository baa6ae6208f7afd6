/** A race, or an outcome to be reproduced, that the reduction comes to only behind more executions than a check may make. */
interface BeyondDpor {
  /** As the specification numbers it. */
  readonly id: string;
  readonly protocol: string;
  readonly reason: string;
}

const LPI = "an ITS's commands, two CPUs' handlers and a move: not in 40,000 executions, the first not in 60,000 depth first";

/**
 * Found by the preemption-bounded search, and by the reduction not within {@link DPOR_EXECUTIONS}. No dependence is missed in them:
 * in what is found, steps that the reduction takes for independent may change places, and the same comes of it.
 */
export const BEYOND_DPOR: readonly BeyondDpor[] = [
  { id: "host-irq.md K21", protocol: "lpi-against-move", reason: LPI },
  { id: "host-irq.md K21", protocol: "lpi-against-move-and-enable", reason: LPI },
];

/** Executions within which the reduction finds all others. */
export const DPOR_EXECUTIONS = 5_000;
