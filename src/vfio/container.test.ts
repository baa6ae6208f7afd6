import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EBADF, EBADFD, EBUSY, EEXIST, EFAULT, EINVAL, EMFILE, ENODEV, ENOENT, ENOTTY, EPERM } from "../uapi/errno.js";
import { Process } from "../host/process.js";
import { Arm64 } from "../kvm/arm64/arm64.js";
import { BareHost } from "../explore/stages/kvm-machine.js";
import { KvmFile } from "../kvm/system.js";
import {
  KVM_CREATE_DEVICE,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_SET_DEVICE_ATTR,
} from "../uapi/kvm.js";
import * as uapi from "../uapi/vfio.js";
import { ARGUMENTS, EDGE_SPI, VfioStage } from "../explore/stages/vfio-stage.js";

const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;
const GROUP = "/dev/vfio/12";
const CONTAINER = "/dev/vfio/vfio";
const DRIVERS = "/sys/bus/platform/drivers";

describe("a container", () => {
  it("vector 1: answers version and extensions, and takes no IOMMU without a group", () => {
    const world = new VfioStage();
    const c = world.open(CONTAINER);
    expect(world.ioctl(c, uapi.VFIO_GET_API_VERSION, 0)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 3)).toBe(1);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 7777)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-EINVAL);
  });

  it("vector 2: without a driver every other request is invalid, with one an unknown request is nobody's", () => {
    const world = new VfioStage();
    const empty = world.open(CONTAINER);
    expect(world.map(empty, 0n, 0x1000n)).toBe(-EINVAL);
    expect(world.ioctl(empty, 0x3bff, 0)).toBe(-EINVAL);
    expect(world.ioctl(world.ready().c, 0x3bff, 0)).toBe(-ENOTTY);
  });

  it("vectors 12, 13, 14: takes an IOMMU once, of a type that a backend opens", () => {
    const world = new VfioStage();
    const { c, g, d } = world.ready();
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-EINVAL);
    world.close(d);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 1)).toBe(-EINVAL);
    expect(world.setContainer(g, c)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 6)).toBe(0);
    for (const type of [6, 99, 4, 10]) expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, type)).toBe(-ENODEV);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 9)).toBe(-EINVAL);
    // 23.27: any type will do again.
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 1)).toBe(0);
  });

  it("tells coherency only when there is a domain", () => {
    const world = new VfioStage();
    const c = world.open(CONTAINER);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_DMA_CC_IOMMU)).toBe(0);
    const ready = world.ready();
    expect(world.ioctl(ready.c, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_DMA_CC_IOMMU)).toBe(1);
    expect(world.ioctl(ready.c, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_UPDATE_VADDR)).toBe(1);
    expect(world.ioctl(ready.c, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_EEH)).toBe(0);
  });

  it("vector 15: refuses a group that could forge messages, unless it is told not to mind", () => {
    for (const [allowUnsafeInterrupts, expected] of [[false, -EPERM], [true, 0]] as const) {
      const world = new VfioStage({ isMsiIsolated: false, allowUnsafeInterrupts });
      const c = world.open(CONTAINER);
      world.setContainer(world.open(GROUP), c);
      expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(expected);
    }
  });
});

describe("a container that gets a group with no address left", () => {
  it("refuses it for that before it asks for its messages", () => {
    const world = new VfioStage({ isMsiIsolated: false, reserved: [{ start: 0n, end: 0x7f_ffff_ffffn, kind: "reserved" }] });
    const c = world.open(CONTAINER);
    world.setContainer(world.open(GROUP), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-EINVAL);
  });
});

