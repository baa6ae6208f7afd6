import { KVM_IRQ_LINE, kvm_irq_level } from "../../uapi/kvm.js";
import { NoInterruptInvented } from "../properties/no-interrupt-invented.js";
import { NoInterruptLost } from "../properties/no-interrupt-lost.js";
import type { Heard, Property } from "../property.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { close, ioctl, Raise } from "../stages/threads.js";

const GSI = 5;

export const lineAgainstPulse: Protocol = {
  name: "line-against-pulse",
  title: "User space holds a line up while a plain irqfd of the same GSI fires: the irqfd's pulse takes the line down.",
  source: "kvm-irq-core.md 3.2, H20",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    const view = new DataView(new ArrayBuffer(kvm_irq_level.size));
    kvm_irq_level.irq.set(view, GSI);
    kvm_irq_level.level.set(view, 1);
    const hold = ioctl("hold", stage.process, stage.vmFd, KVM_IRQ_LINE, stage.place(new Uint8Array(view.buffer)));
    return stage.program([hold, raise], { end: () => (stage.lines.isHigh(GSI) ? null : "H20: the line that user space holds up is down") });
  },
};

/** H34, taken for the violation. */
class NoInjectionAfterClose implements Property {
  readonly name = "no-injection-after-close";
  readonly sentence = "nothing is injected after the eventfd's close has returned";
  readonly hears = ["irqfd_inject", "sys_close"] as const;
  private isClosed = false;

  hear({ name }: Heard): string | null {
    if (name === "sys_close") this.isClosed = true;
    else if (this.isClosed) return "H34: an injection after close has returned";
    return null;
  }
}

export const closeAgainstWork: Protocol = {
  name: "close-against-work",
  title: "An eventfd is signalled and closed: its irqfd may inject after close has returned.",
  source: "kvm-irq-core.md 2.6, H34",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    return stage.program([close(stage.process, fd), raise], { properties: [new NoInjectionAfterClose()] });
  },
};

export const signalAgainstWork: Protocol = {
  name: "signal-against-work",
  title: "An irqfd is signalled three times while its work item runs: a signal during a pulse asks for one more, and each pulse has its signal.",
  source: "kvm-irq-core.md 0.4, 2.4, H35",
  about: ["irqfd_inject"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd), 3);
    stage.assign(fd, GSI);
    return stage.program([raise], { properties: [new NoInterruptLost(), new NoInterruptInvented()] });
  },
};
