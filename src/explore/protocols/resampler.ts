import { KVM_IRQFD_FLAG_DEASSIGN as DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE } from "../../uapi/kvm.js";
import { NoInterruptLost } from "../properties/no-interrupt-lost.js";
import { NoLineWithoutOwner } from "../properties/no-line-without-owner.js";
import { NoRequestWipedOut } from "../properties/no-request-wiped-out.js";
import { OneDeassertPerResample } from "../properties/one-deassert-per-resample.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { Raise } from "../stages/threads.js";

const GSI = 5;

export const leaveAgainstAcknowledge: Protocol = {
  name: "leave-against-acknowledge",
  title: "The guest acknowledges while the last resampling irqfd of its GSI goes, whose resamplefd is closed: the line ends low.",
  source: "kvm-irq-core.md 3.4, 3.6, H12, H13, H16",
  about: ["kvm_ack_irq", "resampler_notify", "resampler_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
    stage.assign(fd, GSI, RESAMPLE, resamplefd);
    stage.close(resamplefd); // the irqfd's reference is the last one
    stage.trigger(fd);
    return stage.program([stage.acknowledge(GSI), stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN })], {
      properties: [new OneDeassertPerResample(), new NoLineWithoutOwner()],
      end: () => (stage.lines.isHigh(GSI) ? "H16: the line is high and nobody owns it" : null),
    });
  },
};

export const leaveOthersAgainstAcknowledge: Protocol = {
  name: "leave-others-against-acknowledge",
  title: "The guest acknowledges a line of two devices while the irqfd of one goes: the other is told once, the one that goes at most once.",
  source: "kvm-irq-core.md 3.4 RL4, 3.6, H13",
  about: ["kvm_ack_irq", "resampler_notify", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const staying = stage.assignWithOwner(GSI);
    const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
    stage.assign(fd, GSI, RESAMPLE, resamplefd);
    stage.close(resamplefd); // the irqfd's reference is the last one
    return stage.program([stage.acknowledge(GSI), stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN })], {
      properties: [new OneDeassertPerResample()],
      end: () => (staying.told.signals === 1 ? null : `the owner that stays is told ${staying.told.signals} times`),
    });
  },
};

export const leaveAgainstSignal: Protocol = {
  name: "leave-against-signal",
  title: "The last resampling irqfd of a GSI is signalled while it goes: the line ends low.",
  source: "kvm-irq-core.md 3.4 RL3, H16, H17",
  about: ["irqfd_inject", "resampler_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI, RESAMPLE, resamplefd);
    return stage.program([raise, stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN })], {
      properties: [new NoLineWithoutOwner()],
      end: () => (stage.lines.isHigh(GSI) ? "H16, H17: the line is high and nobody owns it" : null),
    });
  },
};

export const sharedLineAgainstAcknowledge: Protocol = {
  name: "shared-line-against-acknowledge",
  title: "The guest acknowledges a line that two devices share, and the one told first still asks for service: the line ends high, each was told once.",
  source: "kvm-irq-core.md 3.5, H14, H15",
  about: ["kvm_ack_irq", "resampler_notify", "irqfd_inject"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const quiet = stage.assignWithOwner(GSI);
    const asking = stage.assignWithOwner(GSI);
    stage.own(asking);
    return stage.program([stage.acknowledge(GSI)], {
      end() {
        if (!stage.lines.isHigh(GSI)) return "H14, H15: the line is low although a device asks for service";
        return quiet.told.signals === 1 && asking.told.signals === 1 ? null : "an owner was not told exactly once";
      },
    });
  },
};

export const reassertAgainstAcknowledge: Protocol = {
  name: "reassert-against-acknowledge",
  title: "The guest acknowledges a line that two devices share, and one asserts it again meanwhile: what comes after the line was lowered stays.",
  source: "kvm-irq-core.md 3.5, H14",
  about: ["kvm_ack_irq", "resampler_notify", "irqfd_inject"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.assignWithOwner(GSI);
    const { trigger } = stage.assignWithOwner(GSI);
    return stage.program([stage.acknowledge(GSI), new Raise(trigger)], { properties: [new NoRequestWipedOut()] });
  },
};

export const resampleOrder: Protocol = {
  name: "resample-order",
  title: "The guest acknowledges a line of two devices while one triggers again: the line is lowered once, before anybody is told.",
  source: "kvm-irq-core.md 3.5 rules 2 and 3, H14, H15",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.assignWithOwner(GSI);
    const { trigger } = stage.assignWithOwner(GSI);
    return stage.program([stage.acknowledge(GSI), new Raise(trigger)], { properties: [new OneDeassertPerResample(), new NoInterruptLost()] });
  },
};

export const joinAgainstAcknowledge: Protocol = {
  name: "join-against-acknowledge",
  title: "A device joins an asserted line while the guest acknowledges it: what it asserted is not lowered without its owner being told.",
  source: "kvm-irq-core.md 3.3 RJ5, H18",
  about: ["kvm_ack_irq", "resampler_notify", "irqfd_assign", "irqfd_inject"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    stage.assignWithOwner(GSI);
    const [fd, resamplefd] = [stage.eventfd(1), stage.eventfd()];
    stage.own({ trigger: stage.driver(fd), told: stage.driver(resamplefd) });
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI, flags: RESAMPLE, resamplefd }), stage.acknowledge(GSI)], {
      properties: [new OneDeassertPerResample()],
      end: () => (stage.lines.isHigh(GSI) ? null : "H18: the new device's line is low although it asks for service"),
    });
  },
};

export const busyJoinAgainstAcknowledge: Protocol = {
  name: "busy-join-against-acknowledge",
  title: "A call that fails with EBUSY has joined a resampler for a while: an acknowledge meanwhile tells its owner.",
  source: "kvm-irq-core.md 2.3 AS12, H19",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
    stage.assign(fd, GSI + 1);
    const told = stage.driver(resamplefd);
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI, flags: RESAMPLE, resamplefd }), stage.acknowledge(GSI)], {
      end: () => (told.signals > 0 ? "H19: the owner is told although its call failed" : null),
    });
  },
};