describe("a group", () => {
  it("vector 3: tells its status by argsz", () => {
    const world = new VfioStage();
    const g = world.open(GROUP);
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 7)).toBe(-EINVAL);
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8)).toBe(0);
    expect(world.answer(4)).toBe(1);
    expect(world.ioctl(g, uapi.VFIO_GROUP_GET_STATUS, 0xdead_0000)).toBe(-EFAULT);
    expect(world.ioctl(g, 0x3bff, 0)).toBe(-ENOTTY);
    world.setContainer(g, world.open(CONTAINER));
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8)).toBe(0);
    expect(world.answer(4)).toBe(3);
  });

  it("vector 4: is not viable, and not to be taken, while a host driver holds a member", () => {
    const world = new VfioStage();
    world.write(`${DRIVERS}/vfio-platform/unbind`, world.b.name);
    world.write(`/sys/bus/platform/devices/${world.b.name}/driver_override`, "\n");
    expect(world.write(`${DRIVERS}/calxedaxgmac/bind`, world.b.name)).toBeGreaterThan(0);
    const g = world.open(GROUP);
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8, 0)).toBe(0);
    expect(world.answer(4)).toBe(0);
    expect(world.setContainer(g, world.open(CONTAINER))).toBe(-EPERM);
  });

  it("vector 5: is viable with an unbound member", () => {
    const world = new VfioStage();
    world.write(`${DRIVERS}/vfio-platform/unbind`, world.b.name);
    const g = world.open(GROUP);
    world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8, 0);
    expect(world.answer(4)).toBe(1);
    expect(world.setContainer(g, world.open(CONTAINER))).toBe(0);
  });

  it("vector 6: keeps host drivers from its members while it is in a container", () => {
    const world = new VfioStage();
    const { d } = world.ready();
    world.write(`${DRIVERS}/vfio-platform/unbind`, world.b.name);
    world.write(`/sys/bus/platform/devices/${world.b.name}/driver_override`, "");
    expect(world.write(`${DRIVERS}/calxedaxgmac/bind`, world.b.name)).toBe(-EBUSY);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(0);
    expect(world.group.describeOwnership()).toBe("user 1 user");
  });

  it("vector 7: opens once, for whoever comes first", () => {
    const world = new VfioStage();
    const other = world.newProcess("other");
    const g = world.open(GROUP);
    expect(g).toBeGreaterThanOrEqual(0);
    expect(world.open(GROUP)).toBe(-EBUSY);
    expect(world.open(GROUP, other)).toBe(-EBUSY);
    world.close(g);
    expect(world.open(GROUP, other)).toBeGreaterThanOrEqual(0);
    expect(world.open("/dev/vfio/13")).toBe(-ENOENT);
  });

  it("vector 8: joins a container only", () => {
    const world = new VfioStage();
    const c = world.open(CONTAINER);
    const g = world.open(GROUP);
    expect(world.setContainer(g, 99)).toBe(-EBADF);
    expect(world.setContainer(g, -1)).toBe(-EBADF);
    expect(world.setContainer(g, world.eventfd())).toBe(-EBADFD);
    expect(world.setContainer(g, c)).toBe(0);
    expect(world.setContainer(g, c)).toBe(-EINVAL);
    expect(world.ioctl(g, uapi.VFIO_GROUP_SET_CONTAINER, 0xdead_0000)).toBe(-EFAULT);
  });

  it("vector 9: gives no device before the container has an IOMMU", () => {
    const world = new VfioStage();
    const g = world.open(GROUP);
    expect(world.deviceFd(g, world.a.name)).toBe(-EINVAL);
    world.setContainer(g, world.open(CONTAINER));
    expect(world.deviceFd(g, world.a.name)).toBe(-EINVAL);
    expect(world.counters()).toEqual({ drivers: 2, openedFile: 1, containerUsers: 1 });
  });

  it("vector 10: finds devices by their whole name, and shares one that is open", () => {
    const world = new VfioStage();
    const { g } = world.ready();
    expect(world.deviceFd(g, "fff52000.ethernet")).toBe(-ENODEV);
    expect(world.deviceFd(g, `${world.a.name}x`)).toBe(-ENODEV);
    expect(world.deviceFd(g, `${world.a.name} vf_token=zz`)).toBe(-ENODEV);
    expect(world.deviceFd(g, "x".repeat(4095))).toBe(-ENODEV);
    expect(world.deviceFd(g, "x".repeat(4096))).toBe(-EINVAL);
    expect(world.ioctl(g, uapi.VFIO_GROUP_GET_DEVICE_FD, 0xdead_0000)).toBe(-EFAULT);
    const resets = world.reset.runs;
    expect(world.deviceFd(g, world.a.name)).toBeGreaterThanOrEqual(0);
    expect(world.reset.runs).toBe(resets);
    expect(world.counters().containerUsers).toBe(2);
  });

  it("vector 11, 23.15: leaves its container only when no device is open", () => {
    const world = new VfioStage();
    const { g, d } = world.ready();
    const unset = (): number => world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0);
    expect(unset()).toBe(-EBUSY);
    world.close(d);
    expect(unset()).toBe(0);
    expect(unset()).toBe(-EINVAL);
    expect(world.group.describeOwnership()).toBe("kernel 0 default");
  });

  it("rolls back an open that fails: full table, failing reset", () => {
    const world = new VfioStage();
    const { g, d } = world.ready();
    world.close(d);
    const before = world.counters();
    world.reset.result = -EINVAL;
    expect(world.deviceFd(g, world.a.name)).toBe(-EINVAL);
    world.reset.result = 0;
    const small = new Process(world.sim, "small", { descriptorLimit: 1 });
    small.memory.map(ARGUMENTS, 0x1000);
    world.process.sendFile(g, small);
    expect(world.deviceFd(0, world.a.name, small)).toBe(-EMFILE);
    expect(world.counters()).toEqual(before);
    expect(world.driver.deviceOf(world.a.name)?.references).toBe(0);
    const again = world.deviceFd(g, world.a.name);
    expect(again).toBeGreaterThanOrEqual(0);
    for (const fd of [again, g]) world.close(fd);
    run(small.exit());
    expect(world.counters().openedFile).toBe(0);
  });
});

