import { Context } from "../sim/context.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { HostCpu } from "./cpu.js";

/** A thread of the host's own that computes: for ever, or for a while after each wake. */
export class BusyThread extends Context {
  private untilNs = -1;

  /** @param busyNs Infinity: it never sleeps */
  constructor(
    name: string,
    cpu: number,
    private readonly sim: Sim,
    private readonly cpus: readonly HostCpu[],
    private readonly busyNs: number,
  ) {
    super(name, "worker", cpu);
  }

  override *body(): Step<void> {
    const hostCpu = this.cpus[this.cpu];
    if (!(yield* hostCpu.claim(this))) return;
    if (hostCpu.needsResched) {
      yield* hostCpu.gaveWay(this);
      return;
    }
    if (this.busyNs === Infinity) return;
    const now = this.sim.now();
    if (this.untilNs < 0) this.untilNs = now + this.busyNs;
    if (now < this.untilNs) {
      this.sim.wakeAt(this, this.untilNs);
      return;
    }
    this.untilNs = -1;
    yield* hostCpu.release();
  }
}
