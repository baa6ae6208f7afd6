import type { PhysicalGic } from "../../arch/gic/contract.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { ItsDriver } from "../its/its-driver.js";
import { GicDomain } from "../irq/domain.js";
import { Host } from "../machine.js";
import type { MbigenDomain } from "../mbigen.js";
import { GicCpu } from "./gic-cpu.js";

/** The host kernel of a machine with a GIC. */
export class GicHost extends Host {
  readonly domain: GicDomain;
  /** The driver of its ITSs; null without any. */
  its: ItsDriver | null = null;
  /** Wired pins that become messages, by the path of their group. */
  readonly pinDomains = new Map<string, MbigenDomain>();

  /** @param sim has at least one clock per CPU of the GIC; one more, if there is one, is the hardware's */
  constructor(
    sim: Sim,
    readonly gic: PhysicalGic,
  ) {
    super(sim);
    this.domain = new GicDomain(this.irqs, gic);
    for (let cpu = 0; cpu < gic.cpus; cpu++) this.addCpu(new GicCpu(sim, cpu, gic, this.domain, this.cpus));
  }

  /** The irq of an INTID and trigger type, mapped on first use; 0 where the type does not fit. */
  *mapIrq(intid: number, type: number): Step<number> {
    return yield* this.domain.map(intid, type);
  }
}
