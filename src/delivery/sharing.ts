import type { MechanismName } from "../board/assign.js";
import { BusyThread } from "../host/busy-thread.js";
import type { HostCpu } from "../host/cpu.js";
import { RunQueue, type RunQueueGroup } from "../host/run-queue.js";
import type { Workload } from "../scenario/scenario.js";
import { Context } from "../sim/context.js";
import { Cost, type CostTable } from "../sim/cost.js";
import type { Step } from "../sim/step.js";
import type { Stage, StageRequest } from "./stage.js";

/** How long the neighbour of `direct:runnable` keeps the CPU, and how long it must have had it when the interrupt comes. */
export const NEIGHBOUR_NS = 20_000;
const AHEAD_NS = 2000;
const NS_PER_S = 1e9;

/** Who else wants the CPUs of the vCPUs. */
export interface Sharing {
  /** Virtual time in which each thread has had its turn; 0: every vCPU has its CPU, as far as the board has them. */
  readonly roundNs: number;
  /** Is to be woken that long before each interrupt; null: nothing is. */
  readonly ahead: { readonly context: Context; readonly ns: number } | null;
  /** Once the guest has booted. */
  begin(): void;
  /** The CPUs whose threads have them by turns. */
  readonly group: RunQueueGroup;
}

const hasNeighbour = (mechanism: MechanismName): boolean => mechanism === "direct:runnable" || mechanism === "direct:blocked";

/** Do threads have a CPU by turns? */
export const takesTurns = (mechanism: MechanismName, workload: Workload): boolean => workload.cpus !== undefined || hasNeighbour(mechanism);

/** Several vCPUs on each CPU where the workload says so, or the neighbour that a mechanism shows its way with. */
export function shareCpus({ machine, vmm }: Stage, { request, mechanism }: StageRequest): Sharing {
  const { cpus, sliceNs, vcpus } = request.workload;
  const { sim, host } = machine;
  const group: RunQueueGroup = { sliceNs, queues: [], endsLeft: Infinity };
  const nobody: Sharing = { roundNs: 0, ahead: null, begin: () => {}, group };
  if (cpus !== undefined) {
    for (const cpu of new Set(vmm.threads.map((thread) => thread.cpu))) RunQueue.add(sim, host.cpus[cpu], group);
    return { ...nobody, roundNs: sliceNs * (Math.ceil(vcpus / cpus) + 1) };
  }
  if (!hasNeighbour(mechanism)) return nobody;
  const [{ cpu }] = vmm.threads;
  RunQueue.add(sim, host.cpus[cpu], group);
  const isBlocked = mechanism === "direct:blocked";
  const neighbour = new BusyThread("neighbour", cpu, sim, host.cpus, isBlocked ? Infinity : NEIGHBOUR_NS);
  if (isBlocked) return { ...nobody, begin: () => sim.wake(neighbour, 0) };
  return { ...nobody, ahead: { context: new Alarm(host.cpus[cpu], neighbour), ns: Math.ceil(leadNs((primitive) => sim.costOf(primitive))) } };
}

/** The neighbour's timer. */
class Alarm extends Context {
  constructor(
    private readonly hostCpu: HostCpu,
    private readonly thread: Context,
  ) {
    super("neighbour's timer", "timer", hostCpu.cpu);
  }

  override *body(): Step<void> {
    yield* this.hostCpu.wakeThread(this.thread);
  }
}

/** The guest leaves, and the neighbour comes. */
const leadNs = (costOf: (primitive: number) => number): number => costOf(Cost.exit) + costOf(Cost.wake) + costOf(Cost.contextSwitch) + AHEAD_NS;

/** Why the state that a mechanism shows cannot be brought about before each interrupt; null: it can. */
export function whyNoNeighbour(mechanism: MechanismName, workload: Workload, costs: CostTable, cpus: number): string | null {
  if (!hasNeighbour(mechanism)) return null;
  if (workload.cpus !== undefined) return "with --cpus the turns of the vCPUs decide what state an interrupt meets: direct says how many met which";
  if (mechanism === "direct:runnable" && workload.wait !== "spin") return `the guest waits by ${workload.wait.toUpperCase()}, so a neighbour finds it blocked, which is direct:blocked; --wait spin keeps it runnable`;
  if (cpus < 3) return "it needs a neighbour on a CPU that neither host interrupts nor the VMM use, and the board has too few";
  const least = 2 * leadNs((primitive) => costs[primitive]) + 2 * NEIGHBOUR_NS;
  if (mechanism === "direct:blocked" || NS_PER_S / workload.ratePerSecond >= least) return null;
  return `a neighbour takes the CPU before each interrupt, and they come too fast for that: ask for a --rate of at most ${Math.floor(NS_PER_S / least)}`;
}
