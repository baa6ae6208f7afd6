import { IommuDma } from "../../host/iommu/dma.js";
import { reads, writes } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { EBADF, EBUSY, EINVAL, ENODEV, EPERM, EWOULDBLOCK } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import type { VfioProfileName } from "../../vfio/profiles.js";
import type { Protocol } from "../protocol.js";
import { PciStage } from "../stages/pci-stage.js";
import { Thread } from "../stages/threads.js";
import { tracking } from "../stages/vfio-calls.js";
import { MEMORY, VfioStage } from "../stages/vfio-stage.js";
import type { Program } from "../trial.js";

// vfio.md 23 for groups and containers: who comes first of two that want a group.

const DRIVERS = "/sys/bus/platform/drivers";
const VFIO_DRIVER = `${DRIVERS}/vfio-platform`;
const ARGUMENT = 0x1800;

const nothing = (): null => null;

const sysfsWrite = (name: string, stage: VfioStage, path: string, text: string): Thread => new Thread(name, "user", () => stage.sysfs.write(path, text));

function containerAndGroup(stage: VfioStage): [container: number, attach: Thread] {
  const [c, g] = [stage.open("/dev/vfio/vfio"), stage.open("/dev/vfio/12")];
  stage.process.memory.setU32(ARGUMENT, c);
  return [c, new Thread("attach", "user", () => stage.process.ioctl(g, uapi.VFIO_GROUP_SET_CONTAINER, ARGUMENT))];
}

export const attachAgainstProbe: Protocol = {
  name: "attach-against-probe",
  title: "A group is attached to a container while a host driver binds to one of its devices: exactly one of them succeeds.",
  source: "vfio.md 23.18",
  about: ["writes IommuGroup.domain"],
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    stage.write(`${VFIO_DRIVER}/unbind`, stage.b.name);
    stage.write(`/sys/bus/platform/devices/${stage.b.name}/driver_override`, "");
    const [, attach] = containerAndGroup(stage);
    const bind = sysfsWrite("bind", stage, `${DRIVERS}/calxedaxgmac/bind`, stage.b.name);
    return {
      sim: stage.sim,
      contexts: [attach, bind],
      check: nothing,
      end() {
        const isOne = (attach.result === 0 && bind.result === -EBUSY) || (attach.result === -EPERM && bind.result > 0);
        return isOne ? null : `23.18: attach ${attach.result}, bind ${bind.result}`;
      },
    };
  },
};

/** What {@link openAndClose} answers for a device that it opened although its driver had let it go. */
const TOO_LATE = 1;

/** Opens the device named at the argument, and closes it. */
function* openAndClose(stage: VfioStage, group: number, unbind: Thread): Step<number> {
  const fd = yield* stage.process.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD, ARGUMENT);
  if (fd < 0) return fd;
  yield reads(unbind, "isDone");
  if (unbind.isDone) return TOO_LATE;
  return yield* stage.process.close(fd);
}

export const unbindAgainstOpen: Protocol = {
  name: "unbind-against-open",
  title: "A device is unbound while it is opened and closed: it is opened before, or not at all, and gone afterwards.",
  source: "vfio.md 23.17",
  about: ["sys_close"],
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    const { d, g } = stage.ready();
    stage.close(d);
    const { name } = stage.a;
    stage.process.memory.setText(ARGUMENT, name);
    const unbind = sysfsWrite("unbind", stage, `${VFIO_DRIVER}/unbind`, name);
    unbind.announceEnd();
    const user = new Thread("user", "user", () => openAndClose(stage, g, unbind));
    return {
      sim: stage.sim,
      contexts: [user, unbind],
      check: nothing,
      end() {
        if (user.result === TOO_LATE) return "23.17: opened after its driver had let it go";
        if (stage.driver.deviceOf(name) !== null) return "23.17: unbound, and still there";
        return unbind.result > 0 && (user.result === 0 || user.result === -ENODEV) ? null : `23.17: open ${user.result}, unbind ${unbind.result}`;
      },
    };
  },
};

