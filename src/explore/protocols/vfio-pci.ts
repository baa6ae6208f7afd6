import { SigBus, type DeviceRegion } from "../../host/memory.js";
import { reads } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EBADF } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { OneSignalPerUnmask } from "../properties/one-signal-per-unmask.js";
import type { VfioProfileName } from "../../vfio/profiles.js";
import type { Protocol } from "../protocol.js";
import { CLOSED, CONFIG, EVENTFD, INTX, MSI, MSIX, NONE, PciStage, TRIGGER, UNMASK } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { contextOf, IrqCalls, QuietAfter, setLevels, signalling } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 23 for a PCI function.

const COMMAND = CONFIG + 4;
const INTX_OFF = 0x0406;
const INTX_ON = 0x0006;
const VALUES = 0x3000;

const nothing = (): null => null;

/** The function's INTx condition, as hardware drives it. */
const pin = (stage: PciStage, ...values: boolean[]): Thread =>
  new Thread("device", "hardware", () => setLevels((isHigh) => stage.A.fn.intx.setLevel(isHigh), ...values));

function* writeCommand(stage: PciStage, d: number, count: number): Step<void> {
  for (let i = 0; i < count; i++) yield* stage.process.write(d, VALUES + 4 * i, 2, COMMAND);
}

/** A thread that writes COMMAND, once for each value. */
function command(stage: PciStage, d: number, ...values: number[]): Thread {
  values.forEach((value, i) => stage.process.memory.setU32(VALUES + 4 * i, value));
  return new Thread("COMMAND", "user", () => writeCommand(stage, d, values.length), 2);
}

function* send(stage: PciStage, times: number): Step<void> {
  for (let i = 0; i < times; i++) yield* stage.A.fn.messages.send(0);
}

const messages = (stage: PciStage, times: number): Thread => new Thread("device", "hardware", () => send(stage, times));

/** INTx with trigger E and unmask eventfd U; asserted: masked and signalled once. */
function wired(hazards: Partial<Hazards> | undefined, isAsserted: boolean, profile?: VfioProfileName) {
  const stage = new PciStage({ hazards, profile });
  const fds = stage.ready();
  const [E, U] = [stage.eventfd(), stage.eventfd()];
  stage.setIrqs(fds.d, INTX, EVENTFD | TRIGGER, 0, 1, E);
  stage.setIrqs(fds.d, INTX, EVENTFD | UNMASK, 0, 1, U);
  if (isAsserted) stage.intx(true);
  stage.machine.untraced();
  return { stage, ...fds, E, U, calls: new IrqCalls(stage, fds.d) };
}

const masked = (hazards?: Partial<Hazards>, profile?: VfioProfileName): ReturnType<typeof wired> => wired(hazards, true, profile);

/** MSI with one vector on E, bus mastering on. */
function messaging(hazards?: Partial<Hazards>, profile?: VfioProfileName) {
  const stage = new PciStage({ hazards, profile });
  const E = stage.eventfd();
  return { stage, ...stage.messaging(MSI, E), E };
}

/** 23.3 when nothing is under way. */
function atRest(stage: PciStage): string | null {
  const { intx, mode } = stage.vfioA.irqs;
  if (run(mode.get()) !== INTX) return null;
  const isMasked = run(intx.isMasked());
  return stage.isDisIntx === isMasked ? null : `23.3: masked ${isMasked}, DisINTx ${stage.isDisIntx}`;
}

export const unmaskAgainstPin: Protocol = {
  name: "unmask-against-pin",
  title: "A resampler and an ioctl unmask INTx while the pin falls and rises: in the end it is masked, and its owner was told.",
  source: "vfio.md 23.1 to 23.4",
  program(hazards, profile): Program {
    const { stage, E, U, calls } = masked(hazards, profile);
    stage.take(E);
    const unmask = calls.thread({ index: INTX, flags: NONE | UNMASK });
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U), unmask, pin(stage, false, true)],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end() {
        if (unmask.result !== 0) return `SET_IRQS: ${unmask.result}`;
        if (!run(stage.vfioA.irqs.intx.isMasked())) return "23.2: asserted and unmasked, and nobody was told";
        return stage.count(E) === 0 ? "23.2: masked, and nobody was told since the unmask" : atRest(stage);
      },
    };
  },
};

