import { EdgeDevice, LevelDevice, type LineDevice } from "../../device/line-device.js";
import { GicEdgeInput, GicLevelInput } from "../../host/gic-input.js";
import { MbigenLevelPin } from "../../host/mbigen.js";
import type { Host } from "../../host/machine.js";
import { type IrqAction, Irqf, IrqReturn, type IrqThreadAction, IrqType } from "../../host/irq/types.js";
import type { Hazards } from "../../sim/hazards.js";
import { Spinlock } from "../../sim/lock.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { HostStage } from "../stages/host-stage.js";
import { LpiStage } from "../stages/lpi-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// The host's interrupt descriptors (host-irq.md 1): a handler on CPU 0, callers on CPU 1, hardware on CPU 2.

/** An mbigen pin. */
const PIN = 70;

const nothing = (): null => null;

const hostStage = (hazards?: Partial<Hazards>): HostStage => new HostStage(3, 1, hazards).untraced();

/** Conditions that nobody serviced, and what else does not hold at the end. */
function allServed(stage: HostStage, device: LineDevice): string | null {
  const { lost } = device.counts;
  return lost > 0 ? `a condition is lost: ${lost}` : stage.atRest();
}

const levelDevice = (stage: HostStage): LevelDevice => new LevelDevice(stage.sim, "nic", new GicLevelInput(stage.gic, 40));
const edgeDevice = (stage: HostStage): EdgeDevice => new EdgeDevice(stage.sim, "timer", new GicEdgeInput(stage.gic, 41));
const hardware = (device: LineDevice, name = "hardware"): Thread => new Thread(name, "hardware", () => device.raise(), 2);

/** A driver that services what it finds. */
class Driver implements IrqAction {
  constructor(private readonly device: LineDevice) {}
  *handler(): Step<number> {
    return (yield* this.device.service()) > 0 ? IrqReturn.HANDLED : IrqReturn.NONE;
  }
}

/** An owner as VFIO is one: the handler masks the line, and a guest on another CPU services the device and unmasks. */
class Owner implements IrqAction {
  readonly guest: Thread;
  private masked = false;
  private readonly lock: Spinlock;

  constructor(
    private readonly host: Host,
    private readonly irq: number,
    private readonly device: LevelDevice,
  ) {
    this.lock = new Spinlock(host.sim, "vfio_irqlock");
    this.guest = new Thread("guest", "user", () => this.serveAndUnmask(), 1);
  }

  *handler(): Step<number> {
    yield* this.lock.lock();
    const isMine = !this.masked;
    if (isMine) {
      yield* this.host.disableIrqNosync(this.irq);
      this.masked = true;
    }
    yield* this.lock.unlock();
    if (isMine) this.host.sim.wake(this.guest, 0);
    return isMine ? IrqReturn.HANDLED : IrqReturn.NONE;
  }

  private *serveAndUnmask(): Step<void> {
    yield* this.device.service();
    yield* this.lock.lock();
    if (this.masked) {
      this.masked = false;
      yield* this.host.enableIrq(this.irq);
    }
    yield* this.lock.unlock();
  }
}

export const automaskAgainstGuest: Protocol = {
  name: "automask-against-guest",
  title: "A level line is masked by its handler while a guest on another CPU services the device and unmasks: no condition is lost, and the line ends open.",
  source: "host-irq.md 1.12, K5",
  about: ["irq_mask", "irq_unmask", "device_service"],
  program(hazards): Program {
    const stage = hostStage(hazards);
    const device = levelDevice(stage);
    stage.request(stage.level, new Owner(stage.host, stage.level, device));
    const twice = new Thread("hardware", "hardware", () => raiseTwice(device), 2);
    const end = (): string | null => {
      const { depth } = stage.desc(stage.level);
      return allServed(stage, device) ?? (depth === 0 ? null : `depth ends as ${depth}`);
    };
    return { sim: stage.sim, contexts: [twice], check: nothing, end };
  },
};

function* raiseTwice(device: LineDevice): Step<void> {
  yield* device.raise();
  yield* device.raise();
}

function* disableAndEnable(host: Host, irq: number, times: number): Step<void> {
  for (let i = 0; i < times; i++) {
    yield* host.disableIrqNosync(irq);
    yield* host.enableIrq(irq);
  }
}

const toggler = (stage: HostStage, irq: number, times: number): Thread =>
  new Thread("toggler", "user", () => disableAndEnable(stage.host, irq, times), 1);

/** One edge; a thread disables and enables the line `times` times. */
function edgeAndToggles(times: number, hazards?: Partial<Hazards>): Program {
  const stage = hostStage(hazards);
  const device = edgeDevice(stage);
  stage.request(stage.edge, new Driver(device));
  const end = (): string | null => {
    const { spurious } = device.counts;
    return allServed(stage, device) ?? (spurious === 0 ? null : `one edge, and ${1 + spurious} runs of its handler`);
  };
  return { sim: stage.sim, contexts: [hardware(device), toggler(stage, stage.edge, times)], check: nothing, end };
}

export const edgeAgainstDisable: Protocol = {
  name: "edge-against-disable",
  title: "An edge comes while its line is disabled and enabled: it is handled, once.",
  source: "host-irq.md 1.3, 1.4, K3",
  about: ["device_service", "irq_resend"],
  program: (hazards) => edgeAndToggles(1, hazards),
};

export const edgeAgainstTwoEnables: Protocol = {
  name: "edge-against-two-enables",
  title: "An edge comes while its line is disabled and enabled twice: it is sent again at most once, and handled once.",
  source: "host-irq.md 1.3, K4",
  about: ["device_service", "irq_resend"],
  program: (hazards) => edgeAndToggles(2, hazards),
};