export const unbindAgainstAttach: Protocol = {
  name: "unbind-against-attach",
  title: "A group is attached to a container while the last driver of VFIO's leaves it: it is not, or it is let go again.",
  source: "vfio.md 4.4, 5.5",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    stage.write(`${VFIO_DRIVER}/unbind`, stage.b.name);
    const [, attach] = containerAndGroup(stage);
    const unbind = sysfsWrite("unbind", stage, `${VFIO_DRIVER}/unbind`, stage.a.name);
    return {
      sim: stage.sim,
      contexts: [attach, unbind],
      check: nothing,
      end() {
        const owned = stage.group.describeOwnership();
        const isRight = unbind.result > 0 && (attach.result === 0 || attach.result === -ENODEV) && owned === "kernel 0 default";
        return isRight ? null : `5.5: SET_CONTAINER ${attach.result}, unbind ${unbind.result}; ${owned}`;
      },
    };
  },
};

/** Opens the device named at the argument while its driver's module may be unloaded, and closes it. */
function* openUnlessGone(stage: VfioStage, group: number): Step<number> {
  const fd = yield* stage.process.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD, ARGUMENT);
  if (fd < 0) return fd;
  const isLate = (yield* stage.driver.module.referenceCount()) < 0;
  yield* stage.process.close(fd);
  return isLate ? TOO_LATE : 0;
}

export const unloadAgainstOpen: Protocol = {
  name: "unload-against-open",
  title: "A driver's module is unloaded while a device of it is opened and closed: while it is open the module stays, and once that goes nothing opens.",
  source: "vfio.md 4.6, 5.1, 22.1",
  about: ["writes KernelModule.references"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const { d, g } = stage.ready();
    stage.close(d);
    stage.process.memory.setText(ARGUMENT, stage.a.name);
    const unload = new Thread("rmmod", "user", () => stage.bus.unload(stage.driver));
    const user = new Thread("user", "user", () => openUnlessGone(stage, g));
    return {
      sim: stage.sim,
      contexts: [user, unload],
      check: nothing,
      end() {
        if (user.result === TOO_LATE) return "5.1: open, and its driver's module goes";
        const isKept = unload.result === -EWOULDBLOCK && user.result === 0;
        const isGone = unload.result === 0 && (user.result === 0 || user.result === -ENODEV) && stage.driver.deviceOf(stage.a.name) === null;
        return isKept || isGone ? null : `4.6: open ${user.result}, rmmod ${unload.result}`;
      },
    };
  },
};

export const leaveAgainstJoin: Protocol = {
  name: "leave-against-join",
  title: "The last device of a group leaves VFIO while another comes: there is one group, with one driver, and it opens.",
  source: "vfio.md 1.1",
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    stage.write(`${VFIO_DRIVER}/unbind`, stage.b.name);
    const contexts = [
      sysfsWrite("unbind", stage, `${VFIO_DRIVER}/unbind`, stage.a.name),
      sysfsWrite("bind", stage, `${VFIO_DRIVER}/bind`, stage.b.name),
    ];
    return {
      sim: stage.sim,
      contexts,
      check: nothing,
      end() {
        const { drivers } = stage.counters();
        return drivers === 1 && stage.open("/dev/vfio/12") >= 0 ? null : `${drivers} drivers: the group is lost`;
      },
    };
  },
};

export const joinTwo: Protocol = {
  name: "join-two-containers",
  title: "A group is put into two containers at once: it is in one of them.",
  source: "vfio.md 1.1, 4.4",
  about: ["writes IommuGroup.domain"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const g = stage.open("/dev/vfio/12");
    const contexts = [0, 1].map((i) => {
      const at = ARGUMENT + 0x100 * i;
      stage.process.memory.setU32(at, stage.open("/dev/vfio/vfio"));
      return new Thread(`join ${i}`, "user", () => stage.process.ioctl(g, uapi.VFIO_GROUP_SET_CONTAINER, at));
    });
    return {
      sim: stage.sim,
      contexts,
      check: nothing,
      end() {
        const [first, second] = contexts.map(({ result }) => result);
        return Math.max(first, second) === 0 && Math.min(first, second) === -EINVAL ? null : `4.4: SET_CONTAINER ${first} and ${second}`;
      },
    };
  },
};