export const swapAgainstUnmask: Protocol = {
  name: "swap-against-unmask",
  title: "INTx gets another trigger while it is unmasked: the old eventfd receives nothing after the call.",
  source: "vfio.md 23.5",
  about: ["vfio_unmask", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, E, U, calls } = masked(hazards, profile);
    const E2 = stage.eventfd();
    const swap = new QuietAfter("SET_IRQS", contextOf(stage, E), calls.prepare({ index: INTX, flags: EVENTFD | TRIGGER, fds: [E2] }));
    return {
      sim: stage.sim,
      contexts: [swap, signalling(stage, U)],
      check: nothing,
      end() {
        if (swap.isBroken) return "23.5: the old eventfd is signalled after the call has returned";
        return stage.count(E) + stage.count(E2) === 2 ? atRest(stage) : `23.2: ${stage.count(E)} and ${stage.count(E2)} signals`;
      },
    };
  },
};

export const swapAgainstHandler: Protocol = {
  name: "swap-intx-against-handler",
  title: "INTx gets another trigger while its handler runs: the old eventfd receives nothing after the call.",
  source: "vfio.md 23.5",
  about: ["vfio_automask", "vfio_trigger", "irq_handler"],
  program(hazards, profile): Program {
    const { stage, E, calls } = wired(hazards, false, profile);
    const E2 = stage.eventfd();
    const swap = new QuietAfter("SET_IRQS", contextOf(stage, E), calls.prepare({ index: INTX, flags: EVENTFD | TRIGGER, fds: [E2] }));
    return {
      sim: stage.sim,
      contexts: [swap, pin(stage, true)],
      properties: [new OneSignalPerUnmask(1)],
      check: nothing,
      end() {
        if (swap.isBroken) return "23.5: the old eventfd is signalled after the call has returned";
        return stage.count(E) + stage.count(E2) === 1 ? atRest(stage) : `23.2: ${stage.count(E)} and ${stage.count(E2)} signals`;
      },
    };
  },
};

export const takeTriggerAgainstUnmask: Protocol = {
  name: "take-trigger-against-unmask",
  title: "INTx loses its trigger while it is unmasked, its pin up: nobody is told, and the device stays usable.",
  source: "vfio.md 8.6, 23.5",
  about: ["vfio_unmask"],
  program(hazards, profile): Program {
    const { stage, E, U, calls } = masked(hazards, profile);
    stage.take(E);
    const take = new QuietAfter("SET_IRQS", contextOf(stage, E), calls.prepare({ index: INTX, flags: EVENTFD | TRIGGER, fds: [-1] }));
    return {
      sim: stage.sim,
      contexts: [take, signalling(stage, U)],
      check: nothing,
      end() {
        if (take.isBroken) return "23.5: the old eventfd is signalled after the call has returned";
        return take.result === 0 ? atRest(stage) : `SET_IRQS: ${take.result}`;
      },
    };
  },
};

/** INTx is disabled, or the device closed, against an unmask. */
function endAgainstUnmask(how: "disable" | "close", hazards?: Partial<Hazards>, profile?: VfioProfileName): Program {
  const { stage, d, g, c, E, U, calls } = masked(hazards, profile);
  for (const fd of [g, c]) stage.close(fd);
  const call = how === "close" ? () => stage.process.close(d) : calls.prepare({ index: INTX, flags: NONE | TRIGGER, count: 0 });
  const last = new QuietAfter(how, contextOf(stage, E), call);
  const end = (): string | null => {
    if (last.isBroken) return "23.6: a signal after the call has returned";
    return last.result === 0 ? atRest(stage) : `${how}: ${last.result}`;
  };
  return { sim: stage.sim, contexts: [last, signalling(stage, U)], check: nothing, end };
}

export const intxOffAgainstUnmask: Protocol = {
  name: "intx-off-against-unmask",
  title: "INTx is disabled by SET_IRQS while it is unmasked: nothing is signalled after the call.",
  source: "vfio.md 23.6",
  about: ["vfio_unmask", "vfio_trigger"],
  program: (hazards, profile) => endAgainstUnmask("disable", hazards, profile),
};