describe("closing", () => {
  const state = (world: VfioStage) => ({ owner: world.group.describeOwnership(), locked: world.process.lockedMemory });
  const LIVE = { owner: "user 1 user", locked: 0x2000 };
  const GONE = { owner: "kernel 0 default", locked: 0 };

  /** After the first, second and third close. */
  const ORDERS = {
    dgc: [LIVE, GONE, GONE],
    dcg: [LIVE, LIVE, GONE],
    gdc: [LIVE, GONE, GONE],
    gcd: [LIVE, LIVE, GONE],
    cdg: [LIVE, LIVE, GONE],
    cgd: [LIVE, LIVE, GONE],
  };
  for (const [order, expected] of Object.entries(ORDERS))
    it(`5.2, 23.14: in the order ${[...order].join(", ")}`, () => {
      const world = new VfioStage();
      const fds: Record<string, number> = world.ready();
      world.map(fds.c, 0n, 0x2000n);
      const E = world.eventfd();
      world.setIrqs(fds.d, 1, EVENTFD | TRIGGER, 0, 1, E);
      let isDeviceOpen = true;
      [...order].forEach((which, i) => {
        expect(world.close(fds[which])).toBe(0);
        if (which === "d") isDeviceOpen = false;
        expect(state(world)).toEqual(expected[i]);
        world.machine.pulse(EDGE_SPI);
        expect(world.take(E) > 0).toBe(isDeviceOpen);
      });
      expect(world.open(GROUP)).toBeGreaterThanOrEqual(0);
    });

  it("vector 19: mappings live until the last group leaves, whatever happens to the container's descriptor", () => {
    const world = new VfioStage();
    const { c, g, d } = world.ready();
    world.map(c, 0n, 0x1000n);
    for (const fd of [c, d]) {
      world.close(fd);
      expect(run(world.dma.write(0, new Uint8Array([1])))).toBe(true);
    }
    world.close(g);
    expect(run(world.dma.write(0, new Uint8Array([1])))).toBe(false);
    expect(state(world)).toEqual(GONE);
  });

  it("vectors 20, 21: a device outlives its group's descriptor, and keeps the group from a second open", () => {
    const world = new VfioStage();
    const { c, g, d } = world.ready();
    const E = world.eventfd();
    world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E);
    world.close(g);
    expect(world.open(GROUP)).toBe(-EBUSY);
    world.line(true);
    expect(world.take(E)).toBe(1);
    world.close(d);
    expect(state(world)).toEqual(GONE);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-EINVAL);
  });

  it("5.4: a device descriptor that was passed on keeps all of it alive", () => {
    const world = new VfioStage();
    const { c, d } = world.ready();
    world.map(c, 0n, 0x2000n);
    const heir = world.newProcess("heir");
    world.process.sendFile(d, heir);
    run(world.process.exit());
    expect(state(world)).toEqual(LIVE);
    run(heir.exit());
    expect(state(world)).toEqual(GONE);
  });

  it("vector 106, 23.26: KVM's reference to the group keeps mappings and ownership until it lets go", () => {
    const world = new VfioStage();
    const { c, g, d } = world.ready();
    world.map(c, 0n, 0x2000n);
    const kvm = world.process.install(new KvmFile(new BareHost(world.sim), new Arm64({ cpus: 1, gicVersion: 3 })));
    const vm = world.ioctl(kvm, KVM_CREATE_VM, 0);
    expect(world.call(vm, KVM_CREATE_DEVICE, KVM_DEV_TYPE_VFIO, 0, 0)).toBe(0);
    const device = world.answer(4);
    const file = (attribute: number, fd: number): number => {
      world.process.memory.setU32(ARGUMENTS + 0x100, fd);
      return world.call(device, KVM_SET_DEVICE_ATTR, 0, KVM_DEV_VFIO_FILE, attribute, 0, ARGUMENTS + 0x100, 0);
    };
    expect(file(KVM_DEV_VFIO_FILE_ADD, g)).toBe(0);
    expect(file(KVM_DEV_VFIO_FILE_ADD, g)).toBe(-EEXIST);
    const heir = world.newProcess("heir");
    const copy = world.process.sendFile(g, heir);
    for (const fd of [d, g, c]) world.close(fd);
    run(heir.close(copy));
    expect(state(world)).toEqual(LIVE);
    expect(world.open(GROUP)).toBe(-EBUSY);
    world.close(device);
    expect(state(world)).toEqual(GONE);
  });

  it("of the last device file leaves nothing that signals (23.13), and a reset device", () => {
    const world = new VfioStage();
    const { g, d } = world.ready();
    const [E, U] = [world.eventfd(), world.eventfd()];
    world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E);
    world.setIrqs(d, 0, EVENTFD | uapi.VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, U);
    world.line(true);
    const resets = world.reset.runs;
    world.close(d);
    expect(world.reset.runs).toBe(resets + 1);
    expect(world.take(E)).toBe(1);
    world.signal(U);
    world.settle();
    expect([world.take(E) < 0, world.count(U)]).toEqual([true, 1]);
    const again = world.deviceFd(g, world.a.name);
    world.line(false);
    expect(world.setIrqs(again, 0, NONE | TRIGGER, 0, 0)).toBe(0);
  });
});
