import { describe, expect, it } from "vitest";
import { Pci } from "../arch/pci/config-registers.js";
import { eventfdContextOf } from "../host/eventfd.js";
import { Context } from "../sim/context.js";
import { run, type Step } from "../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOSPC, ENOTTY, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { SigBus } from "../host/memory.js";
import { CLOSED, CONFIG, EVENTFD, Holder, INTX, MSI, MSIX, NONE, PciStage, type PciStageOptions, pipeOf, REGION, REQ, TRIGGER, UNMASK } from "../explore/stages/pci-stage.js";

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  return { world, ...world.ready() };
}

describe("GET_INFO and its like", () => {
  it("vector 24: a PCI device that can be reset, 9 regions, 5 interrupts; no more is written than was asked for", () => {
    const { world, d } = ready();
    const info = (argsz: number): number => world.call(d, uapi.VFIO_DEVICE_GET_INFO, argsz, 0, 0, 0, 0xaaaa, 0xbbbb);
    expect([info(15), info(16), world.answer(16)]).toEqual([-EINVAL, 0, 0xaaaa]);
    expect([info(24), world.answer(4), world.answer(8), world.answer(12), world.answer(16), world.answer(20)]).toEqual([0, 3, 9, 5, 0, 0]);
  });

  it("vectors 25, 26, 27: regions, and the capability of the one that holds the MSI-X table", () => {
    const { world, d } = ready();
    const region = (argsz: number, index: number): number => world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, argsz, 0, index, 0);
    expect([region(31, 0), region(32, 8), region(32, 9)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect([region(32, 7), world.answer64(16), world.answer(4), Number(world.answer64(24))]).toEqual([0, 4096n, 3, CONFIG]);
    expect([region(32, 2), world.answer(4), world.answer(0), world.answer(12)]).toEqual([0, 15, 40, 0]);
    expect([region(40, 2), world.answer(12), world.answer(32), world.answer(36)]).toEqual([0, 32, 0x1_0003, 0]);
    const told = [0, 1, 4, 6].map((index) => [region(32, index), world.answer(4), Number(world.answer64(16))]);
    expect(told).toEqual([[0, 7, 0x10000], [0, 0, 0], [0, 3, 32], [0, 1, 0x800]]);
  });

  it("7.3: before Linux 4.16 the pages of the MSI-X table were left out of mappings", () => {
    const told = (tableOffset: number): number[][] => {
      const { world, d } = ready({ vfio: { msixSparse: true }, tableOffset });
      expect([world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 2, 0), world.answer(4), world.answer(12)]).toEqual([0, 15, 0]);
      expect([world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 80, 0, 2, 0), world.answer(12), world.answer(32)]).toEqual([0, 32, 0x1_0001]);
      return Array.from({ length: world.answer(40) }, (_, i) => [Number(world.answer64(48 + 16 * i)), Number(world.answer64(56 + 16 * i))]);
    };
    expect([told(0), told(0x1000), told(0x3f80)]).toEqual([[[0x1000, 0x3000]], [[0, 0x1000], [0x2000, 0x2000]], [[0, 0x3000]]]);
    const { world, d } = ready({ vfio: { msixSparse: true } });
    const mmap = (at: number, length: number): number => run(world.process.mmap(d, length, 2 * REGION + at, true));
    expect([mmap(0, 0x4000), mmap(0, 0x1000), mmap(0x1000, 0x3000) > 0]).toEqual([-EINVAL, -EINVAL, true]);
  });

  it("vectors 28, 30: the interrupts of each index", () => {
    const { world, d, g } = ready();
    const irq = (fd: number, index: number): number[] => [world.call(fd, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 0), world.answer(4), world.answer(12)];
    expect([0, 1, 2, 3, 4].map((index) => irq(d, index))).toEqual([[0, 7, 1], [0, 9, 4], [0, 9, 8], [0, 9, 1], [0, 9, 1]]);
    expect([irq(d, 5)[0], world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 15, 0, 0, 0)]).toEqual([-EINVAL, -EINVAL]);
    const b = world.deviceFd(g, world.B.name);
    expect([irq(b, 0), world.setIrqs(b, INTX, NONE | TRIGGER, 0, 0)]).toEqual([[0, 7, 0], -EINVAL]);
  });

  it("vector 10: a function is named by its address, with options that it would have to have", () => {
    const { world, g, d } = ready();
    const open = (name: string): number => world.deviceFd(g, name);
    expect([open("0000:06:00.7"), open("0000:06:00.0x"), open("0000:06:00.0 vf_token=zz")]).toEqual([-ENODEV, -ENODEV, -EINVAL]);
    const token = "vf_token=00112233-4455-6677-8899-aabbccddeeff";
    expect([open(`0000:06:00.0 ${token}`), open("0000:06:00.0 other=1"), open(`0000:06:00.0 ${token} ${token}`)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(open("0000:06:00.0")).toBeGreaterThan(d);
  });
});

