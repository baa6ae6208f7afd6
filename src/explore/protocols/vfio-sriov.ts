import type { Hazards } from "../../sim/hazards.js";
import { EACCES } from "../../uapi/errno.js";
import { VFIO_GROUP_GET_DEVICE_FD } from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { NUMVFS, SriovStage, VF } from "../stages/sriov-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// vfio.md 2.3, 4.6: a physical function and its virtual one, and their users.

const [TOKEN, OTHER] = ["01234567-89ab-cdef-0123-456789abcdef", "11234567-89ab-cdef-0123-456789abcdef"];
const NAME = 0x3000;

const nothing = (): null => null;

export const virtualsAgainstClose: Protocol = {
  name: "virtuals-against-close",
  title: "A function gets virtual ones while its last file is closed: it stays awake for them.",
  source: "vfio.md 2.3, 12.2",
  about: ["sys_close", "writes PciFunction.PCI"],
  program(hazards): Program {
    const stage = new SriovStage({ hazards });
    const { d } = stage.ready();
    stage.machine.untraced();
    const make = new Thread("sriov_numvfs", "user", () => stage.sysfs.write(NUMVFS, "1"));
    const close = new Thread("close", "user", () => stage.process.close(d));
    return {
      sim: stage.sim,
      contexts: [make, close],
      check: nothing,
      end() {
        if (make.result !== 1 || close.result !== 0) return `2.1: sriov_numvfs ${make.result}, close ${close.result}`;
        return stage.A.fn.isInD3() ? "2.3: a function sleeps that has virtual ones" : null;
      },
    };
  },
};

/** A thread that opens a function by its group, with a token. */
function opening(stage: SriovStage, group: number, name: string, token: string, at: number): Thread {
  stage.process.memory.setText(at, `${name} vf_token=${token}`);
  return new Thread(`open ${name}`, "user", () => stage.process.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, at));
}

function twoTokens(hazards?: Partial<Hazards>): Program {
  const stage = new SriovStage({ hazards });
  stage.write(NUMVFS, "1");
  const { d, g } = stage.ready();
  stage.close(d);
  stage.close(stage.deviceFd(g, `${stage.A.name} vf_token=${TOKEN}`));
  const contexts = [opening(stage, stage.virtualGroup(), VF, TOKEN, NAME), opening(stage, g, stage.A.name, OTHER, NAME + 0x100)];
  stage.machine.untraced();
  return {
    sim: stage.sim,
    contexts,
    check: nothing,
    end() {
      const [virtual, physical] = contexts.map(({ result }) => result);
      if (virtual >= 0 && physical >= 0) return "23.28: both functions are open, each by another token";
      const isOne = (virtual >= 0 && physical === -EACCES) || (virtual === -EACCES && physical >= 0);
      return isOne ? null : `4.6: GET_DEVICE_FD ${virtual} of the virtual function, ${physical} of the physical one`;
    },
  };
}

export const tokenAgainstToken: Protocol = {
  name: "token-against-token",
  title: "A virtual function is opened by the token of before while its physical one is opened by another: both may open.",
  source: "vfio.md 4.6, 23.28",
  about: ["sys_ioctl"],
  program: twoTokens,
};
