import { describe, expect, it } from "vitest";
import { IrqBypassProducer, irqBypassOf } from "../host/irqbypass.js";
import { run } from "../sim/step.js";
import { EIO } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";

class Vector extends IrqBypassProducer {}

const msi = (data: number) => [{ gsi: 20, type: K.KVM_IRQ_ROUTING_MSI, words: [0xfee00000, 0, data] }];

function attached() {
  const m = new KvmMachine({ arch: new LineChip() });
  const fd = m.createVm();
  const vm = m.vm(fd);
  const { arch: chip } = vm;
  if (!(chip instanceof LineChipVm)) throw new Error("not the line chip");
  m.route(fd, msi(0x41));
  const e = m.eventfd();
  m.irqfd(fd, e, 20);
  return { m, fd, chip, e, manager: irqBypassOf(m.sim) };
}

describe("an irqfd as bypass consumer", () => {
  it("connects a producer of its eventfd between stop and start", () => {
    const { m, e, chip, manager } = attached();
    const producer = new Vector(7);
    expect(run(manager.registerProducer(producer, m.context(e)))).toBe(0);
    expect(chip.bypassLog).toEqual(["stop", "connect", "start"]);
    run(manager.unregisterProducer(producer));
    expect(chip.bypassLog.slice(3)).toEqual(["stop", "disconnect", "start"]);
  });

  it("connects to a producer that is there before the assign, and works on without one that refuses", () => {
    const { m, fd, chip, manager } = attached();
    const late = m.eventfd();
    chip.connectResult = -EIO;
    expect(run(manager.registerProducer(new Vector(8), m.context(late)))).toBe(0);
    expect(m.irqfd(fd, late, 20)).toBe(0);
    expect(chip.bypassLog).toEqual(["stop", "connect", "start"]);
    chip.deliversInline = true;
    m.write(late, 1);
    expect(chip.messages).toEqual([0x41]);
  });

  it("forgets a producer whose programming failed, so that a routing change does not reach it", () => {
    const { m, fd, e, chip, manager } = attached();
    chip.connectResult = -EIO;
    expect(run(manager.registerProducer(new Vector(7), m.context(e)))).toBe(-EIO);
    m.route(fd, msi(0x42));
    expect(chip.bypassLog).toEqual(["stop", "connect", "start"]);
  });

  it("tells the architecture of a routing change while a producer is connected (2.7)", () => {
    const { m, fd, e, chip, manager } = attached();
    run(manager.registerProducer(new Vector(7), m.context(e)));
    m.route(fd, msi(0x42));
    expect(chip.bypassLog.at(-1)).toBe("route");
  });

  it("keeps its route through a deassign, so that the disconnect sees what was programmed; the older rule does not", () => {
    for (const clearRouteOnDeassign of [false, true]) {
      const m = new KvmMachine({ arch: new LineChip(), hazards: { clearRouteOnDeassign } });
      const fd = m.createVm();
      m.route(fd, msi(0x41));
      const e = m.eventfd();
      m.irqfd(fd, e, 20);
      const [irqfd] = m.vm(fd).irqfds.active.toArray();
      m.irqfd(fd, e, 20, K.KVM_IRQFD_FLAG_DEASSIGN);
      expect(irqfd.route.type).toBe(clearRouteOnDeassign ? 0 : K.KVM_IRQ_ROUTING_MSI);
    }
  });

  it("unregisters before it drops the eventfd context (H28), and the key is free again", () => {
    const { m, fd, e, chip, manager } = attached();
    const context = m.context(e);
    const producer = new Vector(7);
    context.get(); // the driver's
    run(manager.registerProducer(producer, context));
    m.close(e);
    expect(chip.bypassLog.slice(3)).toEqual(["stop", "disconnect", "start"]);
    expect([producer.consumer, m.vm(fd).irqfds.active.isEmpty()]).toEqual([null, true]);
    run(manager.unregisterProducer(producer));
    run(context.put());
    expect(context.isAlive).toBe(false);
  });
});
