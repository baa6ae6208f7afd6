import type { HostCpu } from "../../host/cpu.js";
import type { XicsHost } from "../../host/xics/xics-host.js";
import type { Sim } from "../../sim/sim.js";
import type { WorkQueue } from "../../sim/workqueue.js";
import type { KvmHost } from "../host.js";

export interface PpcModuleOptions {
  /** halt_poll_ns, the longest halt poll; default 0: off. */
  haltPollMaxNs?: number;
}

/** KVM on a POWER host. */
export class PpcModule implements KvmHost {
  readonly sim: Sim;
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic = null;
  readonly cpus: readonly HostCpu[];
  readonly counterHz = 0;
  readonly haltPollMaxNs: number;
  readonly loaded = [];

  constructor(host: XicsHost, options: PpcModuleOptions = {}) {
    this.sim = host.sim;
    this.events = host.events;
    this.irqfdCleanup = host.irqfdCleanup;
    this.cpus = host.cpus;
    this.haltPollMaxNs = options.haltPollMaxNs ?? 0;
  }
}
