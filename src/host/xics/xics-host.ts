import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { Host } from "../machine.js";
import { InterruptFirmware, type MessageSources } from "./firmware.js";
import { FirmwareMessages } from "./message-domain.js";
import type { PhysicalXics } from "./physical-xics.js";
import { SourceDomain } from "./source-domain.js";
import { BASE_PRIORITY, XicsCpu } from "./xics-cpu.js";

const NO_MESSAGES: MessageSources = { first: 0, count: 0 };

/** The host kernel of a POWER8 machine, which takes its interrupts from a XICS. */
export class XicsHost extends Host {
  readonly firmware: InterruptFirmware;
  private readonly sources: SourceDomain;

  /**
   * @param sim has at least one clock per CPU of the XICS; one more, if there is one, is the hardware's
   * @param messages the sources that firmware has for functions
   */
  constructor(
    sim: Sim,
    readonly xics: PhysicalXics,
    messages: MessageSources = NO_MESSAGES,
  ) {
    super(sim);
    this.firmware = new InterruptFirmware(sim, xics, messages);
    this.sources = new SourceDomain(this.irqs, xics, this.firmware);
    if (messages.count > 0) this.msi = new FirmwareMessages(this.irqs, this.sources, this.firmware, xics);
    const all: XicsCpu[] = [];
    for (let cpu = 0; cpu < xics.cpus; cpu++) {
      const one = new XicsCpu(sim, cpu, xics, this.sources, all);
      all.push(one);
      this.addCpu(one);
      run(xics.setCppr(cpu, BASE_PRIORITY));
    }
  }

  /** The irq of a source and trigger type, mapped on first use; 0 where the type does not fit. */
  *mapSource(source: number, type: number): Step<number> {
    return yield* this.sources.map(source, type);
  }
}
