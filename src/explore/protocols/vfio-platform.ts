import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EBUSY } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import type { PlatformIrq } from "../../vfio/backends/platform-irq.js";
import { virqfdsOf } from "../../vfio/virqfd.js";
import { OneSignalPerUnmask } from "../properties/one-signal-per-unmask.js";
import type { VfioProfileName } from "../../vfio/profiles.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { contextOf, IrqCalls, QuietAfter, setLevels, signalling } from "../stages/vfio-calls.js";
import { LEVEL_SPI, VfioStage } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 23 for a platform device.

const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = uapi;
const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;

const nothing = (): null => null;

function irqOf(stage: VfioStage): PlatformIrq {
  const irq = stage.driver.deviceOf(stage.a.name)?.irqs[0];
  if (irq === undefined) throw new Error("the device has no interrupt");
  return irq;
}

/** The level line as hardware drives it. */
const line = (stage: VfioStage, ...values: boolean[]): Thread =>
  new Thread("device", "hardware", () => setLevels((isHigh) => stage.machine.gic.setSpi(LEVEL_SPI, isHigh), ...values));

/** A level interrupt with trigger E and unmask eventfd U; its line is low. */
function wired(hazards?: Partial<Hazards>, profile?: VfioProfileName) {
  const stage = new VfioStage({ hazards, profile });
  const fds = stage.ready();
  const [E, U] = [stage.eventfd(), stage.eventfd()];
  stage.setIrqs(fds.d, 0, EVENTFD | TRIGGER, 0, 1, E);
  stage.setIrqs(fds.d, 0, EVENTFD | UNMASK, 0, 1, U);
  stage.machine.untraced();
  return { stage, ...fds, E, U, calls: new IrqCalls(stage, fds.d) };
}

/** The same, its line high: masked and signalled once. */
function masked(hazards?: Partial<Hazards>, profile?: VfioProfileName) {
  const all = wired(hazards, profile);
  all.stage.line(true);
  return all;
}

/** 23.3 when nothing is under way. */
function atRest(stage: VfioStage): string | null {
  const irq = irqOf(stage);
  const { depth } = stage.machine.desc(stage.machine.level);
  const isMasked = run(irq.isMasked());
  return depth === (isMasked ? 1 : 0) + (irq.isSignalling ? 0 : 1) ? null : `23.3: depth ${depth}, masked ${isMasked}`;
}

export const unmaskAgainstLine: Protocol = {
  name: "unmask-against-line",
  title: "A resampler and an ioctl unmask a level interrupt whose line falls and rises: in the end it is masked, and its owner was told.",
  source: "vfio.md 23.1 to 23.4",
  program(hazards, profile): Program {
    const { stage, U, calls } = masked(hazards, profile);
    const unmask = calls.thread({ flags: NONE | UNMASK });
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U), unmask, line(stage, false, true)],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end() {
        if (unmask.result !== 0) return `SET_IRQS: ${unmask.result}`;
        return run(irqOf(stage).isMasked()) ? atRest(stage) : "23.2: the line is high and unmasked, and nobody was told";
      },
    };
  },
};

export const unmaskAgainstFirstShot: Protocol = {
  name: "unmask-against-first-shot",
  title: "A level interrupt that its user has masked is unmasked by a resampler while its line rises: its owner is told.",
  source: "host-irq.md K6, vfio.md 23.2",
  about: ["vfio_automask", "vfio_unmask", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, d, E, U } = wired(hazards, profile);
    stage.setIrqs(d, 0, NONE | MASK, 0, 1);
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U), line(stage, true)],
      properties: [new OneSignalPerUnmask(1)],
      check: nothing,
      end: () => (stage.count(E) === 1 ? atRest(stage) : "K6: the line is high, was unmasked, and nobody was told"),
    };
  },
};

