import type { IommuDomain } from "../../host/iommu/domain.js";
import { writes } from "../../sim/access.js";
import { run, type Step } from "../../sim/step.js";
import { EBADF, EBUSY, ENOENT, EPERM } from "../../uapi/errno.js";
import { IOMMU_DESTROY, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, IOMMU_IOAS_UNMAP } from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import type { Protocol } from "../protocol.js";
import { IommufdStage, IOVA, PAGE } from "../stages/iommufd-stage.js";
import { Thread } from "../stages/threads.js";
import { MEMORY, VfioStage } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 2.5, 6: devices by their own files, whose owner is an iommufd.

const ARGUMENT = 0x1800;

const nothing = (): null => null;

/** A thread that binds a device to the iommufd. */
function binding(name: string, { process }: VfioStage, device: number, iommufd: number, at = ARGUMENT): Thread {
  const { vfio_device_bind_iommufd: layout } = uapi;
  const view = new DataView(new ArrayBuffer(layout.size));
  layout.argsz.set(view, layout.size);
  layout.iommufd.set(view, iommufd);
  process.memory.copyOut(at, new Uint8Array(view.buffer));
  return new Thread(name, "user", () => process.ioctl(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, at));
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

/** What its owner writes to memory that it has back, and what the device writes. */
const [MINE, DEVICE] = [0x11, 0xee];

/** The device's page has been taken away from it: its owner uses it, in an order with walks that lead there. */
function* thenUse(stage: IommufdStage, call: Thread, domain: IommuDomain | string): Step<number> {
  yield* call.body();
  if (typeof domain !== "string") yield writes(domain, "slots");
  if (call.result === 0) stage.process.memory.setU8(MEMORY, MINE);
  return call.result;
}

/** The device writes to its page, `times` in a row: how often it came through. */
function* store({ port }: IommufdStage, times: number): Step<number> {
  let arrived = 0;
  for (let i = 0; i < times; i++) if (yield* port.write(IOVA, Uint8Array.of(DEVICE))) arrived++;
  return arrived;
}

const storing = (stage: IommufdStage, times = 1): Thread => new Thread("device", "hardware", () => store(stage, times));

const isBackToItsOwner = ({ process }: IommufdStage): boolean => process.memory.getU8(MEMORY) !== DEVICE;

export const detachAgainstDma: Protocol = {
  name: "detach-against-dma",
  title: "A device is detached from an address space while it writes there: what arrives, arrives before the call returns.",
  source: "vfio.md 6, host-irq.md 5.3",
  about: ["writes IommuGroup.domain", "reads IommuDomain.slots"],
  program(hazards): Program {
    const stage = new IommufdStage({ hazards });
    stage.attach(stage.hwpt(stage.ioas()));
    const domain = run(stage.pciGroup.current());
    stage.machine.untraced();
    const call = stage.calling("DETACH", stage.d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 0);
    const detach = new Thread("DETACH", "user", () => thenUse(stage, call, domain));
    return {
      sim: stage.sim,
      contexts: [storing(stage), detach],
      check: nothing,
      end() {
        if (detach.result !== 0) return `DETACH: ${detach.result}`;
        return isBackToItsOwner(stage) ? null : "6: a device writes to an address space that it is detached from";
      },
    };
  },
};

export const replaceAgainstDma: Protocol = {
  name: "replace-against-dma",
  title: "A device's address space is replaced by another while it writes: each write arrives, in the old one or, from the call's return on, in the new.",
  source: "vfio.md 6",
  about: ["writes IommuGroup.domain", "reads IommuDomain.slots"],
  program(hazards): Program {
    const stage = new IommufdStage({ hazards });
    stage.attach(stage.ioas());
    const domain = run(stage.pciGroup.current());
    const other = stage.ioas(MEMORY + PAGE);
    stage.machine.untraced();
    const call = stage.calling("ATTACH", stage.d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, other);
    const attach = new Thread("ATTACH", "user", () => thenUse(stage, call, domain));
    const device = storing(stage, 2);
    return {
      sim: stage.sim,
      contexts: [attach, device],
      check: nothing,
      end() {
        if (attach.result !== 0) return `ATTACH: ${attach.result}`;
        if (device.result !== 2) return `6: ${2 - device.result} of 2 writes are lost between two address spaces that both have the page`;
        return isBackToItsOwner(stage) ? null : "6: a device writes to an address space that was replaced";
      },
    };
  },
};

/** Copies the page if it was written since the last look, in an order with walks that lead there. */
function* copyIfDirty(stage: IommufdStage, hwpt: number, before: number, domain: IommuDomain | string): Step<number> {
  yield* stage.askingDirty(hwpt).body();
  if (typeof domain !== "string") yield writes(domain, "slots");
  return stage.isDirty() ? stage.process.memory.getU8(MEMORY) : before;
}

export const dirtyAgainstDma: Protocol = {
  name: "dirty-against-dma",
  title: "A migration copies the pages that a page table says were written while the device writes: with the look after its end the copy is whole.",
  source: "vfio.md 15.4, 19",
  about: ["writes IommuDomain.slots", "reads IommuDomain.slots"],
  program(hazards): Program {
    const stage = new IommufdStage({ hazards });
    const hwpt = stage.tracked(stage.ioas());
    const domain = run(stage.pciGroup.current());
    stage.machine.untraced();
    const migrate = new Thread("migrate", "user", () => copyIfDirty(stage, hwpt, 0, domain));
    return {
      sim: stage.sim,
      contexts: [storing(stage), migrate],
      check: nothing,
      end() {
        stage.sim.explored = false;
        const copied = run(copyIfDirty(stage, hwpt, migrate.result, domain));
        const written = stage.process.memory.getU8(MEMORY);
        return copied === written ? null : `19: the copy has ${copied}, memory ${written}, and no bitmap says so`;
      },
    };
  },
};

/** Looks once more which pages were written, and unmaps them. */
function* lookAndUnmap(look: Thread, unmap: Thread): Step<number> {
  yield* look.body();
  if (look.result !== 0) return look.result;
  yield* unmap.body();
  return unmap.result;
}

export const unmapAfterDirty: Protocol = {
  name: "unmap-after-dirty",
  title: "A page is unmapped when its dirty bit has been read, as the uAPI has it for a migration, while the device writes to it.",
  source: "vfio.md 19",
  about: ["writes IommuDomain.slots", "reads IommuDomain.slots"],
  program(hazards): Program {
    const stage = new IommufdStage({ hazards });
    const ioas = stage.ioas();
    const look = stage.askingDirty(stage.tracked(ioas), IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
    const unmap = stage.calling("UNMAP", stage.iommu, IOMMU_IOAS_UNMAP, 24, ioas, IOVA, 0, PAGE, 0);
    stage.machine.untraced();
    const user = new Thread("user", "user", () => lookAndUnmap(look, unmap));
    return {
      sim: stage.sim,
      contexts: [user, storing(stage)],
      check: nothing,
      end() {
        if (user.result !== 0) return `IOAS_UNMAP: ${user.result}`;
        return isBackToItsOwner(stage) || stage.isDirty() ? null : "19: a page was written, and was in no bitmap when it was unmapped";
      },
    };
  },
};

export const destroyAgainstAttach: Protocol = {
  name: "destroy-against-attach",
  title: "An address space is destroyed while a device is attached to it: one of them is refused.",
  source: "vfio.md 6, 19",
  program(hazards): Program {
    const stage = new IommufdStage({ hazards });
    const ioas = stage.ioas();
    stage.machine.untraced();
    const destroy = stage.calling("DESTROY", stage.iommu, IOMMU_DESTROY, 8, ioas);
    const attach = stage.calling("ATTACH", stage.d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, ioas);
    return {
      sim: stage.sim,
      contexts: [destroy, attach],
      check: nothing,
      end() {
        const isOne = (destroy.result === 0 && attach.result === -ENOENT) || (destroy.result === -EBUSY && attach.result === 0);
        return isOne ? null : `19: DESTROY ${destroy.result}, ATTACH ${attach.result}`;
      },
    };
  },
};

export const bindToTwo: Protocol = {
  name: "bind-to-two-iommufds",
  title: "Two devices of a group are bound to an iommufd each: one of the two has the group.",
  source: "vfio.md 2.5, 23.18",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const [iommufd, a, b] = opened(stage);
    const contexts = [binding("bind a", stage, a, iommufd), binding("bind b", stage, b, stage.open("/dev/iommu"), ARGUMENT + 0x100)];
    return {
      sim: stage.sim,
      contexts,
      check: nothing,
      end() {
        const results = contexts.map(({ result }) => result).sort((one, other) => one - other).join(", ");
        const owned = stage.group.describeOwnership();
        return results === `${-EPERM}, 0` && owned === "user 1 blocking" ? null : `23.18: BIND_IOMMUFD ${results}; ${owned}`;
      },
    };
  },
};