describe("regions of a function", () => {
  it("vector 62: memory does not answer while the user has it off; ports and configuration do", () => {
    const { world, d } = ready();
    world.configWrite(d, 4, 2, 0x0001);
    expect([world.regionRead(d, 0, 4), world.regionRead(d, 4 * REGION, 4) >= 0, world.configRead(d, 0, 2)]).toEqual([-EIO, true, 0x8086]);
  });

  it("vector 63: the MSI-X table reads ones and swallows writes", () => {
    const { world, d } = ready();
    world.bar2.values.set(0x100, 0xabcd);
    const { memory } = world.process;
    expect(run(world.process.read(d, 0x2000, 16, 2 * REGION))).toBe(16);
    expect([0, 4, 8, 12].map((at) => memory.getU32(0x2000 + at))).toEqual(Array(4).fill(0xffff_ffff));
    expect(run(world.process.write(d, 0x2000, 16, 2 * REGION))).toBe(16);
    expect([world.A.fn.table?.dataOf(0), world.regionRead(d, 2 * REGION + 0x100, 4)]).toEqual([0, 0xabcd]);
  });

  it("14: are clipped at their end, and have no others", () => {
    const { world, d } = ready();
    expect(run(world.process.read(d, 0x2000, 8, 4 * REGION + 28))).toBe(4);
    expect([world.regionRead(d, 4 * REGION + 32, 1), world.regionRead(d, REGION, 4), world.regionRead(d, 9 * REGION, 4)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect([world.regionRead(d, 6 * REGION, 1), world.regionWrite(d, 6 * REGION, 1, 0), world.regionRead(d, 6 * REGION + 0x800, 1)]).toEqual([0x55, -EINVAL, -EINVAL]);
  });

  it("vector 68: memory BARs are mapped, shared, within their length", () => {
    const { world, d } = ready();
    const mmap = (offset: number, length: number, isShared = true): number => run(world.process.mmap(d, length, offset, isShared));
    expect([mmap(0, 0x1000, false), mmap(6 * REGION, 0x800), mmap(4 * REGION, 32), mmap(0, 0x1_1000)]).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(mmap(0, 0x1_0000)).toBeGreaterThan(0);
  });

  it("7.3: one smaller than a page is mapped where the page is its alone; nobody answers behind its end", () => {
    const { world, d } = ready({ smallBar: true });
    expect([world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 5, 0), world.answer(4), world.answer(16)]).toEqual([0, 7, 0x100]);
    const region = world.process.memory.areaAt(run(world.process.mmap(d, 0x1000, 5 * REGION, true)))?.region;
    if (!region) throw new Error("not mapped");
    run(region.write(0xfc, 4, 5));
    expect([run(region.read(0xfc, 4)), run(region.read(0x100, 4))]).toEqual([5, -1]);
  });

  it("vector 69, 23.21: clearing memory enable takes the pages away; they come back by themselves", () => {
    const { world, d } = ready();
    const address = run(world.process.mmap(d, 0x1_0000, 0, true));
    const area = world.process.memory.areaAt(address);
    if (area === null || area.region === null) throw new Error("not mapped");
    const { region } = area;
    run(region.write(0x10, 4, 77));
    expect(run(region.read(0x10, 4))).toBe(77);
    world.configWrite(d, 4, 2, 0);
    expect(() => run(region.read(0x10, 4))).toThrow(SigBus);
  });

  it("vector 69: with memory on again the same mapping works", () => {
    const { world, d } = ready();
    const address = run(world.process.mmap(d, 0x1_0000, 0, true));
    const region = world.process.memory.areaAt(address)?.region;
    world.configWrite(d, 4, 2, 0);
    world.configWrite(d, 4, 2, 2);
    expect(region && run(region.read(0x10, 4))).toBe(0);
  });
});

describe("resets", () => {
  it("vector 71: RESET resets, is not there, or finds the device taken; signalling goes on", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    world.configWrite(d, 4, 2, 6);
    world.setIrqs(d, MSIX, EVENTFD | TRIGGER, 0, 2, E, E);
    const { resets } = world.A.fn;
    expect([world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0), world.A.fn.resets - resets]).toEqual([0, 1]);
    world.event(1);
    expect(world.take(E)).toBe(1);
    const holder = new Holder(world, world.A.lock);
    holder.toggle();
    expect(world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0)).toBe(-EAGAIN);
    holder.toggle();
    const none = ready({ noReset: true });
    expect(none.world.ioctl(none.d, uapi.VFIO_DEVICE_RESET, 0)).toBe(-EINVAL);
    expect([none.world.call(none.d, uapi.VFIO_DEVICE_GET_INFO, 16), none.world.answer(4)]).toEqual([0, 2]);
  });

  it("12.1: an open that finds the device taken is tried again by the user", () => {
    const world = new PciStage();
    const c = world.open("/dev/vfio/vfio");
    const g = world.open("/dev/vfio/12");
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, 3);
    const holder = new Holder(world, world.A.lock);
    holder.toggle();
    expect(world.deviceFd(g, world.A.name)).toBe(-EAGAIN);
    holder.toggle();
    expect(world.deviceFd(g, world.A.name)).toBeGreaterThanOrEqual(0);
    expect(world.counters()).toEqual({ drivers: 2, openedFile: 1, containerUsers: 2 });
  });

  it("22.1: bus mastering is off at open, writable, and off again after the close", () => {
    const { world, d } = ready();
    expect(world.configRead(d, 4, 2) & 4).toBe(0);
    world.configWrite(d, 4, 2, 6);
    expect(world.configRead(d, 4, 2) & 4).toBe(4);
    world.close(d);
    expect(world.A.fn.peek(Pci.COMMAND, 2) & 4).toBe(0);
  });

  it("12.2, 23.13: the last close ends every interrupt, resets, and leaves the host's BARs", () => {
    for (const index of [INTX, MSI, MSIX]) {
      const { world, d, g, c } = ready();
      const E = world.eventfd();
      const address = world.A.fn.peek(Pci.BAR0, 4);
      world.configWrite(d, 4, 2, 6);
      world.setIrqs(d, index, EVENTFD | TRIGGER, 0, 1, E);
      const { resets } = world.A.fn;
      for (const fd of [d, g, c]) expect(world.close(fd)).toBe(0);
      world.intx(true);
      world.event(0);
      expect([world.take(E), world.A.fn.resets > resets, world.A.fn.peek(Pci.BAR0, 4), world.A.vectors.kind]).toEqual([-EAGAIN, true, address, "none"]);
      expect(world.pciGroup.describeOwnership()).toBe("kernel 0 default");
    }
  });

  it("12.2: the order of the close", () => {
    const { world, d } = ready();
    world.configWrite(d, 4, 2, 6);
    world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, world.eventfd());
    world.machine.trace.clear();
    world.close(d);
    expect(world.machine.trace.lines("pci_reset", "irq_mask")).toEqual([`irq_mask(${world.A.irq})`, "pci_reset(0000:06:00.0,flr)"]);
  });

  it("12.2, 12: what its functions could not reset alone is reset together with the last close", () => {
    const { world, d, g } = ready({ noReset: true });
    const b = world.deviceFd(g, world.B.name);
    world.machine.trace.clear();
    world.close(d);
    expect(world.machine.trace.lines("pci_reset")).toEqual([]);
    world.close(b);
    expect(world.machine.trace.lines("pci_reset")).toEqual(["pci_reset(0000:06:00.1,flr)", "pci_reset(0000:06:00.0,bus)", "pci_reset(0000:06:00.1,bus)"]);
  });

  it("vector 72: GET_PCI_HOT_RESET_INFO counts the functions of the bus, and tells them where there is room", () => {
    const { world, d } = ready();
    const info = (argsz: number): number => world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, argsz, 0, 0);
    expect([info(11), info(12), world.answer(8), info(28), world.answer(8)]).toEqual([-EINVAL, -ENOSPC, 2, 0, 2]);
    expect([12, 16, 20, 24].map((at) => world.answer(at))).toEqual([12, 0x0006_0000, 12, 0x0106_0000]);
  });

  it("vector 73: PCI_HOT_RESET wants the groups of all that it resets", () => {
    const { world, d, g } = ready();
    const hot = (argsz: number, count: number, ...fds: number[]): number => world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, argsz, 0, count, ...fds);
    const { resets } = world.B.fn;
    expect(hot(16, 1, g)).toBe(0);
    expect(world.B.fn.resets - resets).toBe(1);
    expect([hot(12, 0), hot(11, 1, g), hot(16, 1, pipeOf(world)), hot(24, 3, g, g, g), hot(16, 1, CLOSED)]).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EBADF]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 1, 1, g)).toBe(-EINVAL);
  });

  it("vector 74, 23.23: a function that another process has open is not reset without its group", () => {
    const { world, d, g } = ready({ separateGroups: true });
    const other = world.newProcess("other");
    const c2 = world.open("/dev/vfio/vfio", other);
    const g2 = world.open("/dev/vfio/13", other);
    other.memory.setU32(0x1000, c2);
    world.ioctl(g2, uapi.VFIO_GROUP_SET_CONTAINER, 0x1000, other);
    world.ioctl(c2, uapi.VFIO_SET_IOMMU, 3, other);
    expect(world.deviceFd(g2, world.B.name, other)).toBeGreaterThanOrEqual(0);
    const { resets } = world.A.fn;
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)).toBe(-EINVAL);
    expect(world.A.fn.resets).toBe(resets);
  });

  it("12.5: is refused while a member's memory is in use", () => {
    const { world, d, g } = ready();
    const holder = new Holder(world, world.vfioA.memoryLock);
    holder.toggle();
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)).toBe(-EBUSY);
    holder.toggle();
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)).toBe(0);
  });
});