export const swapAgainstHandler: Protocol = {
  name: "swap-against-handler",
  title: "The trigger of a level interrupt is replaced while its line fires and is unmasked: the old eventfd receives nothing after the call.",
  source: "vfio.md 23.5",
  about: ["vfio_automask", "vfio_trigger", "irq_handler"],
  program(hazards, profile): Program {
    const { stage, E, U, calls } = masked(hazards, profile);
    const E2 = stage.eventfd();
    const swap = new QuietAfter("SET_IRQS", contextOf(stage, E), calls.prepare({ flags: EVENTFD | TRIGGER, fds: [E2] }));
    return {
      sim: stage.sim,
      contexts: [swap, signalling(stage, U)],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end() {
        if (swap.isBroken) return "23.5: the old eventfd is signalled after the call has returned";
        return stage.count(E) + stage.count(E2) === 2 ? atRest(stage) : `23.2: ${stage.count(E)} and ${stage.count(E2)} signals`;
      },
    };
  },
};

/** The trigger is removed, or the device closed, against an unmask. */
function endAgainstUnmask(how: "remove" | "close", hazards?: Partial<Hazards>, profile?: VfioProfileName): Program {
  const { stage, d, g, c, E, U, calls } = masked(hazards, profile);
  for (const fd of [g, c]) stage.close(fd);
  const call = how === "close" ? () => stage.process.close(d) : calls.prepare({ flags: NONE | TRIGGER, count: 0 });
  const last = new QuietAfter(how, contextOf(stage, E), call);
  return {
    sim: stage.sim,
    contexts: [last, signalling(stage, U)],
    properties: [new OneSignalPerUnmask(0)],
    check: nothing,
    end() {
      if (last.isBroken) return "23.6: a signal after the call has returned";
      if (how === "remove") return atRest(stage);
      return stage.group.describeOwnership() === "kernel 0 default" ? null : "the group is not released";
    },
  };
}

export const removeAgainstUnmask: Protocol = {
  name: "remove-against-unmask",
  title: "The trigger of a level interrupt is removed while it is unmasked: nothing is signalled after the call.",
  source: "vfio.md 23.6",
  program: (hazards, profile) => endAgainstUnmask("remove", hazards, profile),
};

export const closeAgainstUnmask: Protocol = {
  name: "close-against-unmask",
  title: "A device is closed for good while its level interrupt is unmasked: nothing is signalled after the close, and the group is free.",
  source: "vfio.md 23.13",
  program: (hazards, profile) => endAgainstUnmask("close", hazards, profile),
};

export const hangUpAgainstDisable: Protocol = {
  name: "hang-up-against-disable",
  title: "An unmask eventfd is closed while SET_IRQS takes it away: one shutdown, and its slot is free.",
  source: "vfio.md 23.7",
  about: ["sys_close"],
  program(hazards, profile): Program {
    const { stage, U, calls } = masked(hazards, profile);
    const { cleanup } = virqfdsOf(stage.machine.host);
    const close = new Thread("close", "user", () => stage.process.close(U));
    return {
      sim: stage.sim,
      contexts: [close, calls.thread({ flags: EVENTFD | UNMASK, fds: [-1] })],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end: () => (cleanup.done === 1 ? atRest(stage) : `23.7: ${cleanup.done} shutdowns`),
    };
  },
};

/** KVM_DEV_VFIO's FORWARD: refused while a trigger is installed. */
function* forward(irq: PlatformIrq): Step<number> {
  yield* irq.lock.lock();
  const isRefused = irq.isSignalling;
  if (!isRefused) {
    yield* irq.descriptorLock.lock();
    yield* irq.setForwarded(true);
    yield* irq.descriptorLock.unlock();
  }
  yield* irq.lock.unlock();
  return isRefused ? -EBUSY : 0;
}

export const forwardAgainstTrigger: Protocol = {
  name: "forward-against-trigger",
  title: "An interrupt is forwarded while its trigger is installed: a masking handler is never that of a forwarded interrupt.",
  source: "vfio.md 23.25, kvm-irq-core.md 8.3",
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    const { d } = stage.ready();
    const irq = irqOf(stage);
    const mark = new Thread("FORWARD", "user", () => forward(irq), 1);
    const install = new IrqCalls(stage, d).thread({ flags: EVENTFD | TRIGGER, fds: [stage.eventfd()] });
    return {
      sim: stage.sim,
      contexts: [install, mark],
      check: nothing,
      end() {
        stage.sim.explored = false;
        stage.line(true);
        const isMasked = run(irq.isMasked());
        return isMasked === (mark.result === -EBUSY) ? null : `23.25: FORWARD answered ${mark.result}, and the handler masks: ${isMasked}`;
      },
    };
  },
};
