import { KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_SET_GSI_ROUTING } from "../../uapi/kvm.js";
import { MessageSent } from "../properties/message-sent.js";
import { NoInterruptLost } from "../properties/no-interrupt-lost.js";
import { type RoutedMessage, WholeRoutes } from "../properties/whole-routes.js";
import type { Heard, Property } from "../property.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import type { RouteSpec } from "../stages/kvm-machine.js";
import { close, Raise } from "../stages/threads.js";

const GSI = 5;
const [BEFORE, AFTER] = [1, 2];
const MESSAGES: readonly RoutedMessage[] = [BEFORE, AFTER].map((n) => ({ address: n, data: n }));

/** The GSI leads to message `n` at address `n`, and no other GSI leads anywhere. */
const message = (n: number): RouteSpec[] => [{ gsi: GSI, type: KVM_IRQ_ROUTING_MSI, words: [n, 0, n] }];
const pin = (n: number): RouteSpec[] => [{ gsi: GSI, type: KVM_IRQ_ROUTING_IRQCHIP, words: [0, n] }];

export const rerouteAgainstSignal: Protocol = {
  name: "reroute-against-signal",
  title: "An irqfd is signalled while its message changes: one message or the other is sent, whole, and the old one not after the change.",
  source: "kvm-irq-core.md 2.4 WK3, 4.3 RU8, H4, H5",
  about: ["route_swap", "kvm_msi_set_irq"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.setRoutes(message(BEFORE));
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    return stage.program([stage.routingCall("reroute", message(AFTER)), raise], { properties: [new WholeRoutes(MESSAGES)] });
  },
};

export const hangUpAgainstReroute: Protocol = {
  name: "hang-up-against-reroute",
  title: "An irqfd is signalled and hangs up while its message changes: its callback does not send the old one after the change.",
  source: "kvm-irq-core.md 2.4 WK4, H25",
  about: ["irqfd_deactivate", "route_swap", "kvm_msi_set_irq"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.setRoutes(message(BEFORE));
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    const contexts = [raise, close(stage.process, fd), stage.routingCall("reroute", message(AFTER))];
    return stage.program(contexts, { properties: [new WholeRoutes(MESSAGES)] });
  },
};

export const assignMessageAgainstSignal: Protocol = {
  name: "assign-message-against-signal",
  title: "An eventfd is signalled once while it becomes an irqfd whose GSI leads to a message: the message is sent, whole.",
  source: "kvm-irq-core.md 2.3 AS11, 2.4, H3",
  about: ["irqfd_assign", "irqfd_inject", "kvm_msi_set_irq"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.setRoutes(message(BEFORE));
    const fd = stage.eventfd();
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI }), new Raise(stage.driver(fd))], {
      properties: [new NoInterruptLost(), new WholeRoutes([MESSAGES[0]]), new MessageSent()],
    });
  },
};

export const assignAgainstReroute: Protocol = {
  name: "assign-against-reroute",
  title: "An eventfd becomes an irqfd while its GSI's message changes: afterwards it caches the route in force.",
  source: "kvm-irq-core.md 2.3 AS11, 10.1 I11, H3",
  about: ["irqfd_assign", "route_swap"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.setRoutes(message(BEFORE));
    const fd = stage.eventfd();
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI }), stage.routingCall("reroute", message(AFTER))], {
      end() {
        const [irqfd] = stage.core.irqfds.active.toArray();
        return irqfd.route.data === AFTER ? null : `H3: the irqfd keeps message ${irqfd.route.data} although ${AFTER} is in force`;
      },
    });
  },
};

/** H6, taken for the violation: the pin is raised although the call that moved its GSI away has returned. */
class NoOldPin implements Property {
  readonly name = "no-old-pin";
  readonly sentence = "no pin is raised after the change that took its GSI away has returned";
  readonly hears = ["irq_line_state", "sys_ioctl"] as const;
  private isMoved = false;

  hear({ name, args }: Heard): string | null {
    if (name === "sys_ioctl") this.isMoved ||= args[1] === KVM_SET_GSI_ROUTING;
    else if (this.isMoved && args[1] === GSI && args[4] !== 0) return "H6: the old pin is raised after the routing call has returned";
    return null;
  }
}

export const rerouteAgainstWork: Protocol = {
  name: "reroute-against-work",
  title: "An irqfd's work item injects while its GSI moves to another pin: it may still reach the old pin after the change.",
  source: "kvm-irq-core.md 4.6 ST2, H6",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    return stage.program([stage.routingCall("reroute", pin(GSI + 1)), raise], { properties: [new NoOldPin()] });
  },
};

export const releaseAgainstSignal: Protocol = {
  name: "release-against-signal",
  title: "An irqfd is signalled while the last descriptor of its VM is closed: nothing looks at the VM's freed table.",
  source: "kvm-irq-core.md 2.6, 6.3, H26",
  about: ["irqfd_inject", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    return stage.program([close(stage.process, stage.vmFd), raise], {
      end: () => (stage.core.isDestroyed ? null : "the VM outlives its last descriptor"),
    });
  },
};

export const rerouteAsserted: Protocol = {
  name: "reroute-asserted",
  title: "The GSI of an asserted resampling irqfd moves to another pin before the guest acknowledges the old one: that stays high.",
  source: "kvm-irq-core.md 3.8, H24",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const { told } = stage.assignWithOwner(GSI);
    return stage.program([stage.routingCall("reroute", pin(GSI + 1)), stage.acknowledge(GSI)], {
      end: () => (stage.lines.isHigh(GSI) && told.signals === 0 ? "H24: the old pin is high, and its owner was never told" : null),
    });
  },
};
