import { run } from "../../sim/step.js";
import { EBUSY, EEXIST } from "../../uapi/errno.js";
import { ForwardingWhileQuiet } from "../properties/forwarding-while-quiet.js";
import type { Protocol } from "../protocol.js";
import { ForwardStage } from "../stages/forward-stage.js";
import { close, Thread } from "../stages/threads.js";

const FIRST = { index: 0, gsi: 8 };
const SECOND = { index: 1, gsi: 9 };

export const forwardAgainstTrigger: Protocol = {
  name: "forward-irq-against-trigger",
  title: "An interrupt is forwarded while its trigger is installed: a forwarded interrupt never gets the automasking handler.",
  source: "kvm-irq-core.md 8.3 check 12, H36",
  about: ["irq_forward", "vfio_signaling", "vfio_trigger"],
  program(hazards = {}) {
    const stage = new ForwardStage(hazards);
    const forward = stage.forward("forward", FIRST);
    const trigger = stage.trigger("trigger", stage.eventfd());
    return {
      sim: stage.sim,
      contexts: [forward, trigger],
      properties: [new ForwardingWhileQuiet()],
      check: () => null,
      end() {
        if (trigger.result !== 0) return `SET_IRQS answers ${trigger.result}`;
        if (forward.result !== 0 && forward.result !== -EBUSY) return `FORWARD answers ${forward.result}`;
        run(stage.device.setLine(true));
        run(stage.sim.settle());
        return stage.device.isMasked === (forward.result === 0) ? "H36: the handler does not suit the interrupt" : null;
      },
    };
  },
};

export const unforwardActive: Protocol = {
  name: "unforward-active",
  title: "An interrupt ceases to be forwarded while the guest is in its handler, leaves the guest and comes back, and ends it: it is completed, whichever comes first.",
  source: "kvm-irq-core.md 8.3, H37",
  about: ["irq_forward", "writes Ichv3.LR"],
  program(hazards = {}) {
    const stage = new ForwardStage(hazards);
    stage.before(stage.forward("forward", FIRST));
    stage.guestTakes(FIRST);
    const end = stage.guestEnds(FIRST);
    const unforward = stage.unforward("unforward", FIRST);
    return {
      sim: stage.sim,
      contexts: [end, unforward],
      properties: [new ForwardingWhileQuiet()],
      check: () => null,
      end() {
        if (unforward.result !== 0) return `UNFORWARD answers ${unforward.result}`;
        return stage.gic.isActive(0, stage.spi) ? "H37: the interrupt stays active, and nobody will end it" : null;
      },
    };
  },
};

export const forwardTwice: Protocol = {
  name: "forward-twice",
  title: "Two threads forward the same interrupt: one succeeds, the other is told that it exists; one node, one reference.",
  source: "kvm-irq-core.md 8.3 check 5, H39",
  about: ["irq_forward"],
  program(hazards = {}) {
    const stage = new ForwardStage(hazards);
    const before = stage.device.references;
    const contexts = [stage.forward("one", FIRST), stage.forward("two", { index: FIRST.index, gsi: SECOND.gsi })];
    return {
      sim: stage.sim,
      contexts,
      check: () => null,
      end() {
        const results = contexts.map((context) => context.result);
        if (!results.includes(0) || !results.includes(-EEXIST)) return `H39: the calls answer ${results.join(" and ")}`;
        return stage.device.references === before + 1 ? null : `H39: ${stage.device.references - before} references`;
      },
    };
  },
};

export const unforwardOneOfTwo: Protocol = {
  name: "unforward-one-of-two",
  title: "The first of a device's two forwarded interrupts ceases to be forwarded while its user closes it: the second's node keeps the device.",
  source: "kvm-irq-core.md 8.3, 10.1 I10, H38",
  about: ["irq_forward", "sys_close"],
  program(hazards = {}) {
    const stage = new ForwardStage(hazards);
    stage.before(stage.forward("first", FIRST), stage.forward("second", SECOND));
    const { device } = stage.device;
    const unforward = stage.unforward("unforward", FIRST);
    const contexts = [unforward, close(stage.process, stage.device.fd, [unforward])];
    return {
      sim: stage.sim,
      contexts,
      check: () => null,
      end() {
        if (unforward.result !== 0) return `UNFORWARD answers ${unforward.result}`;
        return device.references === 1 ? null : `H38: ${device.references} references for the node that is left`;
      },
    };
  },
};

export const forwardAgainstRelease: Protocol = {
  name: "forward-against-release",
  title: "The last descriptor of the KVM-VFIO device is closed while a thread forwards by it: nothing stays forwarded.",
  source: "kvm-irq-core.md 8.3, H40",
  about: ["irq_forward", "sys_close"],
  program(hazards = {}) {
    const stage = new ForwardStage(hazards);
    const before = stage.device.references;
    const forward = stage.forward("forward", FIRST);
    const contexts: Thread[] = [forward, close(stage.process, stage.kvmVfio)];
    return {
      sim: stage.sim,
      contexts,
      check: () => null,
      end() {
        if (stage.device.references !== before) return `H40: ${stage.device.references - before} references are left`;
        return stage.device.isForwarded(0) ? "H40: the interrupt is forwarded and has no node" : null;
      },
    };
  },
};