describe("IOEVENTFD and FEATURE", () => {
  it("vector 75: an eventfd that writes a register", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    const ioeventfd = (offset: number, width: number, fd: number, data = 0x55): number =>
      world.call(d, uapi.VFIO_DEVICE_IOEVENTFD, 32, width, offset % 0x1_0000_0000, Math.floor(offset / 0x1_0000_0000), data, 0, fd);
    expect([ioeventfd(2 * REGION + 0x20, 1, E), ioeventfd(0x10, 8, E), ioeventfd(0x10, 4, E), ioeventfd(0x10, 4, E)]).toEqual([-EINVAL, -EINVAL, 0, -EEXIST]);
    world.signal(E);
    world.settle();
    expect(world.bar0.log.at(-1)).toBe("w4@10=55");
    world.configWrite(d, 4, 2, 0);
    world.signal(E);
    world.settle();
    expect(world.bar0.log).toHaveLength(1);
    expect([ioeventfd(0x10, 4, -1), ioeventfd(0x10, 4, -1)]).toEqual([0, -ENODEV]);
    expect([ioeventfd(0x10, 3, E), ioeventfd(0x10, 4, -2), ioeventfd(7 * REGION, 4, E), ioeventfd(0xfffe, 4, E), ioeventfd(0, 4, CLOSED)]).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EBADF]);
  });

  it("12.6: waits in a thread while memory is being switched", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    expect(world.call(d, uapi.VFIO_DEVICE_IOEVENTFD, 32, 4, 0x20, 0, 0x99, 0, E)).toBe(0);
    const holder = new Holder(world, world.vfioA.memoryLock);
    holder.toggle();
    world.signal(E);
    expect(world.bar0.log).toEqual([]);
    holder.toggle();
    world.settle();
    expect(world.bar0.log).toEqual(["w4@20=99"]);
  });

  it("vector 76: no feature is offered", () => {
    const { world, d } = ready();
    const feature = (argsz: number, flags: number): number => world.call(d, uapi.VFIO_DEVICE_FEATURE, argsz, flags);
    const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
    expect([feature(16, GET | 1), feature(8, PROBE | 9999), feature(16, GET | SET | 2), feature(7, GET | 1)]).toEqual([-ENOTTY, -ENOTTY, -EINVAL, -EINVAL]);
    expect(world.ioctl(d, 0x3bff, 0)).toBe(-ENOTTY);
  });
});