/** A handler that knows whether it may still run. */
class Guarded implements IrqAction {
  isFreed = false;
  isInside = false;
  ranLate = false;
  constructor(private readonly stage: HostStage) {}

  *handler(): Step<number> {
    if (this.isFreed) this.ranLate = true;
    this.isInside = true;
    yield* this.stage.gic.setSpi(40, false);
    this.isInside = false;
    return IrqReturn.HANDLED;
  }

  *free(): Step<void> {
    yield* this.stage.host.freeIrq(this.stage.level, this);
    this.isFreed = true;
    if (this.isInside) this.ranLate = true;
  }
}

export const freeAgainstInterrupt: Protocol = {
  name: "free-against-interrupt",
  title: "A line fires while its handler is freed: after free_irq has returned the handler neither runs nor starts.",
  source: "host-irq.md 1.7, I2",
  program(hazards): Program {
    const stage = hostStage(hazards);
    const action = new Guarded(stage);
    stage.request(stage.level, action, 0, action);
    const contexts = [new Thread("hardware", "hardware", () => stage.gic.setSpi(40, true), 2), new Thread("rmmod", "user", () => action.free(), 1)];
    return { sim: stage.sim, contexts, check: () => (action.ranLate ? "the handler runs after free_irq" : null), end: () => stage.atRest() };
  },
};

class NotMine implements IrqAction {
  *handler(): Step<number> {
    return IrqReturn.NONE;
  }
}

export const sharerAgainstInterrupt: Protocol = {
  name: "sharer-against-interrupt",
  title: "A shared line fires while one of its two handlers is freed: the other misses nothing.",
  source: "host-irq.md 1.7, I2",
  program(hazards): Program {
    const stage = hostStage(hazards);
    const device = levelDevice(stage);
    const leaver = new NotMine();
    stage.request(stage.level, leaver, Irqf.SHARED);
    stage.request(stage.level, new Driver(device), Irqf.SHARED);
    const leave = new Thread("rmmod", "user", () => stage.host.freeIrq(stage.level, leaver), 1);
    return { sim: stage.sim, contexts: [hardware(device), leave], check: nothing, end: () => allServed(stage, device) };
  },
};

/** A handler that leaves the work to its thread. */
class Threaded implements IrqAction, IrqThreadAction {
  constructor(private readonly device: LineDevice) {}
  *handler(): Step<number> {
    return IrqReturn.WAKE_THREAD;
  }
  *thread(): Step<number> {
    yield* this.device.service();
    return IrqReturn.HANDLED;
  }
}

export const threadAgainstDisable: Protocol = {
  name: "thread-against-disable",
  title: "A ONESHOT line fires while it is disabled and enabled: its thread services the device, and the line ends open.",
  source: "host-irq.md 1.6",
  program(hazards): Program {
    const stage = hostStage(hazards);
    const device = levelDevice(stage);
    const threaded = new Threaded(device);
    run(stage.host.requestThreadedIrq(stage.level, threaded, threaded, Irqf.ONESHOT, "nic", stage));
    const end = (): string | null => allServed(stage, device) ?? (stage.desc(stage.level).threadsOneshot === 0 ? null : "a thread still holds the line");
    return { sim: stage.sim, contexts: [hardware(device), toggler(stage, stage.level, 1)], check: nothing, end };
  },
};

/** An LPI that is moved while its device sends twice; a driver may disable and enable it besides. */
function movedLpi(toggles: number, hazards?: Partial<Hazards>): Program {
  const stage = new LpiStage(hazards);
  const { irq, sink } = stage.lpi();
  const device = new EdgeDevice(stage.sim, "nic", sink);
  run(stage.host.requestIrq(irq, new Driver(device), 0, "nic", stage));
  const contexts = [
    new Thread("hardware", "hardware", () => raiseTwice(device), 2),
    new Thread("irqbalance", "user", () => stage.host.setAffinity(irq, [3]), 1),
  ];
  if (toggles > 0) contexts.push(new Thread("driver", "user", () => disableAndEnable(stage.host, irq, toggles), 1));
  return { sim: stage.sim, contexts, check: nothing, end: () => (device.counts.lost > 0 ? "a message is lost" : null) };
}

export const lpiAgainstMove: Protocol = {
  name: "lpi-against-move",
  title: "An LPI is moved to another CPU while its handler runs, and its device sends again: no message is lost.",
  source: "host-irq.md 1.4, K21",
  about: ["host_ack", "irq_handler", "device_service"],
  program: (hazards) => movedLpi(0, hazards),
};

export const lpiAgainstMoveAndEnable: Protocol = {
  name: "lpi-against-move-and-enable",
  title: "The same, and a driver disables and enables the LPI: a resend that meets the old CPU's handler is the last, and its message is lost.",
  source: "host-irq.md 1.3, 1.4, K21",
  program: (hazards) => movedLpi(1, hazards),
};

export const staleMessageBehindLpi: Protocol = {
  name: "stale-message-behind-lpi",
  title: "A level pin of an mbigen is lazily masked, serviced and unmasked: its last message may come when the pin is low again.",
  source: "host-irq.md 2.8, K30",
  program(hazards): Program {
    const stage = new LpiStage(hazards);
    const irq = run(stage.domain.map([PIN, IrqType.LEVEL_HIGH]));
    const device = new LevelDevice(stage.sim, "sas", new MbigenLevelPin(stage.mbigen, PIN));
    run(stage.host.requestIrq(irq, new Owner(stage.host, irq, device), 0, "vfio", stage));
    const end = (): string | null => {
      const { lost, spurious } = device.counts;
      if (lost > 0) return "a condition is lost";
      return spurious === 0 ? null : `K30: one condition, and ${spurious} more interrupts that find nothing`;
    };
    return { sim: stage.sim, contexts: [hardware(device)], check: nothing, end };
  },
};
