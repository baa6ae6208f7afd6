import type { PhysicalGic } from "../../arch/gic/contract.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { HostCpu, type Ipi, IPIS } from "../cpu.js";

/** Where a CPU takes its acknowledged interrupts: the root interrupt domain. */
export interface InterruptHandler {
  /** `intid` is 16 or above, its priority already dropped where EOImode is 1. */
  handle(intid: number): Step<void>;
  /** Does a guest complete it? */
  isForwarded(intid: number): boolean;
}

/** A physical CPU that a GIC interrupts; its IPIs are SGIs. */
export class GicCpu extends HostCpu {
  constructor(
    sim: Sim,
    cpu: number,
    private readonly gic: PhysicalGic,
    private readonly handler: InterruptHandler,
    peers: readonly HostCpu[],
  ) {
    super(sim, cpu, gic, peers);
  }

  /** host-irq.md 1.5: acknowledge, drop the priority (EOImode 1), flow handler. */
  protected override *takeOne(): Step<void> {
    const { gic, sim, cpu } = this;
    const { hazards } = sim;
    const iar = yield* gic.acknowledge(cpu);
    sim.charge(Cost.irqAck);
    const intid = gic.version === 2 ? iar & 0x3ff : iar & 0xffffff;
    if (intid >= 1020 && intid <= 1023) {
      this.spurious++;
      return;
    }
    this.interrupts++;
    sim.emit(Ev.host_ack, cpu, intid);
    // For a forwarded interrupt, too: its guest ends what it sees, not what this CPU acknowledged (K10).
    if (intid < IPIS || (gic.eoiMode === 1 && !(hazards.keepForwardedPriority && this.handler.isForwarded(intid)))) {
      // The whole value: on GICv2 it carries the sender of an SGI (K28).
      yield* gic.endOfInterrupt(cpu, hazards.eoiWithoutSource ? intid : iar);
      sim.charge(Cost.irqEoi);
      sim.emit(Ev.host_eoi, cpu, intid);
    }
    if (intid < IPIS) yield* this.takeIpi(intid, iar);
    else yield* this.handler.handle(intid);
  }

  /** Handlers of IPIs do nothing here: what they announce is done by the wake that went with them. */
  private *takeIpi(sgi: number, iar: number): Step<void> {
    this.ipisTaken[sgi]++;
    if (this.gic.eoiMode === 0) return;
    yield* this.gic.deactivate(this.cpu, this.sim.hazards.eoiWithoutSource ? sgi : iar);
    this.sim.charge(Cost.irqDir);
    this.sim.emit(Ev.host_dir, this.cpu, sgi);
  }

  protected override *sendSignal(to: number, kind: Ipi): Step<void> {
    yield* this.gic.sendSgi(this.cpu, to, kind);
  }
}
