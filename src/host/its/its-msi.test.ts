import { describe, expect, it } from "vitest";
import { TraceBuffer } from "../../sim/event.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { irqActivate } from "../irq/state.js";
import { type IrqAction, IrqReturn, IrqType } from "../irq/types.js";
import { Mbigen, MbigenDomain, MbigenEdgePin } from "../mbigen.js";
import type { MsiDevice } from "../msi.js";
import { ItsHost, type ItsHostOptions } from "./its-host.js";
import { MbigenPort } from "./its-msi.js";

/** Remembers what it was programmed with. */
class Card implements MsiDevice {
  readonly name = "card";
  readonly maxVectors = 64;
  readonly messages: { address: number; data: number }[] = [];
  constructor(readonly deviceId: number) {}
  *writeMessage(index: number, address: number, data: number): Step<void> {
    this.messages[index] = { address, data };
  }
  *setMasked(): Step<void> {}
}

class Counting implements IrqAction {
  readonly cpus: number[] = [];
  constructor(private readonly cpu: () => number) {}
  *handler(): Step<number> {
    this.cpus.push(this.cpu());
    return IrqReturn.HANDLED;
  }
}

class Machine {
  readonly sim = new Sim({ cpus: 5 });
  readonly trace = new TraceBuffer();
  readonly its: ItsHost;
  constructor(options: ItsHostOptions = {}) {
    this.its = ItsHost.create(this.sim, 4, options);
    this.sim.traceTo(this.trace);
  }
  vector(card: Card, index = 0): number {
    const irqs: number[] = [];
    const irq = run(this.its.msi.alloc(card, index, 1, irqs));
    const desc = this.its.host.desc(irq);
    if (desc === null) throw new Error(`no irq ${irq}`);
    run(desc.lock.lock());
    run(irqActivate(desc));
    run(desc.lock.unlock());
    return irq;
  }
  send(card: Card, index = 0): void {
    const { address, data } = card.messages[index];
    expect(run(this.its.msi.write(card.deviceId, 0, address, data))).toBe(true);
    run(this.sim.settle());
  }
  request(irq: number): Counting {
    const action = new Counting(() => this.its.host.cpus.findIndex((cpu) => cpu.interruptDepth > 0));
    expect(run(this.its.host.requestIrq(irq, action, 0, "card", this))).toBe(0);
    return action;
  }
  commands(): string[] {
    const lines = this.trace.events.filter((each) => each.name === "its_hw_command").map((each) => each.args.slice(0, 3).join(" "));
    this.trace.clear();
    return lines.filter((line) => !line.includes("SYNC"));
  }
}

describe("message interrupts over an ITS", () => {
  it("MAPD, MAPTI, and the message reaches the handler; the address is GITS_TRANSLATER, the data the event", () => {
    const machine = new Machine();
    const card = new Card(0x100);
    const irq = machine.vector(card);
    expect(card.messages[0]).toEqual({ address: 0x08090040, data: 0 });
    const action = machine.request(irq);
    expect(machine.commands()).toEqual(["0:MAPD 256 -1", "0:MAPTI 256 0", "0:INV 256 0"]);
    machine.send(card);
    machine.send(card);
    expect(action.cpus).toEqual([0, 0]);
  });

  it("a device cannot raise another one's event", () => {
    const machine = new Machine();
    const card = new Card(0x100);
    const action = machine.request(machine.vector(card));
    const thief = new Card(0x200);
    thief.messages[0] = card.messages[0];
    machine.send(thief);
    expect(action.cpus).toEqual([]);
  });

  it("a message while disabled is delivered when the line is enabled; affinity is MOVI", () => {
    const machine = new Machine();
    const card = new Card(0x100);
    const irq = machine.vector(card);
    const action = machine.request(irq);
    run(machine.its.host.setAffinity(irq, [2]));
    expect(machine.commands()).toContain("0:MOVI 256 0");
    run(machine.its.host.disableIrq(irq));
    machine.send(card);
    expect(action.cpus).toEqual([]);
    run(machine.its.host.enableIrq(irq));
    run(machine.sim.settle());
    expect(action.cpus).toEqual([2]);
  });

  it("events of a device are its own LPIs; freed, the last one unmaps the device", () => {
    const machine = new Machine();
    const card = new Card(0x100);
    const irqs = [machine.vector(card, 0), machine.vector(card, 1)];
    expect(card.messages.map(({ data }) => data)).toEqual([0, 1]);
    machine.commands();
    run(machine.its.msi.free([irqs[1]]));
    expect(machine.commands()).toEqual([]);
    run(machine.its.msi.free([irqs[0]]));
    expect(machine.commands()).toEqual(["0:MAPD 256 -1"]);
  });

  it("pending is all that can be set, and nothing can be read", () => {
    const machine = new Machine();
    const card = new Card(0x100);
    const irq = machine.vector(card);
    const action = machine.request(irq);
    expect(run(machine.its.host.setIrqchipState(irq, "pending", true))).toBe(0);
    run(machine.sim.settle());
    expect(action.cpus).toEqual([0]);
    expect(run(machine.its.host.setIrqchipState(irq, "active", true))).toBe(-EINVAL);
    expect(run(machine.its.host.getIrqchipState(irq, "pending"))).toBe(-EINVAL);
  });

  it("of several ITSs each serves its own devices", () => {
    const machine = new Machine({ itses: [0x08080000, 0x08200000], itsOf: (deviceId) => (deviceId < 0x200 ? 0 : 1) });
    const cards = [new Card(0x100), new Card(0x200)];
    const actions = cards.map((card) => machine.request(machine.vector(card)));
    expect(cards.map((card) => card.messages[0].address)).toEqual([0x08090040, 0x08210040]);
    machine.send(cards[1]);
    expect(actions.map((action) => action.cpus.length)).toEqual([0, 1]);
  });

  it("pins of an mbigen become LPIs of its device id", () => {
    const machine = new Machine();
    const { host, driver, msi } = machine.its;
    const mbigen = new Mbigen(new MbigenPort(driver.nodes[0]), 0x40);
    const pins = new MbigenDomain(host.irqs, host.domain, msi, mbigen);
    const irq = run(pins.map([70, IrqType.EDGE_RISING]));
    const action = machine.request(irq);
    run(new MbigenEdgePin(mbigen, 70).pulse());
    run(machine.sim.settle());
    expect(action.cpus).toEqual([0]);
  });
});
