import { type IrqAction, Irqf, IrqReturn } from "../../host/irq/types.js";
import type { LevelSink } from "../../arch/level.js";
import { CapId, Pm } from "../../arch/pci/config-registers.js";
import { run, type Step } from "../../sim/step.js";
import { EBADF } from "../../uapi/errno.js";
import { VFIO_DEVICE_RESET } from "../../uapi/vfio.js";
import { OneSignalPerUnmask } from "../properties/one-signal-per-unmask.js";
import type { Protocol } from "../protocol.js";
import { CONFIG, DIS_INTX, EVENTFD, INTX, MASK, NONE, PciStage, type PciStageOptions, TRIGGER, UNMASK } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { contextOf, IrqCalls, QuietAfter, signalling } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 23 for the INTx of a function whose flag, line and lock meet: masks, other devices on the line, and lines of its own.

const COMMAND = CONFIG + 4;
const INTX_OFF = 0x0406;
const INTX_ON = 0x0006;
const VALUE = 0x3000;

const nothing = (): null => null;

/** INTx with trigger E and unmask eventfd U, its pin low. */
function wired(options: PciStageOptions) {
  const stage = new PciStage(options);
  const { d, g } = stage.ready();
  const [E, U] = [stage.eventfd(), stage.eventfd()];
  stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
  stage.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U);
  stage.machine.untraced();
  return { stage, d, g, E, U, calls: new IrqCalls(stage, d) };
}

/** One write of COMMAND. */
function command(stage: PciStage, d: number, value: number, at = VALUE): Thread {
  stage.process.memory.setU32(at, value);
  return new Thread("COMMAND", "user", () => stage.process.write(d, at, 2, COMMAND), 2);
}

const pinUp = (stage: PciStage): Thread => new Thread("device", "hardware", () => stage.A.fn.intx.setLevel(true));

/** 23.3 when nothing is under way. */
function atRest(stage: PciStage): string | null {
  const isMasked = run(stage.vfioA.irqs.intx.isMasked());
  return stage.isDisIntx === isMasked ? null : `23.3: masked ${isMasked}, DisINTx ${stage.isDisIntx}`;
}

/** The driver of another device on the same line: what it finds, it ends. */
class Neighbour implements IrqAction {
  constructor(private readonly wire: LevelSink) {}
  *handler(): Step<number> {
    yield* this.wire.setLevel(false);
    return IrqReturn.HANDLED;
  }
}

export const neighbourOnTheLine: Protocol = {
  name: "neighbour-on-the-line",
  title: "Another device raises the line that a masked INTx shares: who owns the INTx is told nothing new.",
  source: "vfio.md 23.1",
  about: ["irq_handler"],
  program(hazards, profile): Program {
    const { stage } = wired({ hazards, profile });
    const wire = stage.wire.input();
    const neighbour = new Neighbour(wire);
    run(stage.machine.host.requestIrq(stage.machine.level, neighbour, Irqf.SHARED, "neighbour", neighbour));
    stage.intx(true);
    return {
      sim: stage.sim,
      contexts: [new Thread("neighbour", "hardware", () => wire.setLevel(true))],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end: () => atRest(stage),
    };
  },
};

export const maskAgainstUnmask: Protocol = {
  name: "mask-against-unmask",
  title: "A resampler unmasks INTx while its user masks it: its flag and its line say the same.",
  source: "vfio.md 23.3",
  about: ["vfio_unmask"],
  program(hazards, profile): Program {
    const { stage, U, calls } = wired({ hazards, profile });
    stage.intx(true);
    run(stage.A.fn.intx.setLevel(false));
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    return {
      sim: stage.sim,
      contexts: [mask, signalling(stage, U)],
      check: nothing,
      end: () => (mask.result === 0 ? atRest(stage) : `SET_IRQS: ${mask.result}`),
    };
  },
};

