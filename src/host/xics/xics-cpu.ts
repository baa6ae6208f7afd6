import { shared, writes } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { HostCpu, type Ipi, IPIS } from "../cpu.js";
import type { PhysicalXics } from "./physical-xics.js";

const XICS_IPI = 2;
const IPI_PRIORITY = 4;
const NO_REQUEST = 0xff;
/** Everything may interrupt. */
export const BASE_PRIORITY = 0xff;

/** Takes what a CPU accepted of a source, and ends it. */
export interface SourceHandler {
  handle(cpu: number, xirr: number): Step<void>;
}

/** A physical CPU that a XICS interrupts. All its IPIs share the one request of its MFRR: what for is a message in memory. */
export class XicsCpu extends HostCpu {
  /** Bit per {@link Ipi}: sent, and not taken. */
  messages = 0;

  constructor(
    sim: Sim,
    cpu: number,
    private readonly xics: PhysicalXics,
    private readonly handler: SourceHandler,
    private readonly others: readonly XicsCpu[],
  ) {
    super(sim, cpu, xics, others);
  }

  protected override *takeOne(): Step<void> {
    const { sim, cpu, xics } = this;
    const xirr = yield* xics.accept(cpu);
    sim.charge(Cost.irqAck);
    const irq = xirr & 0xff_ffff;
    if (irq === 0) {
      this.spurious++;
      return;
    }
    this.interrupts++;
    sim.emit(Ev.host_ack, cpu, irq);
    if (irq !== XICS_IPI) {
      yield* this.handler.handle(cpu, xirr);
      return;
    }
    // The request first, then the messages: one that comes between them raises it again.
    yield* xics.setMfrr(cpu, NO_REQUEST);
    yield* this.takeMessages();
    yield* xics.endOfInterrupt(cpu, xirr);
    sim.charge(Cost.irqEoi);
    sim.emit(Ev.host_eoi, cpu, irq);
  }

  /** What they announce is done by the wake that went with them. */
  private *takeMessages(): Step<void> {
    yield writes(this, "messages");
    for (let kind = 0; kind < IPIS; kind++) if ((this.messages & (1 << kind)) !== 0) this.ipisTaken[kind]++;
    this.messages = 0;
  }

  protected override *sendSignal(to: number, kind: Ipi): Step<void> {
    const target = this.others[to];
    yield writes(target, "messages");
    target.messages |= 1 << kind;
    yield* this.xics.setMfrr(to, IPI_PRIORITY);
  }
}
shared(XicsCpu, "messages");
