import type { PhysicalGic } from "../arch/gic/contract.js";
import type { Sim } from "../sim/sim.js";
import type { WorkQueue } from "../sim/workqueue.js";

/** What KVM needs of the host kernel; `Host` (src/host/machine.ts) is one. */
export interface KvmHost {
  readonly sim: Sim;
  /** The shared system work queue: an irqfd's inject work. */
  readonly events: WorkQueue;
  /** `kvm-irqfd-cleanup`, one for all VMs: an irqfd's shutdown work. */
  readonly irqfdCleanup: WorkQueue;
  /** The controller guests are served with; null on a host without one. */
  readonly gic: PhysicalGic | null;
}
