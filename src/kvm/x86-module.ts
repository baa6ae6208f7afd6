import { HostApics } from "../host/host-apics.js";
import { HostCpu, type Ipi } from "../host/cpu.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { WorkQueue } from "../sim/workqueue.js";
import type { KvmHost } from "./host.js";

export interface X86ModuleOptions {
  /** Physical CPUs; `sim` has at least one clock for each. Default 1. */
  cpus?: number;
  /** halt_poll_ns, the longest halt poll; default 0: off. */
  haltPollMaxNs?: number;
}

/** KVM on an x86 host, which has CPUs that interrupt one another, and nothing else here. */
export class X86Module implements KvmHost {
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic = null;
  readonly cpus: readonly HostCpu[];
  readonly counterHz = 0;
  readonly haltPollMaxNs: number;
  readonly loaded = [];

  constructor(
    readonly sim: Sim,
    options: X86ModuleOptions = {},
  ) {
    this.events = new WorkQueue(sim, "events");
    this.irqfdCleanup = new WorkQueue(sim, "kvm-irqfd-cleanup");
    this.haltPollMaxNs = options.haltPollMaxNs ?? 0;
    const apics = new HostApics(options.cpus ?? 1);
    const cpus: HostCpu[] = [];
    for (let cpu = 0; cpu < apics.cpus; cpu++) cpus.push(new X86HostCpu(sim, cpu, apics, cpus));
    this.cpus = cpus;
  }
}

/** A CPU that IPIs alone interrupt: the host's devices are not modelled here. */
class X86HostCpu extends HostCpu {
  constructor(
    sim: Sim,
    cpu: number,
    private readonly apics: HostApics,
    peers: readonly HostCpu[],
  ) {
    super(sim, cpu, apics, peers);
  }

  protected override *takeOne(): Step<void> {
    const ipi = yield* this.apics.acknowledge(this.cpu);
    if (ipi < 0) {
      this.spurious++;
      return;
    }
    this.interrupts++;
    this.ipisTaken[ipi]++;
  }

  protected override *sendSignal(to: number, kind: Ipi): Step<void> {
    yield* this.apics.send(to, kind);
  }
}
