import { run } from "../../sim/step.js";
import * as uapi from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { EVENTFD, INTX, PciStage, TRIGGER, UNMASK } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { signalling } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 15.1, 23.10: a device that its user lets sleep.

const { VFIO_DEVICE_FEATURE_SET: SET } = uapi;
const ARGUMENTS = 0x1800;

const nothing = (): null => null;

/** A thread in one ioctl, whose argument is words of its own. */
function calling(name: string, { process }: PciStage, d: number, request: number, at: number, ...words: number[]): Thread {
  words.forEach((word, i) => process.memory.setU32(at + 4 * i, word));
  return new Thread(name, "user", () => process.ioctl(d, request, at));
}

export const sleepAgainstExit: Protocol = {
  name: "sleep-against-exit",
  title: "A device is let sleep while another thread ends that: its INTx is masked exactly while it may sleep.",
  source: "vfio.md 8.8, 23.10",
  about: ["pci_intx"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d } = stage.ready();
    stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, stage.eventfd());
    stage.machine.untraced();
    const enter = calling("ENTRY", stage, d, uapi.VFIO_DEVICE_FEATURE, ARGUMENTS, 8, SET | uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
    const leave = calling("EXIT", stage, d, uapi.VFIO_DEVICE_FEATURE, ARGUMENTS + 0x100, 8, SET | uapi.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
    return {
      sim: stage.sim,
      contexts: [enter, leave],
      check: nothing,
      end() {
        if (enter.result !== 0 || leave.result !== 0) return `15.1: ENTRY ${enter.result}, EXIT ${leave.result}`;
        const maySleep = run(stage.vfioA.power.engaged());
        return maySleep === stage.isDisIntx ? null : `23.10: it may sleep: ${maySleep}; DisINTx ${stage.isDisIntx}`;
      },
    };
  },
};

export const resampleAgainstSleep: Protocol = {
  name: "resample-against-sleep",
  title: "A device is let sleep while the eventfd that unmasks its INTx is signalled: it may sleep with its INTx unmasked.",
  source: "vfio.md 8.8, 15.1",
  about: ["vfio_unmask", "pci_intx"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d } = stage.ready();
    const [E, U] = [stage.eventfd(), stage.eventfd()];
    stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    stage.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U);
    stage.machine.untraced();
    const enter = calling("ENTRY", stage, d, uapi.VFIO_DEVICE_FEATURE, ARGUMENTS, 8, SET | uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
    return {
      sim: stage.sim,
      contexts: [signalling(stage, U), enter],
      check: nothing,
      end() {
        if (enter.result !== 0) return `15.1: ENTRY ${enter.result}`;
        return stage.isDisIntx ? null : "15.1: the device sleeps, and its INTx is unmasked";
      },
    };
  },
};

export const wakeTogether: Protocol = {
  name: "wake-together",
  title: "Two calls wake a device at once: whoever asked to be told of the first is told once, and of nothing later.",
  source: "vfio.md 15.1",
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d } = stage.ready();
    const E = stage.eventfd();
    stage.call(d, uapi.VFIO_DEVICE_FEATURE, 16, SET | uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, E, 0);
    stage.machine.untraced();
    const contexts = [0, 1].map((i) => calling(`GET_INFO ${i}`, stage, d, uapi.VFIO_DEVICE_GET_INFO, ARGUMENTS + 0x100 * i, 24));
    return {
      sim: stage.sim,
      contexts,
      check: nothing,
      end: () => (stage.count(E) === 1 ? null : `15.1: told ${stage.count(E)} times`),
    };
  },
};