export const swapAgainstUserEnable: Protocol = {
  name: "swap-against-user-enable",
  title: "INTx gets another trigger while its user enables it in COMMAND, its pin up: the old eventfd receives nothing after the call.",
  source: "vfio.md 23.5, 23.9",
  about: ["vfio_unmask", "vfio_trigger"],
  program(hazards, profile): Program {
    const { stage, d, E, calls } = wired({ hazards, profile });
    stage.configWrite(d, 4, 2, INTX_OFF);
    stage.intx(true);
    const E2 = stage.eventfd();
    const swap = new QuietAfter("SET_IRQS", contextOf(stage, E), calls.prepare({ index: INTX, flags: EVENTFD | TRIGGER, fds: [E2] }));
    return {
      sim: stage.sim,
      contexts: [swap, command(stage, d, INTX_ON)],
      check: nothing,
      end() {
        if (swap.isBroken) return "23.5: the old eventfd is signalled after the call has returned";
        return stage.count(E) + stage.count(E2) > 0 ? atRest(stage) : "23.9: asserted, and nobody was told after INTx was enabled";
      },
    };
  },
};

export const enableAgainstPin: Protocol = {
  name: "enable-against-pin",
  title: "A line that is one device's alone is requested while its user has INTx disabled and its pin rises: enabled, it is told.",
  source: "vfio.md 8.7, 23.2",
  about: ["sys_ioctl"],
  program(hazards, profile): Program {
    const stage = new PciStage({ hazards, profile, hasBrokenIntxMasking: true });
    const { d } = stage.ready();
    const E = stage.eventfd();
    stage.configWrite(d, 4, 2, INTX_OFF);
    stage.machine.untraced();
    const enable = new IrqCalls(stage, d).thread({ index: INTX, flags: EVENTFD | TRIGGER, fds: [E] });
    return {
      sim: stage.sim,
      contexts: [enable, pinUp(stage)],
      check: nothing,
      end() {
        stage.sim.explored = false;
        stage.settle();
        if (enable.result !== 0 || stage.count(E) > 0) return `8.7: SET_IRQS ${enable.result}, ${stage.count(E)} signals while the user has INTx disabled`;
        stage.configWrite(d, 4, 2, INTX_ON);
        return stage.count(E) === 1 ? null : "23.2: asserted and enabled, and nobody is told: the line stays disabled for good";
      },
    };
  },
};

export const maskAgainstOwnLine: Protocol = {
  name: "mask-against-own-line",
  title: "INTx on a line that is one device's alone is masked while its pin rises: unmasked again it is told, unless the line was disabled twice.",
  source: "vfio.md 8.2, 8.5, 23.2",
  about: ["irq_handler", "vfio_automask"],
  program(hazards): Program {
    const { stage, d, E, calls } = wired({ hazards, hasBrokenIntxMasking: true });
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    return {
      sim: stage.sim,
      contexts: [pinUp(stage), mask],
      check: nothing,
      end() {
        stage.sim.explored = false;
        stage.settle();
        const before = stage.count(E);
        const unmask = stage.setIrqs(d, INTX, NONE | UNMASK, 0, 1);
        stage.settle();
        if (mask.result !== 0 || unmask !== 0) return `SET_IRQS ${mask.result}, ${unmask}`;
        return stage.count(E) > before ? null : "23.2: unmasked with its pin up, and nobody is told: the line stays disabled for good";
      },
    };
  },
};

const reset = (stage: PciStage, d: number): Thread => new Thread("RESET", "user", () => stage.process.ioctl(d, VFIO_DEVICE_RESET, 0), 1);

export const resetAgainstMask: Protocol = {
  name: "reset-against-mask",
  title: "A function is reset while its user masks INTx: its flag and its line say the same afterwards.",
  source: "vfio.md 12.3, 23.3",
  about: ["pci_reset", "pci_intx"],
  program(hazards, profile): Program {
    const { stage, d, calls } = wired({ hazards, profile });
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    const contexts = [reset(stage, d), mask];
    const end = (): string | null => (contexts.every(({ result }) => result === 0) ? atRest(stage) : `RESET ${contexts[0].result}, SET_IRQS ${mask.result}`);
    return { sim: stage.sim, contexts, check: nothing, end };
  },
};