export const pciCloseAgainstUnmask: Protocol = {
  name: "pci-close-against-unmask",
  title: "A PCI function is closed for good while its INTx is unmasked: nothing is signalled after the close.",
  source: "vfio.md 23.13",
  program: (hazards, profile) => endAgainstUnmask("close", hazards, profile),
};

export const resampleAgainstUserDisable: Protocol = {
  name: "resample-against-user-disable",
  title: "A resample arrives while the user has INTx disabled in COMMAND: nothing is told until it is enabled, then what pends.",
  source: "vfio.md 23.9",
  about: ["eventfd_signal", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, d, E, U } = masked(hazards, profile);
    stage.take(E);
    stage.configWrite(d, 4, 2, INTX_OFF);
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U), pin(stage, false)],
      check: nothing,
      end() {
        stage.sim.explored = false;
        if (!stage.isDisIntx) return "23.9: DisINTx is clear while the user has INTx disabled";
        stage.intx(true);
        if (stage.count(E) > 0) return "23.9: told while the user has INTx disabled";
        stage.configWrite(d, 4, 2, INTX_ON);
        return stage.count(E) === 1 ? atRest(stage) : `23.9: ${stage.count(E)} signals`;
      },
    };
  },
};

export const resampleAgainstUserToggle: Protocol = {
  name: "resample-against-user-toggle",
  title: "The user disables and enables INTx in COMMAND while a resample arrives: what is asserted is told.",
  source: "vfio.md 23.9",
  program(hazards, profile): Program {
    const { stage, d, E, U } = masked(hazards, profile);
    stage.take(E);
    return {
      sim: stage.sim,
      contexts: [command(stage, d, INTX_OFF, INTX_ON), signalling(stage, U)],
      check: nothing,
      end: () => (stage.count(E) > 0 ? atRest(stage) : "23.9: asserted, and nobody was told after INTx was enabled"),
    };
  },
};

export const resampleWhileAsserted: Protocol = {
  name: "resample-while-asserted",
  title: "INTx is resampled while its pin is asserted: the worker tells its owner.",
  source: "vfio.md 23.29",
  about: ["vfio_unmask", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, E, U } = masked(hazards, profile);
    stage.take(E);
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U)],
      check: nothing,
      end: () => (stage.count(E) === 1 ? atRest(stage) : "23.29: the signal was refused inside the wake-up, and is lost"),
    };
  },
};

export const closeAgainstMessage: Protocol = {
  name: "close-against-message",
  title: "A PCI function is closed for good while it sends a message: nothing is signalled after the close, and the group is free.",
  source: "vfio.md 23.13",
  program(hazards, profile): Program {
    const { stage, d, g, c, E } = messaging(hazards, profile);
    for (const fd of [g, c]) stage.close(fd);
    const close = new QuietAfter("close", contextOf(stage, E), () => stage.process.close(d));
    const end = (): string | null => {
      if (close.isBroken) return "23.13: a signal after the close has returned";
      return stage.pciGroup.describeOwnership() === "kernel 0 default" ? null : "the group is not released";
    };
    return { sim: stage.sim, contexts: [close, messages(stage, 1)], check: nothing, end };
  },
};

/** A store of user space through its mapping: 0, or -1 where it was a fault. */
function* store(region: DeviceRegion): Step<number> {
  try {
    yield* region.write(8, 4, 1);
    return 0;
  } catch (error) {
    if (!(error instanceof SigBus)) throw error;
    return -1;
  }
}

/** Switches memory off, then notes how many accesses the function has seen. */
function* memoryOff(stage: PciStage, d: number): Step<number> {
  yield* writeCommand(stage, d, 1);
  yield reads(stage.bar0, "registers");
  return stage.bar0.log.length;
}

