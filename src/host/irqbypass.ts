import { guarded, reads } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { UseAfterFree } from "../sim/lifetime.js";
import { Mutex } from "../sim/lock.js";
import { OnePerWorld } from "../sim/one-per-world.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBUSY, EINVAL } from "../uapi/errno.js";
import type { EventfdContext } from "./eventfd.js";

/** A physical interrupt that hardware could deliver past the host. Callbacks run under the bypass lock. */
export abstract class IrqBypassProducer {
  /** The key it is registered under; null while it is not registered. */
  eventfd: EventfdContext | null = null;
  /** The consumer it is connected to. */
  consumer: IrqBypassConsumer | null = null;

  /** @param irq the host's interrupt number */
  constructor(readonly irq: number) {}

  /** 0, or a negative errno that ends the connection. */
  addConsumer?(consumer: IrqBypassConsumer): Step<number>;
  delConsumer?(consumer: IrqBypassConsumer): Step<void>;
  stop?(): Step<void>;
  start?(): Step<void>;
}

/** Who could take a producer's interrupts: an irqfd. Both `Producer` callbacks are mandatory. */
export abstract class IrqBypassConsumer {
  eventfd: EventfdContext | null = null;
  producer: IrqBypassProducer | null = null;

  /** 0, or a negative errno that ends the connection. */
  addProducer?(producer: IrqBypassProducer): Step<number>;
  delProducer?(producer: IrqBypassProducer): Step<void>;
  stop?(): Step<void>;
  start?(): Step<void>;
}

/**
 * The host-wide matchmaker (kvm-irq-core.md 7): one producer and one consumer that share an eventfd context get
 * connected. Keys are compared by identity and must be alive as long as they are used (H28).
 */
export class IrqBypassManager {
  readonly lock: Mutex;
  /** By the number of their eventfd's context, which no other has while it lives. */
  private readonly producers: (IrqBypassProducer | null)[] = [];
  private readonly consumers: (IrqBypassConsumer | null)[] = [];

  constructor(private readonly sim: Sim) {
    this.lock = new Mutex(sim, "bypass lock");
  }

  /** 0; -EINVAL when it is registered already, -EBUSY when the key has a producer, or what connecting gave. */
  *registerProducer(producer: IrqBypassProducer, key: EventfdContext): Step<number> {
    if (producer.eventfd !== null) return -EINVAL;
    yield* this.lock.lock();
    const result = yield* this.addProducer(producer, key);
    yield* this.lock.unlock();
    return result;
  }

  private *addProducer(producer: IrqBypassProducer, key: EventfdContext): Step<number> {
    yield* assertAlive(key);
    const { id } = key;
    if (at(this.producers, id) !== null) return -EBUSY;
    this.producers[id] = producer;
    const consumer = at(this.consumers, id);
    const result = consumer === null ? 0 : yield* this.connect(producer, consumer);
    if (result !== 0) this.producers[id] = null;
    else producer.eventfd = key;
    return result;
  }

  /** As {@link registerProducer}; -EINVAL also where a mandatory callback is missing. */
  *registerConsumer(consumer: IrqBypassConsumer, key: EventfdContext): Step<number> {
    if (consumer.eventfd !== null || !consumer.addProducer || !consumer.delProducer) return -EINVAL;
    yield* this.lock.lock();
    const result = yield* this.addConsumer(consumer, key);
    yield* this.lock.unlock();
    return result;
  }

  private *addConsumer(consumer: IrqBypassConsumer, key: EventfdContext): Step<number> {
    yield* assertAlive(key);
    const { id } = key;
    if (at(this.consumers, id) !== null) return -EBUSY;
    this.consumers[id] = consumer;
    const producer = at(this.producers, id);
    const result = producer === null ? 0 : yield* this.connect(producer, consumer);
    if (result !== 0) this.consumers[id] = null;
    else consumer.eventfd = key;
    return result;
  }

  /** Nothing happens where it is not registered. */
  *unregisterProducer(producer: IrqBypassProducer): Step<void> {
    const key = producer.eventfd;
    if (key === null) return;
    yield* this.lock.lock();
    yield* assertAlive(key);
    if (producer.consumer !== null) yield* this.disconnect(producer, producer.consumer);
    this.producers[key.id] = null;
    producer.eventfd = null;
    yield* this.lock.unlock();
  }

  /** Nothing happens where it is not registered. */
  *unregisterConsumer(consumer: IrqBypassConsumer): Step<void> {
    const key = consumer.eventfd;
    if (key === null) return;
    yield* this.lock.lock();
    yield* assertAlive(key);
    if (consumer.producer !== null) yield* this.disconnect(consumer.producer, consumer);
    this.consumers[key.id] = null;
    consumer.eventfd = null;
    yield* this.lock.unlock();
  }

  /** Start callbacks run also after a failure: what was stopped resumes (H29). */
  private *connect(producer: IrqBypassProducer, consumer: IrqBypassConsumer): Step<number> {
    if (producer.stop) yield* producer.stop();
    if (consumer.stop) yield* consumer.stop();
    let result = 0;
    if (producer.addConsumer) result = yield* producer.addConsumer(consumer);
    if (result === 0 && consumer.addProducer) {
      result = yield* consumer.addProducer(producer);
      if (result !== 0 && producer.delConsumer) yield* producer.delConsumer(consumer);
    }
    if (result !== 0 && this.sim.hazards.refuseWithoutStart) return result;
    if (consumer.start) yield* consumer.start();
    if (producer.start) yield* producer.start();
    this.sim.emit(Ev.bypass, result === 0 ? "connect" : "refuse");
    if (result !== 0) return result;
    producer.consumer = consumer;
    consumer.producer = producer;
    return 0;
  }

  private *disconnect(producer: IrqBypassProducer, consumer: IrqBypassConsumer): Step<void> {
    if (producer.stop) yield* producer.stop();
    if (consumer.stop) yield* consumer.stop();
    if (consumer.delProducer) yield* consumer.delProducer(producer);
    if (producer.delConsumer) yield* producer.delConsumer(consumer);
    if (consumer.start) yield* consumer.start();
    if (producer.start) yield* producer.start();
    this.sim.emit(Ev.bypass, "disconnect");
    producer.consumer = null;
    consumer.producer = null;
  }
}
guarded(IrqBypassManager, (manager) => manager.lock, "producers", "consumers");

/** What stands at a place; the places up to it are there from now on. */
function at<T>(all: (T | null)[], place: number): T | null {
  while (all.length <= place) all.push(null);
  return all[place];
}

const managers = new OnePerWorld((sim) => new IrqBypassManager(sim));

/** The one manager of a world. */
export function irqBypassOf(sim: Sim): IrqBypassManager {
  return managers.of(sim);
}

function* assertAlive(key: EventfdContext): Step<void> {
  yield reads(key, "references");
  if (!key.isAlive) throw new UseAfterFree(`the bypass key of eventfd ${key.id} outlives its context`);
}
