import { IrqBypassConsumer, type IrqBypassProducer } from "../host/irqbypass.js";
import type { Step } from "../sim/step.js";
import type { BypassHooks } from "./arch.js";
import type { Irqfd } from "./irqfd.js";

/** An irqfd as the consumer of a physical interrupt (kvm-irq-core.md 7.4). */
export class IrqfdConsumer extends IrqBypassConsumer {
  constructor(
    private readonly irqfd: Irqfd,
    private readonly hooks: BypassHooks,
  ) {
    super();
  }

  override *stop(): Step<void> {
    yield* this.hooks.stop();
  }

  override *start(): Step<void> {
    yield* this.hooks.start();
  }

  /** Producer and first programming under one hold of irqfds.lock: a routing update sees both or neither (H27). */
  override *addProducer(producer: IrqBypassProducer): Step<number> {
    const { irqfd } = this;
    const { lock } = irqfd.vm.irqfds;
    yield* lock.lock();
    if (!irqfd.vm.hazards.producerOutsideLock) irqfd.producer = producer;
    if (this.hooks.connectsUnlocked) yield* lock.unlock();
    const result = yield* this.hooks.connect(irqfd, producer);
    if (this.hooks.connectsUnlocked) yield* lock.lock();
    if (irqfd.vm.hazards.producerOutsideLock) {
      yield* lock.unlock();
      yield* lock.lock();
      irqfd.producer = producer;
    }
    if (result !== 0) irqfd.producer = null;
    yield* lock.unlock();
    return result;
  }

  override *delProducer(producer: IrqBypassProducer): Step<void> {
    const { irqfd } = this;
    const { lock } = irqfd.vm.irqfds;
    if (this.hooks.disconnectsUnlocked) yield* this.hooks.disconnect(irqfd, producer);
    yield* lock.lock();
    if (!this.hooks.disconnectsUnlocked) yield* this.hooks.disconnect(irqfd, producer);
    irqfd.producer = null;
    yield* lock.unlock();
  }
}
