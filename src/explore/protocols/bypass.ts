import { IrqBypassProducer, irqBypassOf } from "../../host/irqbypass.js";
import type { Step } from "../../sim/step.js";
import { KVM_IRQ_ROUTING_MSI, KVM_IRQFD_FLAG_DEASSIGN } from "../../uapi/kvm.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import type { RouteSpec } from "../stages/kvm-machine.js";
import { close, Thread } from "../stages/threads.js";

const GSI = 5;
const HOST_IRQ = 7;
const [BEFORE, AFTER] = [1, 2];

const message = (n: number): RouteSpec[] => [{ gsi: GSI, type: KVM_IRQ_ROUTING_MSI, words: [n, 0, n] }];

class Vector extends IrqBypassProducer {}

/** An irqfd on a message, on hardware that can post the host interrupt behind its eventfd. */
function posting(hazards: Parameters<Protocol["program"]>[0]) {
  const stage = new CoreStage(hazards, true);
  stage.setRoutes(message(BEFORE));
  const fd = stage.eventfd();
  stage.assign(fd, GSI);
  return { stage, fd, vector: new Vector(HOST_IRQ), manager: irqBypassOf(stage.sim) };
}

export const connectAgainstReroute: Protocol = {
  name: "connect-against-reroute",
  title: "A producer connects to an irqfd while its message changes: the hardware posts the new one.",
  source: "kvm-irq-core.md 2.7, 7.4, H27",
  about: ["route_swap", "bypass"],
  program(hazards = {}) {
    const { stage, fd, vector, manager } = posting(hazards);
    const driver = stage.driver(fd);
    const contexts = [stage.routingCall("reroute", message(AFTER)), new Thread("connect", "user", () => manager.registerProducer(vector, driver))];
    return stage.program(contexts, {
      end: () => (stage.lines.postedAs === AFTER ? null : `H27: the hardware posts message ${stage.lines.postedAs} although ${AFTER} is in force`),
    });
  },
};

export const connectAgainstClose: Protocol = {
  name: "connect-against-close",
  title: "A producer connects to an irqfd whose eventfd is being closed: nobody uses the eventfd as a key after its end.",
  source: "kvm-irq-core.md 2.6 SH5, 7.4, H28",
  about: ["bypass", "irqfd_free"],
  program(hazards = {}) {
    const { stage, fd, vector, manager } = posting(hazards);
    const context = stage.context(fd);
    context.get(); // the driver's, while it connects
    function* connect(): Step<void> {
      yield* manager.registerProducer(vector, context);
      yield* manager.unregisterProducer(vector);
      yield* context.put();
    }
    const contexts = [new Thread("connect", "user", connect), close(stage.process, fd)];
    return stage.program(contexts, {
      end() {
        if (stage.lines.postedAs !== 0) return `the hardware still posts message ${stage.lines.postedAs}`;
        if (stage.lines.isStopped) return "H29: the guest's vCPUs stay stopped";
        return context.isAlive ? "a reference to the eventfd is never dropped" : null;
      },
    });
  },
};

export const deassignPosted: Protocol = {
  name: "deassign-posted",
  title: "An irqfd whose interrupt is posted is deassigned while its message changes: the hardware posts nothing afterwards.",
  source: "kvm-irq-core.md 2.5, 7.4, H25",
  about: ["irqfd_free", "route_swap", "bypass"],
  program(hazards = {}) {
    const { stage, fd, vector, manager } = posting(hazards);
    const driver = stage.driver(fd);
    const connected = new Thread("connect", "user", () => manager.registerProducer(vector, driver));
    stage.sim.wake(connected, 0);
    stage.settle();
    const contexts = [stage.irqfdCall("deassign", { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_DEASSIGN }), stage.routingCall("reroute", message(AFTER))];
    return stage.program(contexts, { end: () => (stage.lines.postedAs === 0 ? null : "H25: the host interrupt is posted although its irqfd is gone") });
  },
};