export const memoryOffAgainstStore: Protocol = {
  name: "memory-off-against-store",
  title: "Memory decoding is switched off while another thread stores to a BAR through its mapping: nothing arrives afterwards.",
  source: "vfio.md 23.21",
  about: ["writes RegisterMapping.isPresent", "reads Registers.registers"],
  program(hazards, profile): Program {
    const stage = new PciStage({ hazards, profile });
    const { d } = stage.ready();
    const address = run(stage.process.mmap(d, 0x1000, 0, true));
    const region = stage.process.memory.areaAt(address)?.region;
    if (!region) throw new Error("the BAR is not mapped");
    run(region.write(0, 4, 1));
    stage.machine.untraced();
    stage.process.memory.setU32(VALUES, 0);
    const off = new Thread("COMMAND", "user", () => memoryOff(stage, d), 2);
    const writer = new Thread("store", "user", () => store(region), 1);
    const end = (): string | null => {
      if (stage.bar0.log.length > off.result) return "23.21: an access reaches the function after its memory went off";
      return writer.result === 0 && stage.bar0.log.length === 1 ? "23.21: a store was lost without a fault" : null;
    };
    return { sim: stage.sim, contexts: [off, writer], check: nothing, end };
  },
};

export const resetAgainstMessage: Protocol = {
  name: "reset-against-message",
  title: "A PCI function is reset while it sends a message: afterwards its messages go as before.",
  source: "vfio.md 23.22",
  about: ["pci_reset", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, d, E } = messaging(hazards, profile);
    const reset = new Thread("RESET", "user", () => stage.process.ioctl(d, uapi.VFIO_DEVICE_RESET, 0), 1);
    const end = (): string | null => {
      stage.sim.explored = false;
      const before = stage.count(E);
      stage.event(0);
      const isRight = reset.result === 0 && before <= 1 && stage.count(E) === before + 1;
      return isRight ? null : `23.22: RESET ${reset.result}, ${before} then ${stage.count(E)} signals`;
    };
    return { sim: stage.sim, contexts: [reset, messages(stage, 1)], check: nothing, end };
  },
};

export const failingFirstBlock: Protocol = {
  name: "failing-first-block",
  title: "The block of MSI-X vectors that begins at 0 fails in the middle while a vector behind it sends: the call ends, and that vector stays.",
  source: "vfio.md 10.4, 23.11",
  about: ["vfio_trigger"],
  program(hazards, profile): Program {
    const stage = new PciStage({ hazards, profile });
    const E = [0, 1, 2, 3].map(() => stage.eventfd());
    const { d } = stage.messaging(MSIX, ...E);
    const fail = new IrqCalls(stage, d).thread({ index: MSIX, flags: EVENTFD | TRIGGER, count: 2, fds: [stage.eventfd(), CLOSED] });
    const device = new Thread("device", "hardware", () => stage.A.fn.messages.send(3));
    const end = (): string | null => {
      const installed = stage.vfioA.irqs.msi.installed().join();
      const isRight = fail.result === -EBADF && installed === "2,3" && stage.count(E[3]) === 1;
      return isRight ? null : `23.11: ${fail.result}, vectors ${installed}, ${stage.count(E[3])} signals`;
    };
    return { sim: stage.sim, contexts: [device, fail], check: nothing, end };
  },
};

export const failingBlockAgainstMessages: Protocol = {
  name: "failing-block-against-messages",
  title: "A block of MSI vectors fails in the middle while another vector sends: none of its messages is lost, and its trigger stays.",
  source: "vfio.md 23.11",
  about: ["vfio_trigger", "irq_handler"],
  program(hazards, profile): Program {
    const stage = new PciStage({ hazards, profile });
    const [E0, E1] = [stage.eventfd(), stage.eventfd()];
    const { d } = stage.messaging(MSI, E0, E1, -1, -1);
    const fail = new IrqCalls(stage, d).thread({ index: MSI, flags: EVENTFD | TRIGGER, start: 1, count: 2, fds: [E1, CLOSED] });
    const end = (): string | null => {
      const installed = stage.vfioA.irqs.msi.installed().join();
      const isRight = fail.result === -EBADF && installed === "0" && stage.count(E0) >= 1;
      return isRight ? null : `23.11: ${fail.result}, vectors ${installed}, ${stage.count(E0)} signals`;
    };
    return { sim: stage.sim, contexts: [fail, messages(stage, 2)], check: nothing, end };
  },
};
