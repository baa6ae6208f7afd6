import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { EBUSY, ENODEV } from "../../uapi/errno.js";
import * as draft from "../../uapi/vfio-draft.js";
import { OneSignalPerUnmask } from "../properties/one-signal-per-unmask.js";
import type { Protocol } from "../protocol.js";
import { INTX, PciStage } from "../stages/pci-stage.js";
import { ioctl, Thread } from "../stages/threads.js";
import { ARGUMENTS } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 21.6, the profile draft2011: races of an interface that merges groups by their files, and has no container.

const ARGUMENT = 0x1800;

const nothing = (): null => null;
const draftStage = (hazards: Partial<Hazards> | undefined): PciStage => new PciStage({ hazards, profile: "draft2011", separateGroups: true });

function deviceFd(stage: PciStage, group: number, name: string): number {
  stage.process.memory.copyOut(ARGUMENTS, new TextEncoder().encode(`${name}\0`));
  return stage.ioctl(group, draft.DRAFT_GROUP_GET_DEVICE_FD, ARGUMENTS);
}

export const draftUnmaskAgainstPin: Protocol = {
  name: "draft-unmask-against-pin",
  title: "The draft's UNMASK_IRQ while the pin rises again: who owns the INTx is told once, and its flag and its line say the same.",
  source: "vfio.md 21.6, 23.1, 23.3",
  about: ["vfio_unmask", "pci_intx"],
  program(hazards): Program {
    const stage = draftStage(hazards);
    const d = deviceFd(stage, stage.open("/dev/vfio/12"), stage.A.name);
    const E = stage.eventfd();
    stage.call(d, draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS, 20, 0, INTX, 1, E);
    stage.intx(true);
    stage.intx(false);
    stage.machine.untraced();
    [16, 0, INTX, 0].forEach((word, i) => stage.process.memory.setU32(ARGUMENT + 4 * i, word));
    const unmask = ioctl("UNMASK_IRQ", stage.process, d, draft.DRAFT_DEVICE_UNMASK_IRQ, ARGUMENT);
    const pin = new Thread("device", "hardware", () => stage.A.fn.intx.setLevel(true));
    return {
      sim: stage.sim,
      contexts: [unmask, pin],
      properties: [new OneSignalPerUnmask(0)],
      check: nothing,
      end() {
        const isMasked = run(stage.vfioA.irqs.intx.isMasked());
        const isTold = stage.count(E) === 2 && isMasked;
        return unmask.result === 0 && isTold && stage.isDisIntx ? null : `UNMASK_IRQ ${unmask.result}, ${stage.count(E)} signals, masked ${isMasked}, DisINTx ${stage.isDisIntx}`;
      },
    };
  },
};

export const draftUnmergeAgainstOpen: Protocol = {
  name: "draft-unmerge-against-open",
  title: "A group leaves another that it was merged with while a device of it is opened by the other's file: it stays, or the device is not found.",
  source: "vfio.md 21.6",
  about: ["sys_ioctl"],
  program(hazards): Program {
    const stage = draftStage(hazards);
    const [g, other] = ["/dev/vfio/12", "/dev/vfio/13"].map((path) => stage.open(path));
    stage.call(g, draft.DRAFT_GROUP_MERGE, other);
    stage.process.memory.copyOut(ARGUMENT, new TextEncoder().encode(`${stage.B.name}\0`));
    const unmerge = ioctl("UNMERGE", stage.process, other, draft.DRAFT_GROUP_UNMERGE, 0);
    const open = ioctl("GET_DEVICE_FD", stage.process, g, draft.DRAFT_GROUP_GET_DEVICE_FD, ARGUMENT);
    return {
      sim: stage.sim,
      contexts: [unmerge, open],
      check: nothing,
      end() {
        const isOne = (unmerge.result === 0 && open.result === -ENODEV) || (unmerge.result === -EBUSY && open.result >= 0);
        return isOne ? null : `21.6: UNMERGE ${unmerge.result}, GET_DEVICE_FD ${open.result}`;
      },
    };
  },
};
