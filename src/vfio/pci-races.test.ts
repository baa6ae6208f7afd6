import { describe, expect, it } from "vitest";
import { eventfdContextOf } from "../host/eventfd.js";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { SigBus } from "../host/memory.js";
import { Context } from "../sim/context.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import * as uapi from "../uapi/vfio.js";
import type { Hazards } from "../sim/hazards.js";
import { CONFIG, EVENTFD, INTX, MSI, NONE, PciStage, TRIGGER, UNMASK } from "../explore/stages/pci-stage.js";

// vfio.md 23 for PCI functions: each rule over all interleavings within a bound, and found broken without it.

const PATIENCE = 120_000;

class Does extends Context {
  result = 1;
  constructor(name: string, private readonly program: () => Step<number>, cpu = 0) {
    super(name, "user", cpu);
  }
  override *body(): Step<void> {
    this.result = yield* this.program();
  }
}

/** A SET_IRQS by a thread, its argument at a place of its own. */
function setIrqs(world: PciStage, d: number, at: number, index: number, flags: number, start: number, count: number, ...fds: number[]): Does {
  [20 + 4 * fds.length, flags, index, start, count, ...fds].forEach((word, i) => world.process.memory.setU32(at + 4 * i, word >>> 0));
  return new Does(`SET_IRQS ${flags}`, () => world.process.ioctl(d, uapi.VFIO_DEVICE_SET_IRQS, at));
}

function pin(world: PciStage, ...levels: boolean[]): Does {
  return new Does("device", function* () {
    for (let i = 0; i < levels.length; i++) yield* world.A.fn.intx.setLevel(levels[i]);
    return 0;
  });
}

function signal(world: PciStage, fd: number): Does {
  const context = eventfdContextOf(world.process, fd);
  if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
  return new Does("signal", function* () {
    yield* context.signal();
    return 0;
  }, 1);
}

/** Writes COMMAND of A's user, once for each value. */
function command(world: PciStage, d: number, ...values: number[]): Does {
  values.forEach((value, i) => world.process.memory.setU32(0x3000 + 4 * i, value));
  return new Does("COMMAND", function* () {
    for (let i = 0; i < values.length; i++) yield* world.process.write(d, 0x3000 + 4 * i, 2, CONFIG + 4);
    return 0;
  }, 2);
}

/** INTx with trigger E and unmask eventfd U, asserted, masked and signalled once. */
function masked(hazards: Partial<Hazards> = {}) {
  const world = new PciStage({ hazards });
  const fds = world.ready();
  const [E, U] = [world.eventfd(), world.eventfd()];
  world.setIrqs(fds.d, INTX, EVENTFD | TRIGGER, 0, 1, E);
  world.setIrqs(fds.d, INTX, EVENTFD | UNMASK, 0, 1, U);
  world.intx(true);
  return { world, ...fds, E, U };
}

/** 23.1 and 23.3 when nothing is under way. */
function atRest(world: PciStage): string | null {
  const { intx, mode } = world.vfioA.irqs;
  if (run(mode.get()) !== INTX) return null;
  const isMasked = run(intx.isMasked());
  if (world.isDisIntx !== isMasked) return `23.3: masked ${isMasked}, DisINTx ${world.isDisIntx}`;
  const unmasks = world.machine.trace.lines("vfio_unmask").length;
  return intx.signals <= 1 + unmasks ? null : `23.1: ${intx.signals} signals after ${unmasks} unmasks`;
}

/** 23.4: two unmasks, and a pin that falls and rises. In the end it is asserted, so masked and told. */
function unmaskAgainstPin(hazards: Partial<Hazards> = {}): Program {
  const { world, d, U, E } = masked(hazards);
  world.take(E);
  const unmask = setIrqs(world, d, 0x2000, INTX, NONE | UNMASK, 0, 1);
  return {
    sim: world.sim,
    contexts: [signal(world, U), unmask, pin(world, false, true)],
    check: () => null,
    end() {
      if (unmask.result !== 0) return `SET_IRQS: ${unmask.result}`;
      if (!run(world.vfioA.irqs.intx.isMasked())) return "23.2: asserted and unmasked, and nobody was told";
      return world.count(E) === 0 ? "23.2: masked, and nobody was told since the unmask" : atRest(world);
    },
  };
}

