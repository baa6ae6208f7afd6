import { describe, expect, it } from "vitest";
import { LoggedConsumer, LoggedProducer } from "../explore/stages/logged-bypass.js";
import { TraceBuffer } from "../sim/event.js";
import { UseAfterFree } from "../sim/list.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { EBUSY, EINVAL, EIO } from "../uapi/errno.js";
import { EventfdContext } from "./eventfd.js";
import { IrqBypassConsumer, IrqBypassManager, IrqBypassProducer, irqBypassOf } from "./irqbypass.js";

/** Leaves out a mandatory callback. */
class Partial extends IrqBypassConsumer {
  override *addProducer(): Step<number> {
    return 0;
  }
}

class Bare extends Partial {
  override *delProducer(): Step<void> {}
}

function world() {
  const trace = new TraceBuffer();
  const sim = new Sim({ trace });
  const log: string[] = [];
  return { sim, trace, log, manager: new IrqBypassManager(sim), e: new EventfdContext(sim, 0, 0), producer: new LoggedProducer(log), consumer: new LoggedConsumer(log) };
}

const CONNECTED = ["p.stop", "c.stop", "p.add", "c.add", "c.start", "p.start"];

describe("bypass vectors", () => {
  it("vector 92: producer then consumer connect in the order of 7.3, and so does the other way round", () => {
    for (const producerFirst of [true, false]) {
      const { manager, e, producer, consumer, log, trace } = world();
      const first = (): number => run(manager.registerProducer(producer, e));
      const second = (): number => run(manager.registerConsumer(consumer, e));
      expect((producerFirst ? [first, second] : [second, first]).map((register) => register())).toEqual([0, 0]);
      expect(log).toEqual(CONNECTED);
      expect([producer.consumer, consumer.producer]).toEqual([consumer, producer]);
      expect(trace.lines("bypass")).toEqual(["bypass(connect)"]);
    }
  });

  it("vector 93: a second consumer or producer of the key is EBUSY and nothing is called", () => {
    const { manager, e, producer, consumer, log } = world();
    run(manager.registerProducer(producer, e));
    run(manager.registerConsumer(consumer, e));
    log.length = 0;
    expect(run(manager.registerConsumer(new LoggedConsumer(log), e))).toBe(-EBUSY);
    expect(run(manager.registerProducer(new LoggedProducer(log), e))).toBe(-EBUSY);
    expect(log).toEqual([]);
  });

  it("vector 94: a consumer that refuses leaves everything started and the key free", () => {
    const { manager, e, producer, consumer, log } = world();
    consumer.answer = -EIO;
    run(manager.registerProducer(producer, e));
    expect(run(manager.registerConsumer(consumer, e))).toBe(-EIO);
    expect(log).toEqual(["p.stop", "c.stop", "p.add", "c.add", "p.del", "c.start", "p.start"]);
    expect([producer.consumer, consumer.producer, consumer.eventfd]).toEqual([null, null, null]);
    expect(run(manager.registerConsumer(new LoggedConsumer(log), e))).toBe(0);
  });

  it("vector 95: a mandatory callback is missing: EINVAL; unregistering what is not registered does nothing", () => {
    const { sim, manager, e, producer, consumer, log } = world();
    expect(run(manager.registerConsumer(new Partial(), e))).toBe(-EINVAL);
    run(manager.unregisterProducer(producer));
    run(manager.unregisterConsumer(consumer));
    expect(log).toEqual([]);
    expect(manager.lock.isOpen()).toBe(true);
    expect(irqBypassOf(sim)).toBe(irqBypassOf(sim));
  });

  it("vector 96: unregistering the consumer of a pair disconnects, the producer stays", () => {
    const { manager, e, producer, consumer, log } = world();
    run(manager.registerProducer(producer, e));
    run(manager.registerConsumer(consumer, e));
    log.length = 0;
    run(manager.unregisterConsumer(consumer));
    expect(log).toEqual(["p.stop", "c.stop", "c.del", "p.del", "c.start", "p.start"]);
    expect([producer.consumer, consumer.producer, producer.eventfd]).toEqual([null, null, e]);
    expect(run(manager.registerProducer(new LoggedProducer(log), e))).toBe(-EBUSY);
    log.length = 0;
    run(manager.unregisterProducer(producer));
    expect(log).toEqual([]);
  });
});

describe("irqbypass", () => {
  it("does not ask the consumer when the producer refuses, and starts both", () => {
    const { manager, e, producer, consumer, log } = world();
    producer.answer = -EIO;
    run(manager.registerConsumer(consumer, e));
    expect(run(manager.registerProducer(producer, e))).toBe(-EIO);
    expect(log).toEqual(["p.stop", "c.stop", "p.add", "c.start", "p.start"]);
  });

  it("gives EINVAL for an object that is registered already, under whatever key", () => {
    const { sim, manager, e, producer, consumer } = world();
    run(manager.registerProducer(producer, e));
    run(manager.registerConsumer(consumer, e));
    const other = new EventfdContext(sim, 0, 0);
    expect(run(manager.registerProducer(producer, other))).toBe(-EINVAL);
    expect(run(manager.registerConsumer(consumer, other))).toBe(-EINVAL);
  });

  it("skips optional callbacks that are missing", () => {
    const { manager, e } = world();
    const consumer = new Bare();
    const producer = new (class extends IrqBypassProducer {})(7);
    expect(run(manager.registerConsumer(consumer, e))).toBe(0);
    expect(run(manager.registerProducer(producer, e))).toBe(0);
    expect(producer.consumer).toBe(consumer);
  });

  it("reports a key that outlives its context (H28)", () => {
    const { manager, e, consumer } = world();
    run(manager.registerConsumer(consumer, e));
    run(e.put());
    expect(() => run(manager.unregisterConsumer(consumer))).toThrow(UseAfterFree);
  });
});
