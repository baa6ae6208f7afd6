import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { Host } from "../machine.js";
import type { PhysicalXics } from "./physical-xics.js";
import { BASE_PRIORITY, type SourceHandler, XicsCpu } from "./xics-cpu.js";

/** Nothing is mapped: the source is ended, and counts as one that nobody expected. */
class Unexpected implements SourceHandler {
  constructor(private readonly host: XicsHost) {}

  *handle(cpu: number, xirr: number): Step<void> {
    this.host.irqs.warn(0, `Unexpected interrupt (source ${xirr & 0xff_ffff})`);
    yield* this.host.xics.endOfInterrupt(cpu, xirr);
  }
}

/** The host kernel of a POWER8 machine, which takes its interrupts from a XICS. */
export class XicsHost extends Host {
  /** @param sim has at least one clock per CPU of the XICS; one more, if there is one, is the hardware's */
  constructor(
    sim: Sim,
    readonly xics: PhysicalXics,
  ) {
    super(sim);
    const all: XicsCpu[] = [];
    const handler = new Unexpected(this);
    for (let cpu = 0; cpu < xics.cpus; cpu++) {
      const one = new XicsCpu(sim, cpu, xics, handler, all);
      all.push(one);
      this.addCpu(one);
      run(xics.setCppr(cpu, BASE_PRIORITY));
    }
  }
}
