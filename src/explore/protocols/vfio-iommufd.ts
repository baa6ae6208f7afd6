import * as uapi from "../../uapi/vfio.js";
import { EBADF, EBUSY } from "../../uapi/errno.js";
import { run } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { VfioStage } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 2.5, 6: devices by their own files, whose owner is an iommufd.

const ARGUMENT = 0x1800;

const nothing = (): null => null;

/** A thread that binds a device to the iommufd. */
function binding(name: string, { process }: VfioStage, device: number, iommufd: number): Thread {
  const { vfio_device_bind_iommufd: layout } = uapi;
  const view = new DataView(new ArrayBuffer(layout.size));
  layout.argsz.set(view, layout.size);
  layout.iommufd.set(view, iommufd);
  process.memory.copyOut(ARGUMENT, new Uint8Array(view.buffer));
  return new Thread(name, "user", () => process.ioctl(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, ARGUMENT));
}

/** An iommufd, and the files of two devices of one group. */
function opened(stage: VfioStage): readonly [iommufd: number, a: number, b: number] {
  return [stage.open("/dev/iommu"), stage.open("/dev/vfio/devices/vfio0"), stage.open("/dev/vfio/devices/vfio1")];
}

export const bindAgainstGroupOpen: Protocol = {
  name: "bind-against-group-open",
  title: "A device is bound by its own file while the file of its group is opened: one of them is told that it is busy.",
  source: "vfio.md 6, 4.2",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const [iommufd, d] = ["/dev/iommu", "/dev/vfio/devices/vfio0"].map((path) => stage.open(path));
    const bind = binding("BIND_IOMMUFD", stage, d, iommufd);
    const open = new Thread("open", "user", () => stage.nodes.open(stage.process, "/dev/vfio/12"));
    return {
      sim: stage.sim,
      contexts: [bind, open],
      check: nothing,
      end() {
        const isOne = (bind.result === 0 && open.result === -EBUSY) || (bind.result === -EBUSY && open.result >= 0);
        return isOne ? null : `6: BIND_IOMMUFD ${bind.result}, open ${open.result}`;
      },
    };
  },
};

export const bindTogether: Protocol = {
  name: "bind-together",
  title: "Two devices of a group are bound to one iommufd at once: both are, and the group is owned by both.",
  source: "vfio.md 2.5, 23.18",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const [iommufd, a, b] = opened(stage);
    const contexts = [binding("bind a", stage, a, iommufd), binding("bind b", stage, b, iommufd)];
    return {
      sim: stage.sim,
      contexts,
      check: nothing,
      end() {
        const results = contexts.map(({ result }) => result).join(", ");
        const owned = stage.group.describeOwnership();
        return results === "0, 0" && owned === "user 2 blocking" ? null : `23.18: BIND_IOMMUFD ${results}; ${owned}`;
      },
    };
  },
};

export const closeAgainstBind: Protocol = {
  name: "close-against-bind",
  title: "A device is closed while another of its group is bound to the same iommufd: the group stays owned, or is claimed anew.",
  source: "vfio.md 2.5, 23.18",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const [iommufd, a, b] = opened(stage);
    const first = binding("bind a", stage, a, iommufd);
    run(first.body());
    const close = new Thread("close a", "user", () => stage.process.close(a));
    const bind = binding("bind b", stage, b, iommufd);
    return {
      sim: stage.sim,
      contexts: [close, bind],
      check: nothing,
      end() {
        const owned = stage.group.describeOwnership();
        return bind.result === 0 && owned === "user 1 blocking" ? null : `23.18: BIND_IOMMUFD ${bind.result}; ${owned}`;
      },
    };
  },
};

export const closeIommufdAgainstBind: Protocol = {
  name: "close-iommufd-against-bind",
  title: "An iommufd is closed while a device is bound to it: the device is bound to one that lives, or to none.",
  source: "vfio.md 6",
  about: ["writes IommuGroup.domain", "sys_close"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const [iommufd, a] = opened(stage);
    const bind = binding("BIND_IOMMUFD", stage, a, iommufd);
    const close = new Thread("close", "user", () => stage.process.close(iommufd));
    return {
      sim: stage.sim,
      contexts: [bind, close],
      check: nothing,
      end() {
        const owned = stage.group.describeOwnership();
        const isOne = bind.result === 0 ? owned === "user 1 blocking" : bind.result === -EBADF && owned === "kernel 0 default";
        return isOne && close.result === 0 ? null : `6: BIND_IOMMUFD ${bind.result}, close ${close.result}; ${owned}`;
      },
    };
  },
};
