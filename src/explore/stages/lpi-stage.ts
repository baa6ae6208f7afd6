import { GITS_TRANSLATER } from "../../arch/gic/gits.js";
import type { EdgeSink } from "../../arch/level.js";
import type { GicHost } from "../../host/gic/gic-host.js";
import { ItsHost } from "../../host/its/its-host.js";
import { MbigenPort } from "../../host/its/its-msi.js";
import { Mbigen, MbigenDomain, type MsiPort } from "../../host/mbigen.js";
import type { MsiDevice } from "../../host/msi.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";

const CPUS = 4;
const MBIGEN = 0x40;
const CARD = 0x100;

/** The ITS as an mbigen reaches it, and "device:event" of each message. */
class NotedPort extends MbigenPort implements MsiPort {
  readonly writes: string[] = [];

  override *write(deviceId: number, eventId: number): Step<void> {
    this.writes.push(`${deviceId}:${eventId}`);
    yield* super.write(deviceId, eventId);
  }
}

/** A function with one vector: what its message says is what it sends. */
class Card implements MsiDevice, EdgeSink {
  readonly name = "card";
  readonly deviceId = CARD;
  readonly maxVectors = 1;
  readonly trigger = "edge";
  private event = -1;

  constructor(private readonly its: ItsHost) {}

  *writeMessage(_index: number, _address: number, data: number): Step<void> {
    this.event = data;
  }

  *setMasked(): Step<void> {}

  *pulse(): Step<void> {
    const [{ base }] = this.its.driver.nodes;
    yield* this.its.msi.write(CARD, 0, base + GITS_TRANSLATER, this.event);
  }
}

/** A host of four CPUs with a GICv3 and an ITS, and an mbigen whose pins become LPIs. */
export class LpiStage {
  readonly sim: Sim;
  readonly itsHost: ItsHost;
  readonly host: GicHost;
  readonly port: NotedPort;
  readonly mbigen: Mbigen;
  readonly domain: MbigenDomain;

  constructor(hazards: Partial<Hazards> = {}) {
    this.sim = new Sim({ cpus: CPUS + 1, hazards });
    this.itsHost = ItsHost.create(this.sim, CPUS, { interrupts: 64 });
    const { driver, host, msi } = this.itsHost;
    this.host = host;
    this.port = new NotedPort(driver.nodes[0]);
    this.mbigen = new Mbigen(this.port, MBIGEN);
    this.domain = new MbigenDomain(host.irqs, host.domain, msi, this.mbigen);
  }

  /** The irq of a card's one vector, and what raises it. */
  lpi(): { irq: number; sink: EdgeSink } {
    const card = new Card(this.itsHost);
    return { irq: run(this.itsHost.msi.alloc(card, 0, 1, [])), sink: card };
  }
}