export const setIommuAgainstAttach: Protocol = {
  name: "set-iommu-against-attach",
  title: "A container gets its IOMMU while a group is attached: the group is attached to the IOMMU exactly if there is one.",
  source: "vfio.md 23.16",
  about: ["writes VfioContainer.instance"],
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    const [container, attach] = containerAndGroup(stage);
    const set = new Thread("SET_IOMMU", "user", () => stage.process.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU));
    return {
      sim: stage.sim,
      contexts: [attach, set],
      check: nothing,
      end() {
        const owned = stage.group.describeOwnership();
        const expected = set.result === 0 ? "user 1 user" : "user 1 blocking";
        return attach.result === 0 && owned === expected ? null : `23.16: SET_IOMMU ${set.result}, ${owned}`;
      },
    };
  },
};

export const joinAgainstSetIommu: Protocol = {
  name: "join-against-set-iommu",
  title: "A second group joins a container while that gets its IOMMU: it is behind the IOMMU as the first is.",
  source: "vfio.md 23.16",
  about: ["writes VfioContainer.instance"],
  program(hazards, profile): Program {
    const stage = new PciStage({ hazards, profile, separateGroups: true });
    const [c, first, second] = ["/dev/vfio/vfio", "/dev/vfio/13", "/dev/vfio/12"].map((path) => stage.open(path));
    stage.setContainer(first, c);
    stage.machine.untraced();
    const join = new Thread("join", "user", () => stage.process.ioctl(second, uapi.VFIO_GROUP_SET_CONTAINER, ARGUMENT));
    stage.process.memory.setU32(ARGUMENT, c);
    const set = new Thread("SET_IOMMU", "user", () => stage.process.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU));
    return {
      sim: stage.sim,
      contexts: [join, set],
      check: nothing,
      end() {
        const owned = stage.pciGroup.describeOwnership();
        return join.result === 0 && set.result === 0 && owned === "user 1 user" ? null : `23.16: SET_CONTAINER ${join.result}, SET_IOMMU ${set.result}, ${owned}`;
      },
    };
  },
};

export const leaveAgainstOpen: Protocol = {
  name: "leave-against-open",
  title: "A group leaves its container while a device of it is opened: it stays, or the device is not opened.",
  source: "vfio.md 23.15",
  about: ["writes IommuGroup.domain"],
  program(hazards, profile): Program {
    const stage = new VfioStage({ hazards, profile });
    const { d, g } = stage.ready();
    stage.close(d);
    const { name } = stage.a;
    stage.process.memory.setText(ARGUMENT, name);
    const leave = new Thread("UNSET_CONTAINER", "user", () => stage.process.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0));
    const open = new Thread("GET_DEVICE_FD", "user", () => stage.process.ioctl(g, uapi.VFIO_GROUP_GET_DEVICE_FD, ARGUMENT));
    return {
      sim: stage.sim,
      contexts: [leave, open],
      check: nothing,
      end() {
        const isOne = (leave.result === 0 && open.result === -EINVAL) || (leave.result === -EBUSY && open.result >= 0);
        if (!isOne) return `23.15: UNSET_CONTAINER ${leave.result}, GET_DEVICE_FD ${open.result}`;
        stage.sim.explored = false;
        if (open.result < 0) return null;
        stage.close(open.result);
        const later = stage.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0);
        return later === 0 ? null : `23.15: UNSET_CONTAINER ${later} after the close`;
      },
    };
  },
};

export const trackAgainstClose: Protocol = {
  name: "track-against-close",
  title: "KVM is told of a group while its last file is closed: it keeps the group and what is mapped, or is told too late.",
  source: "vfio.md 5.6, 23.26",
  about: ["sys_close"],
  program(hazards): Program {
    const stage = new VfioStage({ hazards });
    const { c, g, d } = stage.ready();
    stage.map(c, 0n, 0x1000n);
    for (const fd of [d, c]) stage.close(fd);
    const { device, add } = tracking(stage, g);
    const track = new Thread("ADD", "user", add);
    const close = new Thread("close", "user", () => stage.process.close(g));
    return {
      sim: stage.sim,
      contexts: [close, track],
      check: nothing,
      end() {
        stage.sim.explored = false;
        const held = track.result === 0 ? "user 1 user" : track.result === -EBADF ? "kernel 0 default" : "";
        const owned = stage.group.describeOwnership();
        if (close.result !== 0 || owned !== held) return `23.26: ADD ${track.result}, close ${close.result}; ${owned}`;
        stage.close(device);
        return stage.group.describeOwnership() === "kernel 0 default" && stage.process.lockedMemory === 0 ? null : "5.6: KVM has let go, and the group is held";
      },
    };
  },
};

