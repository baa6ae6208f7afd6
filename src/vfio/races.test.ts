import { describe, expect, it } from "vitest";
import { eventfdContextOf } from "../host/eventfd.js";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { Context } from "../sim/context.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { EBUSY, ENODEV, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { LEVEL_SPI, World } from "./vfio.fixture.js";

const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = uapi;
const { VFIO_IRQ_SET_ACTION_UNMASK: UNMASK, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;
const PATIENCE = 120_000;

/** Each call has its argument in a place of its own: threads run at once. */
let nextArgument = 0x2000;

/** A thread that does one thing. */
class Does extends Context {
  result = 1;
  constructor(
    name: string,
    private readonly program: () => Step<number>,
    cpu = 0,
  ) {
    super(name, "user", cpu);
  }
  override *body(): Step<void> {
    this.result = yield* this.program();
  }
}

/** A SET_IRQS of `a`'s level interrupt by a thread; without a descriptor its count is 1, or 0 to remove the trigger. */
function setIrqs(world: World, d: number, flags: number, ...fds: number[]): Does {
  const at = (nextArgument = nextArgument === 0x4000 ? 0x2000 : nextArgument + 0x100);
  const words = [20 + 4 * fds.length, flags, 0, 0, flags === (NONE | TRIGGER) ? 0 : 1, ...fds];
  words.forEach((word, i) => world.process.memory.setU32(at + 4 * i, word >>> 0));
  return new Does(`SET_IRQS ${flags}`, () => world.process.ioctl(d, uapi.VFIO_DEVICE_SET_IRQS, at));
}

/** The level line changes: hardware. */
function line(world: World, ...levels: boolean[]): Does {
  return new Does("device", function* () {
    for (let i = 0; i < levels.length; i++) yield* world.machine.gic.setSpi(LEVEL_SPI, levels[i]);
    return 0;
  });
}

function signal(world: World, fd: number, times = 1): Does {
  const context = eventfdContextOf(world.process, fd);
  if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
  return new Does("signal", function* () {
    for (let i = 0; i < times; i++) yield* context.signal();
    return 0;
  }, 1);
}

function irqOf(world: World) {
  const irq = world.driver.deviceOf(world.a.name)?.irqs[0];
  if (irq === undefined) throw new Error("no interrupt");
  return irq;
}

/** A level interrupt with trigger E and unmask eventfd U, line high, masked and signalled once. */
function masked() {
  const world = new World();
  const fds = world.ready();
  const [E, U] = [world.eventfd(), world.eventfd()];
  world.setIrqs(fds.d, 0, EVENTFD | TRIGGER, 0, 1, E);
  world.setIrqs(fds.d, 0, EVENTFD | UNMASK, 0, 1, U);
  world.line(true);
  return { world, ...fds, E, U };
}

/** 23.1 and 23.3 when nothing is under way. */
function atRest(world: World): string | null {
  const irq = irqOf(world);
  const desc = world.machine.desc(world.machine.level);
  const isMasked = run(irq.isMasked());
  if (desc.depth !== (isMasked ? 1 : 0) + (irq.isSignalling ? 0 : 1)) return `23.3: depth ${desc.depth}, masked ${isMasked}`;
  const unmasks = world.machine.trace.lines("vfio_unmask").length;
  return irq.signals <= 1 + unmasks ? null : `23.1: ${irq.signals} signals after ${unmasks} unmasks`;
}

/** 23.4: an unmask by virqfd, an unmask by ioctl, and a line that falls and rises. It ends signalled and masked, or low. */
function unmaskAgainstLine(): Program {
  const { world, d, U } = masked();
  const unmask = setIrqs(world, d, NONE | UNMASK);
  const contexts = [signal(world, U), unmask, line(world, false, true)];
  return {
    sim: world.sim,
    contexts,
    check: () => null,
    end() {
      if (unmask.result !== 0) return `SET_IRQS: ${unmask.result}`;
      if (!run(irqOf(world).isMasked())) return "23.2: the line is high and unmasked, and nobody was told";
      return atRest(world);
    },
  };
}

/** 23.5: the trigger is replaced while the line fires and is unmasked. The old eventfd receives nothing afterwards. */
function swapAgainstHandler(): Program {
  const { world, d, E, U } = masked();
  const E2 = world.eventfd();
  const swap = setIrqs(world, d, EVENTFD | TRIGGER, E2);
  const contexts = [swap, signal(world, U)];
  let atReturn = -1;
  return {
    sim: world.sim,
    contexts,
    check() {
      if (swap.result === 0 && atReturn < 0) atReturn = world.count(E);
      return atReturn >= 0 && world.count(E) !== atReturn ? "23.5: the old eventfd is signalled after the call has returned" : null;
    },
    end: () => (world.count(E) + world.count(E2) !== 2 ? `23.2: ${world.count(E)} and ${world.count(E2)} signals` : atRest(world)),
  };
}

/** 23.6, 23.13: the trigger is removed, or the device closed, against an unmask. No signal after the call has returned. */
function endAgainstUnmask(how: "remove" | "close"): Program {
  const { world, d, g, c, E, U } = masked();
  for (const fd of [g, c]) world.close(fd);
  const end = how === "close" ? new Does("close", () => world.process.close(d)) : setIrqs(world, d, NONE | TRIGGER);
  const contexts = [end, signal(world, U)];
  let atReturn = -1;
  return {
    sim: world.sim,
    contexts,
    check() {
      if (end.result === 0 && atReturn < 0) atReturn = world.count(E);
      return atReturn >= 0 && world.count(E) !== atReturn ? "23.6: a signal after the call has returned" : null;
    },
    end: () => (how === "remove" ? atRest(world) : world.group.describeOwnership() === "kernel 0 default" ? null : "the group is not released"),
  };
}

/** 23.7: U's last descriptor is closed while it is taken away by SET_IRQS. One shutdown, and the slot is free. */
function hangUpAgainstDisable(): Program {
  const { world, d, U } = masked();
  const { cleanup } = world.vfio.virqfds;
  const contexts = [new Does("close", () => world.process.close(U)), setIrqs(world, d, EVENTFD | UNMASK, -1)];
  return {
    sim: world.sim,
    contexts,
    check: () => null,
    end: () => (cleanup.done === 1 ? atRest(world) : `23.7: ${cleanup.done} shutdowns`),
  };
}

/** 23.18: a group is attached while a host driver binds to a member. Exactly one of them succeeds. */
function attachAgainstProbe(): Program {
  const world = new World();
  world.write("/sys/bus/platform/drivers/vfio-platform/unbind", world.b.name);
  world.write(`/sys/bus/platform/devices/${world.b.name}/driver_override`, "");
  const [c, g] = [world.open("/dev/vfio/vfio"), world.open("/dev/vfio/12")];
  world.process.memory.setU32(0x1800, c);
  const attach = new Does("attach", () => world.process.ioctl(g, uapi.VFIO_GROUP_SET_CONTAINER, 0x1800));
  const bind = new Does("bind", () => world.sysfs.write("/sys/bus/platform/drivers/calxedaxgmac/bind", world.b.name));
  return {
    sim: world.sim,
    contexts: [attach, bind],
    check: () => null,
    end() {
      const isOne = (attach.result === 0 && bind.result === -EBUSY) || (attach.result === -EPERM && bind.result > 0);
      return isOne ? null : `23.18: attach ${attach.result}, bind ${bind.result}`;
    },
  };
}

/** 23.17: a device is unbound while it is opened and closed. It is opened before, or not at all. */
function unbindAgainstOpen(): Program {
  const world = new World();
  const { d, g } = world.ready();
  world.close(d);
  const { name } = world.a;
  const at = 0x1800;
  for (let i = 0; i <= name.length; i++) world.process.memory.setU8(at + i, i < name.length ? name.charCodeAt(i) : 0);
  const user = new Does("user", function* () {
    const fd = yield* world.process.ioctl(g, uapi.VFIO_GROUP_GET_DEVICE_FD, at);
    return fd < 0 ? fd : yield* world.process.close(fd);
  });
  const unbind = new Does("unbind", () => world.sysfs.write("/sys/bus/platform/drivers/vfio-platform/unbind", name));
  return {
    sim: world.sim,
    contexts: [user, unbind],
    check: () => (unbind.result > 1 && user.result === 1 && world.driver.deviceOf(name) !== null ? "23.17: unbound, and still there" : null),
    end: () => (unbind.result > 0 && (user.result === 0 || user.result === -ENODEV) ? null : `23.17: open ${user.result}, unbind ${unbind.result}`),
  };
}

/** 1.1: the last device of a group leaves while another comes. There is one group, with one driver, and it opens. */
function leaveAgainstJoin(): Program {
  const world = new World();
  const driver = "/sys/bus/platform/drivers/vfio-platform";
  world.write(`${driver}/unbind`, world.b.name);
  const contexts = [
    new Does("unbind", () => world.sysfs.write(`${driver}/unbind`, world.a.name)),
    new Does("bind", () => world.sysfs.write(`${driver}/bind`, world.b.name)),
  ];
  return {
    sim: world.sim,
    contexts,
    check: () => null,
    end() {
      const { drivers } = world.counters();
      return drivers === 1 && world.open("/dev/vfio/12") >= 0 ? null : `${drivers} drivers: the group is lost`;
    },
  };
}

/** 23.16: SET_IOMMU against SET_CONTAINER. The group is attached to the IOMMU exactly if there is one. */
function setIommuAgainstSetContainer(): Program {
  const world = new World();
  const [c, g] = [world.open("/dev/vfio/vfio"), world.open("/dev/vfio/12")];
  world.process.memory.setU32(0x1800, c);
  const attach = new Does("attach", () => world.process.ioctl(g, uapi.VFIO_GROUP_SET_CONTAINER, 0x1800));
  const set = new Does("SET_IOMMU", () => world.process.ioctl(c, uapi.VFIO_SET_IOMMU, 3));
  return {
    sim: world.sim,
    contexts: [attach, set],
    check: () => null,
    end() {
      const owned = world.group.describeOwnership();
      const expected = set.result === 0 ? "user 1 user" : "user 1 blocking";
      return attach.result === 0 && owned === expected ? null : `23.16: SET_IOMMU ${set.result}, ${owned}`;
    },
  };
}

/** 23.25: a trigger is installed while the interrupt is marked as forwarded, as FORWARD_IRQ does it. */
function forwardAgainstTrigger(): Program {
  const world = new World();
  const { d } = world.ready();
  const irq = irqOf(world);
  const forward = new Does("FORWARD", function* () {
    yield* irq.lock.lock();
    const isRefused = irq.isSignalling;
    if (!isRefused) {
      yield* irq.descriptorLock.lock();
      yield* irq.setForwarded(true);
      yield* irq.descriptorLock.unlock();
    }
    yield* irq.lock.unlock();
    return isRefused ? -EBUSY : 0;
  }, 1);
  const install = setIrqs(world, d, EVENTFD | TRIGGER, world.eventfd());
  return {
    sim: world.sim,
    contexts: [install, forward],
    check: () => null,
    end() {
      world.sim.explored = false;
      world.line(true);
      const isMasked = run(irq.isMasked());
      return isMasked === (forward.result === -EBUSY) ? null : `23.25: FORWARD answered ${forward.result}, and the handler masks: ${isMasked}`;
    },
  };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("VFIO, every interleaving with two preemptions, one where there are many", () => {
  const programs: [string, () => Program, number?][] = [
    ["23.4: unmask against the line", unmaskAgainstLine, 1],
    ["23.5: trigger swap against handler and unmask", swapAgainstHandler],
    ["23.6: trigger removal against unmask", () => endAgainstUnmask("remove")],
    ["23.13: last close against unmask", () => endAgainstUnmask("close"), 1],
    ["23.7: hang-up against disable", hangUpAgainstDisable],
    ["1.1: the last device leaves against one that comes", leaveAgainstJoin],
    ["23.16: SET_IOMMU against SET_CONTAINER", setIommuAgainstSetContainer],
    ["23.17: unbind against open", unbindAgainstOpen],
    ["23.18: attach against a host driver's probe", attachAgainstProbe],
    ["23.25: FORWARD against SET_IRQS", forwardAgainstTrigger],
  ];
  for (const [name, program, preemptions = 2] of programs)
    it(name, () => {
      const result = explore(program, { preemptions });
      expect(result.verdict === "violation" ? [result.message, result.schedule, ...result.trace] : []).toEqual([]);
    }, PATIENCE);
});
