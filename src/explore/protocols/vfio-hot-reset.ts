import { run } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { VFIO_DEVICE_PCI_HOT_RESET, VFIO_GROUP_GET_DEVICE_FD } from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { EVENTFD, INTX, MASK, NONE, PciStage, TRIGGER } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { IrqCalls } from "../stages/vfio-calls.js";
import type { Program } from "../trial.js";

// vfio.md 12.5: the reset of a bus, against whatever else its functions and their drivers do.

const ARGUMENT = 0x1800;
const NAME = 0x1900;
const SYSFS = "/sys/bus/pci/drivers/vfio-pci";

const nothing = (): null => null;

/** A thread in PCI_HOT_RESET, with the files of the groups that it may reset. */
function hotReset({ process }: PciStage, d: number, ...groups: readonly number[]): Thread {
  [12 + 4 * groups.length, 0, groups.length, ...groups].forEach((word, i) => process.memory.setU32(ARGUMENT + 4 * i, word));
  return new Thread("HOT_RESET", "user", () => process.ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, ARGUMENT));
}

export const hotResetAgainstMask: Protocol = {
  name: "hot-reset-against-mask",
  title: "The bus of a function is reset while its user masks INTx: its flag and its line say the same afterwards.",
  source: "vfio.md 12.5, 23.3",
  about: ["pci_reset", "pci_intx"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d, g } = stage.ready();
    stage.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, stage.eventfd());
    stage.machine.untraced();
    const mask = new IrqCalls(stage, d).thread({ index: INTX, flags: NONE | MASK });
    const reset = hotReset(stage, d, g);
    return {
      sim: stage.sim,
      contexts: [reset, mask],
      check: nothing,
      end() {
        if (reset.result !== 0 || mask.result !== 0) return `HOT_RESET ${reset.result}, SET_IRQS ${mask.result}`;
        const isMasked = run(stage.vfioA.irqs.intx.isMasked());
        return stage.isDisIntx === isMasked ? null : `23.3: masked ${isMasked}, DisINTx ${stage.isDisIntx}`;
      },
    };
  },
};

/** A bus is reset while a driver gets or loses one of its functions. */
function againstDriver(verb: "bind" | "unbind"): Protocol["program"] {
  return (hazards): Program => {
    const stage = new PciStage({ hazards });
    if (verb === "bind") stage.write(`${SYSFS}/unbind`, stage.B.name);
    const { d, g } = stage.ready();
    stage.machine.untraced();
    const reset = hotReset(stage, d, g);
    const driver = new Thread(verb, "user", () => stage.sysfs.write(`${SYSFS}/${verb}`, stage.B.name));
    return {
      sim: stage.sim,
      contexts: [reset, driver],
      check: nothing,
      end() {
        const isRight = (reset.result === 0 || reset.result === -EINVAL) && driver.result > 0;
        return isRight ? null : `12.5: HOT_RESET ${reset.result}, ${verb} ${driver.result}`;
      },
    };
  };
}

export const hotResetAgainstUnbind: Protocol = {
  name: "hot-reset-against-unbind",
  title: "A bus is reset while one of its functions loses its driver: with it, or not at all.",
  source: "vfio.md 12.5, 5.5",
  about: ["pci_reset"],
  program: againstDriver("unbind"),
};

export const hotResetAgainstBind: Protocol = {
  name: "hot-reset-against-bind",
  title: "A bus is reset while a driver binds one of its functions: with it, or not at all.",
  source: "vfio.md 12.5, 2.3",
  about: ["pci_reset"],
  program: againstDriver("bind"),
};

export const hotResetAgainstOpen: Protocol = {
  name: "hot-reset-against-open",
  title: "A bus is reset while another of its functions is opened: the reset is done, and the function opens.",
  source: "vfio.md 12.5, 4.6",
  about: ["pci_reset"],
  program(hazards): Program {
    const stage = new PciStage({ hazards });
    const { d, g } = stage.ready();
    stage.machine.untraced();
    const reset = hotReset(stage, d, g);
    const open = new Thread("GET_DEVICE_FD", "user", () => stage.process.ioctl(g, VFIO_GROUP_GET_DEVICE_FD, NAME));
    stage.process.memory.setText(NAME, stage.B.name);
    const end = (): string | null => (reset.result === 0 && open.result >= 0 ? null : `12.5: HOT_RESET ${reset.result}, GET_DEVICE_FD ${open.result}`);
    return { sim: stage.sim, contexts: [reset, open], check: nothing, end };
  },
};