const IOVA = 0x4000;
const [MINE, DEVICE] = [0x11, 0xee];

export const leaveAgainstDma: Protocol = {
  name: "leave-against-dma",
  title: "A group leaves a container that another stays in while it writes there: what arrives, arrives before the call returns.",
  source: "vfio.md 4.5, 5.3, host-irq.md 5.3",
  about: ["writes IommuGroup.domain", "reads IommuDomain.slots"],
  program(hazards): Program {
    const stage = new PciStage({ hazards, separateGroups: true });
    const { c, g, d } = stage.ready();
    stage.close(d);
    stage.setContainer(stage.open("/dev/vfio/13"), c);
    if (stage.map(c, BigInt(IOVA), 0x1000n) !== 0) throw new Error("nothing is mapped");
    stage.machine.untraced();
    const dma = new IommuDma(stage.smmu, stage.pciGroup, 0x600);
    const { memory } = stage.process;
    const domain = run(stage.pciGroup.current());
    function* leaveAndUse(): Step<number> {
      const result = yield* stage.process.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0);
      // The page is what a walk leads to: its use is in an order with walks.
      if (typeof domain !== "string") yield writes(domain, "slots");
      if (result === 0) memory.setU8(MEMORY, MINE);
      return result;
    }
    const leave = new Thread("UNSET_CONTAINER", "user", leaveAndUse);
    const device = new Thread("device", "hardware", () => dma.write(IOVA, Uint8Array.of(DEVICE)));
    return {
      sim: stage.sim,
      contexts: [device, leave],
      check: nothing,
      end() {
        if (leave.result !== 0) return `UNSET_CONTAINER: ${leave.result}`;
        return memory.getU8(MEMORY) !== DEVICE ? null : "4.5: a device writes to the memory of a container that its group has left";
      },
    };
  },
};

/** MAP_DMA of a page, or UNMAP_DMA of everything. */
const DMA_CALLS = {
  MAP_DMA: [uapi.VFIO_IOMMU_MAP_DMA, 32, uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE, MEMORY, 0, 0, 0, 0x1000, 0],
  UNMAP_DMA: [uapi.VFIO_IOMMU_UNMAP_DMA, 24, uapi.VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, 0, 0],
};

/** The last group of a container leaves by an ioctl, or with its file. */
function leaving(call: keyof typeof DMA_CALLS, byClose: boolean, hazards?: Partial<Hazards>, profile?: VfioProfileName): Program {
  const stage = new VfioStage({ hazards, profile });
  const { c, g, d } = stage.ready();
  stage.close(d);
  const [request, ...words] = DMA_CALLS[call];
  words.forEach((word, i) => stage.process.memory.setU32(ARGUMENT + 4 * i, word));
  const dma = new Thread(call, "user", () => stage.process.ioctl(c, request, ARGUMENT));
  const leave = new Thread("leave", "user", () => (byClose ? stage.process.close(g) : stage.process.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)));
  const end = (): string | null => {
    const { lockedMemory } = stage.process;
    const isRight = (dma.result === 0 || dma.result === -EINVAL) && leave.result === 0 && lockedMemory === 0;
    return isRight ? null : `4.5: ${call} ${dma.result}, leave ${leave.result}, ${lockedMemory} bytes stay locked`;
  };
  return { sim: stage.sim, contexts: [dma, leave], check: nothing, end };
}

export const mapAgainstLeave: Protocol = {
  name: "map-against-leave",
  title: "Memory is mapped while the last group leaves its container: it is mapped before, and goes, or not at all.",
  source: "vfio.md 4.5, 23.27",
  about: ["writes IommuDomain.slots", "writes IommuGroup.domain"],
  program: (hazards, profile) => leaving("MAP_DMA", false, hazards, profile),
};

export const unmapAgainstLeave: Protocol = {
  name: "unmap-against-leave",
  title: "Memory is unmapped while the last group leaves its container with its file: before, or not at all.",
  source: "vfio.md 4.5, 5.1, 23.27",
  about: ["writes IommuGroup.domain", "sys_close"],
  program: (hazards, profile) => leaving("UNMAP_DMA", true, hazards, profile),
};