/** 23.5: on return of the swap the old eventfd receives nothing any more. */
function swapAgainstUnmask(hazards: Partial<Hazards> = {}): Program {
  const { world, d, E, U } = masked(hazards);
  const E2 = world.eventfd();
  const swap = setIrqs(world, d, 0x2000, INTX, EVENTFD | TRIGGER, 0, 1, E2);
  let atReturn = -1;
  return {
    sim: world.sim,
    contexts: [swap, signal(world, U)],
    check() {
      if (swap.result === 0 && atReturn < 0) atReturn = world.count(E);
      return atReturn >= 0 && world.count(E) !== atReturn ? "23.5: the old eventfd is signalled after the call has returned" : null;
    },
    end: () => (world.count(E) + world.count(E2) !== 2 ? `23.2: ${world.count(E)} and ${world.count(E2)} signals` : atRest(world)),
  };
}

/** 23.6, 23.13: INTx is disabled, or the device closed, against an unmask. */
function endAgainstUnmask(how: "disable" | "close"): Program {
  const { world, d, g, c, E, U } = masked();
  for (const fd of [g, c]) world.close(fd);
  const end = how === "close" ? new Does("close", () => world.process.close(d)) : setIrqs(world, d, 0x2000, INTX, NONE | TRIGGER, 0, 0);
  let atReturn = -1;
  return {
    sim: world.sim,
    contexts: [end, signal(world, U)],
    check() {
      if (end.result === 0 && atReturn < 0) atReturn = world.count(E);
      return atReturn >= 0 && world.count(E) !== atReturn ? "a signal after the call has returned" : null;
    },
    end: () => (end.result === 0 ? atRest(world) : `${how}: ${end.result}`),
  };
}

/** 23.9: a resample arrives while the user has INTx disabled. Nothing is told before it is enabled again; then what pends is. */
function resampleAgainstDisable(hazards: Partial<Hazards> = {}): Program {
  const { world, d, E, U } = masked(hazards);
  world.take(E);
  world.configWrite(d, 4, 2, 0x0406);
  return {
    sim: world.sim,
    contexts: [signal(world, U), pin(world, false)],
    check: () => null,
    end() {
      world.sim.explored = false;
      if (!world.isDisIntx) return "23.9: DisINTx is clear while the user has INTx disabled";
      world.intx(true);
      if (world.count(E) > 0) return "23.9: told while the user has INTx disabled";
      world.configWrite(d, 4, 2, 0x0006);
      return world.count(E) === 1 ? atRest(world) : `23.9: ${world.count(E)} signals`;
    },
  };
}

/** 23.9: the user disables and enables INTx while a resample arrives. */
function toggleAgainstResample(): Program {
  const { world, d, E, U } = masked();
  world.take(E);
  return {
    sim: world.sim,
    contexts: [command(world, d, 0x0406, 0x0006), signal(world, U)],
    check: () => null,
    end: () => (world.count(E) > 0 ? atRest(world) : "23.9: asserted, and nobody was told after INTx was enabled"),
  };
}

/** 23.13: the last close against a message. */
function closeAgainstMessage(): Program {
  const world = new PciStage();
  const { d, g, c } = world.ready();
  const E = world.eventfd();
  world.configWrite(d, 4, 2, 6);
  world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
  for (const fd of [g, c]) world.close(fd);
  const close = new Does("close", () => world.process.close(d));
  const message = new Does("device", function* () {
    yield* world.A.fn.messages.send(0);
    return 0;
  });
  let atReturn = -1;
  return {
    sim: world.sim,
    contexts: [close, message],
    check() {
      if (close.result === 0 && atReturn < 0) atReturn = world.count(E);
      return atReturn >= 0 && world.count(E) !== atReturn ? "23.13: a signal after the close has returned" : null;
    },
    end: () => (world.pciGroup.describeOwnership() === "kernel 0 default" ? null : "the group is not released"),
  };
}

/** 23.21: memory enable is cleared while another thread writes a register through its mapping. */
function memoryOffAgainstStore(hazards: Partial<Hazards> = {}): Program {
  const world = new PciStage({ hazards });
  const { d } = world.ready();
  const address = run(world.process.mmap(d, 0x1000, 0, true));
  const region = world.process.memory.areaAt(address)?.region;
  if (!region) throw new Error("not mapped");
  run(region.write(0, 4, 1));
  const off = command(world, d, 0);
  const store = new Does("store", function* () {
    try {
      yield* region.write(8, 4, 1);
      return 0;
    } catch (error) {
      if (!(error instanceof SigBus)) throw error;
      return -1;
    }
  }, 1);
  let before = 0;
  return {
    sim: world.sim,
    contexts: [off, store],
    check() {
      if (off.result !== 0) before = world.bar0.log.length;
      return world.bar0.log.length > before ? "23.21: an access reaches the function after its memory went off" : null;
    },
    end: () => (store.result === 0 && world.bar0.log.length === 1 ? "23.21: a store was lost without a fault" : null),
  };
}

