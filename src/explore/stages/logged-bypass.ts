import { IrqBypassConsumer, IrqBypassProducer } from "../../host/irqbypass.js";
import type { Step } from "../../sim/step.js";

/** A producer that notes what it is called for (kvm-irq-core.md 7.3). */
export class LoggedProducer extends IrqBypassProducer {
  /** What it answers to a consumer: 0, or a negative errno. */
  answer = 0;

  constructor(private readonly log: string[]) {
    super(33);
  }

  override *addConsumer(): Step<number> {
    this.log.push("p.add");
    return this.answer;
  }

  override *delConsumer(): Step<void> {
    this.log.push("p.del");
  }

  override *stop(): Step<void> {
    this.log.push("p.stop");
  }

  override *start(): Step<void> {
    this.log.push("p.start");
  }
}

/** A consumer that does. */
export class LoggedConsumer extends IrqBypassConsumer {
  /** What it answers to a producer: 0, or a negative errno. */
  answer = 0;

  constructor(private readonly log: string[]) {
    super();
  }

  override *addProducer(): Step<number> {
    this.log.push("c.add");
    return this.answer;
  }

  override *delProducer(): Step<void> {
    this.log.push("c.del");
  }

  override *stop(): Step<void> {
    this.log.push("c.stop");
  }

  override *start(): Step<void> {
    this.log.push("c.start");
  }
}
