import type { EdgeSink } from "../../arch/level.js";
import { GicHost } from "../../host/gic/gic-host.js";
import type { IrqChip, IrqData } from "../../host/irq/chip.js";
import { Flow } from "../../host/irq/desc.js";
import type { CpuList } from "../../host/irq/types.js";
import { type EventDomain, Mbigen, MbigenDomain, type MsiPort } from "../../host/mbigen.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { LpiGic } from "./lpi-gic.js";

const FIRST_LPI = 8192;

/** LPIs as an ITS makes them: masked by their configuration, moved by MOVI, sent again by INT; nothing to deactivate. */
class LpiChip implements IrqChip {
  readonly name = "ITS";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  constructor(private readonly gic: LpiGic) {}

  *mask(data: IrqData): Step<void> {
    yield* this.gic.setEnabled(0, data.hwirq, false);
  }
  *unmask(data: IrqData): Step<void> {
    yield* this.gic.setEnabled(0, data.hwirq, true);
  }
  *eoi(): Step<void> {}
  *setAffinity(data: IrqData, mask: CpuList, online: CpuList): Step<number> {
    const cpu = mask.find((each) => online.includes(each)) ?? 0;
    yield* this.gic.setTarget(data.hwirq, cpu);
    return cpu;
  }
  *retrigger(data: IrqData): Step<boolean> {
    yield* this.gic.setPending(0, data.hwirq, true);
    return true;
  }
}

/** Stands for an ITS: event n, counted from 5, is LPI 8192 + n. */
export class EventsToLpis implements EventDomain, MsiPort {
  readonly chip: IrqChip;
  /** "device:event" of each message. */
  readonly writes: string[] = [];
  private next = 5;

  constructor(private readonly gic: LpiGic) {
    this.chip = new LpiChip(gic);
  }

  *allocEvent(): Step<{ intid: number; eventId: number }> {
    const eventId = this.next++;
    return { intid: FIRST_LPI + eventId, eventId };
  }

  *write(deviceId: number, eventId: number): Step<void> {
    this.writes.push(`${deviceId}:${eventId}`);
    yield* this.gic.setPending(0, FIRST_LPI + eventId, true);
  }
}

/** A device whose interrupt is an LPI of its own. */
class LpiSink implements EdgeSink {
  readonly trigger = "edge";
  constructor(
    private readonly gic: LpiGic,
    private readonly intid: number,
  ) {}
  *pulse(): Step<void> {
    yield* this.gic.setPending(0, this.intid, true);
  }
}

/** A host of four CPUs with LPIs, and an mbigen whose pins become LPIs. */
export class LpiStage {
  readonly sim: Sim;
  readonly gic = new LpiGic();
  readonly host: GicHost;
  readonly its: EventsToLpis;
  readonly mbigen: Mbigen;
  readonly domain: MbigenDomain;

  constructor(hazards: Partial<Hazards> = {}) {
    this.sim = new Sim({ cpus: 4, hazards });
    this.host = new GicHost(this.sim, this.gic);
    this.its = new EventsToLpis(this.gic);
    this.mbigen = new Mbigen(this.its, 0x40);
    this.domain = new MbigenDomain(this.host.irqs, this.host.domain, this.its, this.mbigen);
  }

  /** The irq of LPI 8192, and what raises it. */
  lpi(): { irq: number; sink: EdgeSink } {
    const { irqs, domain } = this.host;
    const desc = irqs.allocate(this.its.chip, FIRST_LPI, Flow.FASTEOI);
    domain.attach(desc, FIRST_LPI);
    return { irq: desc.irq, sink: new LpiSink(this.gic, FIRST_LPI) };
  }
}