class Does extends Context {
  result = 1;
  constructor(name: string, private readonly program: () => Step<number>) {
    super(name, "user", 1);
  }
  override *body(): Step<void> {
    this.result = yield* this.program();
  }
}

describe("binding", () => {
  it("vectors 22, 23: an unbind asks for the device at once and every 10 s, and ends with the last close", () => {
    const { world, d, g } = ready();
    const E = world.eventfd();
    expect(world.setIrqs(d, REQ, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    const context = eventfdContextOf(world.process, E);
    if (typeof context === "number") throw new Error("no eventfd");
    const seen: unknown[] = [];
    const unbind = new Does("unbind", () => world.sysfs.write(`/sys/bus/pci/drivers/vfio-pci/unbind`, world.A.name));
    const user = new Does("user", function* () {
      seen.push(context.signals, unbind.result, yield* world.process.ioctl(g, uapi.VFIO_GROUP_GET_DEVICE_FD, 0x3000));
      yield* world.process.close(d);
      return 0;
    });
    world.process.memory.setText(0x3000, world.A.name);
    world.sim.wake(user, 25e9);
    world.sim.wake(unbind, 0);
    world.settle();
    expect([seen, unbind.result]).toEqual([[3, 1, -ENODEV], 12]);
  });

  it("vector 103: a bridge is never assigned; with its own driver, or none, the group stays viable", () => {
    const world = new PciStage();
    const { name } = world.bridge;
    const write = (file: string, text = name): number => world.write(`/sys/bus/pci/${file}`, text);
    write(`devices/${name}/driver_override`, "vfio-pci");
    expect(write("drivers/vfio-pci/bind")).toBe(-EBUSY);
    expect(write("drivers/pcieport/unbind")).toBe(name.length);
    expect(write("drivers/vfio-pci/bind")).toBe(-EINVAL);
    const g = world.open("/dev/vfio/12");
    expect([world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8), world.answer(4)]).toEqual([0, 1]);
  });

  it("vectors 4, 5, 6, 102: siblings, host drivers and overrides", () => {
    const world = new PciStage();
    const { name } = world.B;
    const write = (file: string, text = name): number => world.write(`/sys/bus/pci/${file}`, text);
    const g = world.open("/dev/vfio/12");
    const status = (): number => (world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8), world.answer(4));
    const c = world.open("/dev/vfio/vfio");
    expect(write("drivers/vfio-pci/unbind")).toBe(name.length);
    expect(status()).toBe(1);
    write(`devices/${name}/driver_override`, "\n");
    expect(world.cat(`/sys/bus/pci/devices/${name}/driver_override`)).toBe("(null)\n");
    expect(write("drivers/e1000e/bind")).toBe(name.length);
    expect([status(), world.setContainer(g, c)]).toEqual([0, -EPERM]);
    write("drivers/e1000e/unbind");
    expect([status(), world.setContainer(g, c), write("drivers/e1000e/bind")]).toEqual([1, 0, -EBUSY]);
  });

  it("vector 104: new_id and remove_id", () => {
    const world = new PciStage();
    const write = (file: string, text: string): number => world.write(`/sys/bus/pci/${file}`, text);
    const ids = (text: string, file = "new_id", driver = "vfio-pci"): number => write(`drivers/${driver}/${file}`, text);
    const bound = (): string | null => run(world.sysfs.readlink(`/sys/bus/pci/devices/${world.B.name}/driver`));
    write(`devices/${world.B.name}/driver_override`, "\n");
    write("drivers/vfio-pci/unbind", world.B.name);
    expect([ids("8086"), bound()]).toEqual([-EINVAL, null]);
    expect([ids("8086 10d4"), bound()]).toEqual([9, null]);
    expect([ids("8086 10d3\n"), bound(), ids("8086 10d3"), ids("8086 10d3", "new_id", "e1000e")]).toEqual([10, "/sys/bus/pci/drivers/vfio-pci", -EEXIST, -EEXIST]);
    expect([ids("8086 10d3", "remove_id"), ids("8086 10d3", "remove_id"), ids("8086", "remove_id")]).toEqual([9, -ENODEV, -EINVAL]);
    expect(bound()).toBe("/sys/bus/pci/drivers/vfio-pci");
  });

  it("2.1: an id can ask for subsystem and class too", () => {
    const world = new PciStage();
    const ids = (text: string): string | null => {
      world.write(`/sys/bus/pci/drivers/vfio-pci/new_id`, text);
      return run(world.sysfs.readlink(`/sys/bus/pci/devices/${world.B.name}/driver`));
    };
    world.write(`/sys/bus/pci/devices/${world.B.name}/driver_override`, "");
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    expect([ids("8086 10d3 1234 5678"), ids("8086 10d3 8086 10d3 030000 ff0000"), ids("8086 10d3 8086 10d3 020000 ff0000")]).toEqual([null, null, "/sys/bus/pci/drivers/vfio-pci"]);
  });

  it("vector 21: an interrupt is signalled after the group is closed; the last close lets the group go", () => {
    const { world, c, g, d } = ready();
    const E = world.eventfd();
    world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    world.close(g);
    world.close(c);
    world.intx(true);
    expect(world.take(E)).toBe(1);
    world.close(d);
    expect(world.pciGroup.describeOwnership()).toBe("kernel 0 default");
  });

  it("vector 109: a resamplefd that its client closed with everything else leaves no receiver behind", () => {
    const { world, d } = ready();
    const [E, R] = [world.eventfd(), world.eventfd()];
    world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, R)).toBe(0);
    world.close(R);
    world.settle();
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, world.eventfd())).toBe(0);
  });
});