/** 23.22: a reset against a message: afterwards messages go as before. */
function resetAgainstMessage(): Program {
  const world = new PciStage();
  const { d } = world.ready();
  const E = world.eventfd();
  world.configWrite(d, 4, 2, 6);
  world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
  const reset = new Does("RESET", () => world.process.ioctl(d, uapi.VFIO_DEVICE_RESET, 0), 1);
  const message = new Does("device", function* () {
    yield* world.A.fn.messages.send(0);
    return 0;
  });
  return {
    sim: world.sim,
    contexts: [reset, message],
    check: () => null,
    end() {
      world.sim.explored = false;
      const before = world.count(E);
      world.event(0);
      return reset.result === 0 && before <= 1 && world.count(E) === before + 1 ? null : `23.22: RESET ${reset.result}, ${before} then ${world.count(E)} signals`;
    },
  };
}

/** 23.11: a block of vectors fails while messages of another vector come: none of those is lost. */
function failingBlockAgainstMessages(): Program {
  const world = new PciStage();
  const { d } = world.ready();
  const [E0, E1] = [world.eventfd(), world.eventfd()];
  world.configWrite(d, 4, 2, 6);
  world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 4, E0, E1, -1, -1);
  const fail = setIrqs(world, d, 0x2000, MSI, EVENTFD | TRIGGER, 1, 2, E1, 77);
  const messages = new Does("device", function* () {
    yield* world.A.fn.messages.send(0);
    yield* world.A.fn.messages.send(0);
    return 0;
  });
  return {
    sim: world.sim,
    contexts: [fail, messages],
    check: () => null,
    end() {
      const installed = world.vfioA.irqs.msi.installed();
      return fail.result === -9 && installed.join() === "0" && world.count(E0) >= 1 ? null : `23.11: ${fail.result}, vectors ${installed.join()}, ${world.count(E0)} signals`;
    },
  };
}

/** 23.29: an asserted pin at a resample is told by the worker. */
function resampleWhileAsserted(hazards: Partial<Hazards> = {}): Program {
  const { world, E, U } = masked(hazards);
  world.take(E);
  return {
    sim: world.sim,
    contexts: [signal(world, U)],
    check: () => null,
    end: () => (world.count(E) === 1 ? atRest(world) : "23.29: the signal was refused inside the wake-up, and is lost"),
  };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("vfio-pci, every interleaving within its preemptions", () => {
  const programs: [string, () => Program, number][] = [
    ["23.4: unmask against the pin", unmaskAgainstPin, 1],
    ["23.5: trigger swap against unmask", swapAgainstUnmask, 1],
    ["23.6: INTx disabled against unmask", () => endAgainstUnmask("disable"), 1],
    ["23.13: last close against unmask", () => endAgainstUnmask("close"), 1],
    ["23.9: resample while disabled by the user", resampleAgainstDisable, 1],
    ["23.9: resample against disable and enable", toggleAgainstResample, 1],
    ["23.13: last close against a message", closeAgainstMessage, 1],
    ["23.21: memory off against a store", memoryOffAgainstStore, 2],
    ["23.22: RESET against a message", resetAgainstMessage, 1],
    ["23.11: a failing block against messages", failingBlockAgainstMessages, 1],
    ["23.29: resample while asserted", resampleWhileAsserted, 2],
  ];
  for (const [name, program, preemptions] of programs)
    it(name, () => {
      const result = explore(program, { preemptions });
      expect(result.verdict === "violation" ? [result.message, result.schedule, ...result.trace] : []).toEqual([]);
    }, PATIENCE);
});

describe.skipIf(STRAIGHT)("without its rule each of these is found", () => {
  const programs: [string, (hazards: Partial<Hazards>) => Program, Partial<Hazards>, number][] = [
    ["23.5", swapAgainstUnmask, { swapWithoutSync: true }, 2],
    ["23.9", resampleAgainstDisable, { unmaskWhileDisabled: true }, 1],
    ["23.21", memoryOffAgainstStore, { zapWithoutWait: true }, 2],
    ["23.29", resampleWhileAsserted, { signalInWakeup: true }, 1],
  ];
  for (const [rule, program, hazards, preemptions] of programs)
    it(rule, () => {
      const result = explore(() => program(hazards), { preemptions });
      expect(result).toMatchObject({ verdict: "violation", message: expect.stringContaining(rule) });
    }, PATIENCE);
});