export const resetAgainstHandler: Protocol = {
  name: "reset-against-handler",
  title: "A function is reset while its pin rises: what its handler has masked stays masked, and the host's processor gets out of it.",
  source: "vfio.md 12.3, 23.3",
  about: ["pci_reset", "irq_handler", "vfio_automask"],
  program(hazards, profile): Program {
    const { stage, d } = wired({ hazards, profile });
    const call = reset(stage, d);
    const end = (): string | null => (call.result === 0 ? atRest(stage) : `RESET: ${call.result}`);
    return { sim: stage.sim, contexts: [call, pinUp(stage)], check: nothing, end };
  },
};

export const wakeAgainstMask: Protocol = {
  name: "wake-against-mask",
  title: "A function that loses its registers in D3hot is put back to D0 while its user masks INTx: its flag and its line say the same.",
  source: "vfio.md 13.5, 23.3",
  about: ["pci_intx", "writes VirtualConfig.config"],
  program(hazards, profile): Program {
    const { stage, d, calls } = wired({ hazards, profile, resetsInD3: true });
    const at = stage.A.fn.capability(CapId.PM) + Pm.PMCSR;
    stage.configWrite(d, at, 2, Pm.D3HOT);
    stage.process.memory.setU32(VALUE, 0);
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    const wake = new Thread("D0", "user", () => stage.process.write(d, VALUE, 2, CONFIG + at), 2);
    const end = (): string | null => (mask.result === 0 ? atRest(stage) : `SET_IRQS: ${mask.result}`);
    return { sim: stage.sim, contexts: [wake, mask], check: nothing, end };
  },
};

export const commandAgainstMask: Protocol = {
  name: "command-against-mask",
  title: "The user writes COMMAND, its own DisINTx as it was, while it masks INTx: its flag and its line say the same.",
  source: "vfio.md 13.1, 23.3",
  about: ["pci_intx", "writes VirtualConfig.config"],
  program(hazards, profile): Program {
    const { stage, d, calls } = wired({ hazards, profile });
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    const end = (): string | null => (mask.result === 0 ? atRest(stage) : `SET_IRQS: ${mask.result}`);
    return { sim: stage.sim, contexts: [command(stage, d, INTX_ON), mask], check: nothing, end };
  },
};

export const commandAgainstCommand: Protocol = {
  name: "command-against-command",
  title: "INTx is disabled and enabled in the command register by two threads at once: it may stay masked although what is read there says that it is enabled.",
  source: "vfio.md 8.8, 13.3",
  about: ["pci_intx"],
  program(hazards): Program {
    const { stage, d } = wired({ hazards });
    const disable = command(stage, d, INTX_OFF);
    const enable = command(stage, d, INTX_ON, VALUE + 0x10);
    return {
      sim: stage.sim,
      contexts: [disable, enable],
      check: nothing,
      end() {
        const isEnabled = (stage.configRead(d, 4, 2) & DIS_INTX) === 0;
        return isEnabled && run(stage.vfioA.irqs.intx.isMasked()) ? "8.8: COMMAND says that INTx is enabled, and it is masked" : atRest(stage);
      },
    };
  },
};

export const closeAgainstMask: Protocol = {
  name: "close-against-mask",
  title: "A function is closed for good while its user masks INTx: it is masked before the close, or not at all, and opens anew with INTx enabled.",
  source: "vfio.md 12.1, 12.2, 23.3",
  about: ["pci_intx", "sys_close"],
  program(hazards): Program {
    const { stage, d, g, calls } = wired({ hazards });
    const mask = calls.thread({ index: INTX, flags: NONE | MASK });
    const close = new Thread("close", "user", () => stage.process.close(d));
    return {
      sim: stage.sim,
      contexts: [mask, close],
      check: nothing,
      end() {
        stage.sim.explored = false;
        if (close.result !== 0 || (mask.result !== 0 && mask.result !== -EBADF)) return `SET_IRQS ${mask.result}, close ${close.result}`;
        const again = stage.deviceFd(g, stage.A.name);
        return again >= 0 && !stage.isDisIntx ? null : `12.1: opened again ${again}, DisINTx ${stage.isDisIntx}`;
      },
    };
  },
};
