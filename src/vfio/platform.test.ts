import { describe, expect, it } from "vitest";
import { IommuGroup } from "../host/iommu/group.js";
import { SigBus } from "../host/memory.js";
import { PlatformDevice } from "../host/platform-device.js";
import { run } from "../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, ENOTTY } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { ARGUMENTS, EDGE_SPI, Reset, VfioStage } from "../explore/stages/vfio-stage.js";

const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_BOOL: BOOL, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = uapi;
const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;

function triggered(index = 0) {
  const world = new VfioStage();
  const fds = world.ready();
  const E = world.eventfd();
  expect(world.setIrqs(fds.d, index, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
  world.machine.zero();
  return { world, ...fds, E };
}

describe("a platform device's interrupt", () => {
  it("vector 94: a level interrupt is masked by its handler, signalled once, and again after an unmask with the line up", () => {
    const { world, d, E } = triggered();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 0, 0)).toBe(0);
    expect([world.answer(4), world.answer(12)]).toEqual([7, 1]);
    world.line(true);
    expect(world.take(E)).toBe(1);
    world.line(true);
    expect(world.take(E)).toBe(-EAGAIN);
    // host-irq.md 1.12, case L.
    expect(world.machine.counts(world.machine.level)).toBe("t2 k1 m1 u0");
    expect(world.setIrqs(d, 0, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect(world.take(E)).toBe(1);
    world.line(false);
    expect(world.setIrqs(d, 0, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect(world.take(E)).toBe(-EAGAIN);
    expect(world.machine.trace.lines("vfio_automask", "vfio_unmask")).toEqual([
      "vfio_automask(fff50000.ethernet,0)",
      "vfio_unmask(fff50000.ethernet,0)",
      "vfio_automask(fff50000.ethernet,0)",
      "vfio_unmask(fff50000.ethernet,0)",
    ]);
  });

  it("vector 95: an edge interrupt is not maskable, and every edge signals", () => {
    const { world, d, E } = triggered(1);
    expect(world.setIrqs(d, 1, NONE | MASK, 0, 1)).toBe(-EINVAL);
    expect(world.setIrqs(d, 1, NONE | UNMASK, 0, 1)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 1, 0)).toBe(0);
    expect(world.answer(4)).toBe(1);
    world.machine.pulse(EDGE_SPI);
    world.machine.pulse(EDGE_SPI);
    expect(world.take(E)).toBe(2);
    expect(world.machine.counts(world.machine.edge)).toBe("t2 k2 m0 u0");
  });

  it("16.3: a trigger that is replaced by what is no eventfd is gone, as in Linux", () => {
    const { world, d, E } = triggered(1);
    expect(world.setIrqs(d, 1, EVENTFD | TRIGGER, 0, 1, 99)).toBe(-EBADF);
    world.machine.pulse(EDGE_SPI);
    expect(world.take(E)).toBe(-EAGAIN);
    expect(world.setIrqs(d, 1, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    world.machine.pulse(EDGE_SPI);
    expect(world.take(E)).toBe(1);
  });

  it("vector 96: a forwarded interrupt is signalled per activation, never masked; forwarding is decided at installation", () => {
    const world = new VfioStage();
    const { d } = world.ready();
    const irq = world.driver.deviceOf(world.a.name)?.irqs[0];
    if (irq === undefined) throw new Error("no irq");
    const mark = (on: boolean): void => {
      run(irq.descriptorLock.lock());
      run(irq.setForwarded(on));
      run(irq.descriptorLock.unlock());
    };
    mark(true);
    const E = world.eventfd();
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    world.machine.zero();
    world.line(true);
    expect(world.take(E)).toBe(1);
    expect(world.machine.gic.isActive(0, 40)).toBe(true);
    run(world.machine.gic.deactivate(0, 40));
    world.settle();
    expect(world.take(E)).toBe(1);
    expect(world.machine.counts(world.machine.level)).toBe("t2 k2 m0 u0");
    expect(world.machine.trace.lines("vfio_automask")).toEqual([]);
    // The trigger goes while the guest holds the interrupt: the mask deactivates it, or this would wait for the guest.
    expect(world.setIrqs(d, 0, NONE | TRIGGER, 0, 0)).toBe(0);
    expect(world.machine.gic.isActive(0, 40)).toBe(false);
    mark(false);
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    world.settle();
    expect(world.machine.trace.lines("vfio_automask")).toHaveLength(1);
  });

  it("is unmasked in the wake-up of the UNMASK eventfd, and masked in that of the MASK eventfd", () => {
    const { world, d, E } = triggered();
    const U = world.eventfd();
    const M = world.eventfd();
    expect(world.setIrqs(d, 0, EVENTFD | UNMASK, 0, 1, U)).toBe(0);
    expect(world.setIrqs(d, 0, EVENTFD | UNMASK, 0, 1, U)).toBe(-EBUSY);
    expect(world.setIrqs(d, 0, EVENTFD | MASK, 0, 1, M)).toBe(0);
    world.line(true);
    expect(world.take(E)).toBe(1);
    world.line(false);
    world.signal(U);
    world.settle();
    expect([world.count(U), world.take(E)]).toEqual([0, -EAGAIN]);
    world.signal(M);
    world.line(true);
    expect(world.take(E)).toBe(-EAGAIN);
    world.signal(U);
    world.settle();
    expect(world.take(E)).toBe(1);
  });

  it("stays masked or becomes unmasked by a boolean, not a count", () => {
    const { world, d, E } = triggered();
    expect(world.setIrqs(d, 0, NONE | MASK, 0, 1)).toBe(0);
    expect(world.setIrqs(d, 0, BOOL | MASK, 0, 1, 1)).toBe(0);
    world.line(true);
    expect(world.take(E)).toBe(-EAGAIN);
    expect(world.setIrqs(d, 0, BOOL | UNMASK, 0, 1, 0)).toBe(0);
    world.settle();
    expect(world.take(E)).toBe(-EAGAIN);
    expect(world.setIrqs(d, 0, BOOL | UNMASK, 0, 1, 1)).toBe(0);
    world.settle();
    expect(world.take(E)).toBe(1);
  });

  it("is triggered by hand with the handler's side effect", () => {
    const { world, d, E } = triggered();
    expect(world.setIrqs(d, 0, NONE | TRIGGER, 0, 1)).toBe(0);
    expect(world.setIrqs(d, 0, NONE | TRIGGER, 0, 1)).toBe(0);
    expect(world.take(E)).toBe(1);
    expect(world.setIrqs(d, 0, BOOL | TRIGGER, 0, 1, 0)).toBe(0);
    expect(world.setIrqs(d, 0, NONE | UNMASK, 0, 1)).toBe(0);
    expect(world.setIrqs(d, 0, BOOL | TRIGGER, 0, 1, 1)).toBe(0);
    expect(world.take(E)).toBe(1);
  });

  it("23.5: an eventfd that was replaced receives nothing; a pending mask stays", () => {
    const { world, d, E } = triggered();
    world.line(true);
    const E2 = world.eventfd();
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E2)).toBe(0);
    world.settle();
    expect([world.take(E), world.take(E2)]).toEqual([1, -EAGAIN]);
    expect(world.setIrqs(d, 0, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect([world.take(E), world.take(E2)]).toEqual([-EAGAIN, 1]);
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, 99)).toBe(-EBADF);
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, d)).toBe(-EINVAL);
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, -1)).toBe(0);
  });

  it("of a line that another driver holds opens all the same; each SET_IRQS tells why it has none", () => {
    const world = new VfioStage();
    world.ready();
    const group = new IommuGroup(world.sim, 20);
    const irqs = [world.machine.level];
    const sharer = new PlatformDevice(world.sim, "sharer", { compatible: ["acme,x"], group, irqs, reset: new Reset() });
    world.bus.addDevice(sharer);
    world.write("/sys/bus/platform/devices/sharer/driver_override", "vfio-platform");
    world.write("/sys/bus/platform/drivers_probe", "sharer");
    const c = world.open("/dev/vfio/vfio");
    const g = world.open("/dev/vfio/20");
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
    const d = world.deviceFd(g, "sharer");
    expect(d).toBeGreaterThanOrEqual(0);
    expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(-EBUSY);
    expect(world.setIrqs(d, 0, NONE, 0, 1)).toBe(-EBUSY);
    expect(world.close(d)).toBe(0);
  });

  it("host-irq 41: a line that rises while masked by the user is taken once, masked, and signalled after the unmask", () => {
    const { world, d, E } = triggered();
    world.setIrqs(d, 0, NONE | MASK, 0, 1);
    world.line(true);
    expect(world.machine.counts(world.machine.level)).toBe("t1 k0 m1 u0");
    world.setIrqs(d, 0, NONE | UNMASK, 0, 1);
    world.settle();
    expect(world.machine.counts(world.machine.level)).toBe("t3 k1 m2 u1");
    expect(world.take(E)).toBe(1);
  });
});

describe("SET_IRQS validation (7.5)", () => {
  const world = new VfioStage();
  const { d } = world.ready();
  const E = world.eventfd();
  const raw = (...words: number[]): number => world.call(d, uapi.VFIO_DEVICE_SET_IRQS, ...words);

  it("refuses in its order, and leaves an action of none or several bits to nobody", () => {
    expect(raw(19, NONE | TRIGGER, 0, 0, 1)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 2, 0, 1)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 0, 1, 0xffff_ffff)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER | 0x40, 0, 0, 1)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 0, 2, 0)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 0, 0, 3)).toBe(-EINVAL);
    expect(raw(24, NONE | EVENTFD | TRIGGER, 0, 0, 1, E)).toBe(-EINVAL);
    expect(raw(24, TRIGGER, 0, 0, 1, E)).toBe(-EINVAL);
    expect(raw(20, EVENTFD | TRIGGER, 0, 0, 1)).toBe(-EINVAL);
    expect(raw(24, EVENTFD, 0, 0, 1, E)).toBe(-ENOTTY);
    expect(raw(24, EVENTFD | TRIGGER | MASK, 0, 0, 1, E)).toBe(-ENOTTY);
    expect(raw(20, EVENTFD | TRIGGER, 0, 0, 0)).toBe(-EINVAL);
    expect(raw(20, NONE | MASK, 0, 0, 0)).toBe(-EINVAL);
    expect(raw(100, EVENTFD | TRIGGER, 0, 0, 1, E)).toBe(0);
  });

  it("lets a start and a count below the number of indexes pass to the handlers, as vfio-platform tells it that many", () => {
    expect(raw(20, NONE | TRIGGER, 0, 0, 2)).toBe(-EINVAL);
    expect(raw(20, NONE | MASK, 0, 1, 1)).toBe(-EINVAL);
    expect(raw(20, NONE, 0, 1, 1)).toBe(-ENOTTY);
    expect(raw(27, EVENTFD | TRIGGER, 0, 0, 2, E)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 0, 1, 0)).toBe(0);
    expect(world.driver.deviceOf(world.a.name)?.irqs[0].isSignalling).toBe(false);
  });
});

describe("a platform device's regions", () => {
  const world = new VfioStage();
  const { d } = world.ready();

  it("are told with their flags (16.1)", () => {
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 15)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 24)).toBe(0);
    expect([world.answer(0), world.answer(4), world.answer(8), world.answer(12)]).toEqual([24, 5, 4, 2]);
    const told = [0, 1, 2, 3].map((index) => {
      expect(world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, index, 0)).toBe(0);
      return [world.answer(4), Number(world.answer64(16)), Number(world.answer64(24))];
    });
    expect(told).toEqual([
      [7, 0x10000, 0],
      [3, 0x100, 2 ** 40],
      [5, 0x1000, 2 * 2 ** 40],
      [0, 8, 3 * 2 ** 40],
    ]);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 4, 0)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 31, 0, 0, 0)).toBe(-EINVAL);
    expect(world.ioctl(d, 0x3bff, ARGUMENTS)).toBe(-ENOTTY);
  });

  it("are read and written in aligned pieces", () => {
    const { process, registers } = world;
    const rw = (what: "read" | "write", offset: number, length: number): number => run(process[what](d, ARGUMENTS, length, offset));
    registers.log.length = 0;
    process.memory.setU32(ARGUMENTS, 0x11223344);
    process.memory.setU32(ARGUMENTS + 4, 0x55667788);
    expect(rw("write", 2, 8)).toBe(8);
    expect(registers.log).toEqual(["w2@2=3344", "w4@4=77881122", "w2@8=5566"]);
    registers.values.set(0x10, 0x1234_5678);
    expect(rw("read", 0x10, 4)).toBe(4);
    expect(world.answer(0)).toBe(0x1234_5678);
    expect(rw("read", 2 ** 40 + 0x100, 1)).toBe(-EINVAL);
    expect(rw("write", 2 * 2 ** 40, 4)).toBe(-EINVAL);
    expect(rw("read", 3 * 2 ** 40, 4)).toBe(-EINVAL);
    expect(rw("read", 9 * 2 ** 40, 4)).toBe(-EINVAL);
    expect([rw("read", 0, 0), rw("write", 2 * 2 ** 40, 0), rw("read", 3 * 2 ** 40, 0)]).toEqual([0, -EINVAL, -EINVAL]);
    expect(run(process.read(d, ARGUMENTS, 4))).toBe(-EINVAL);
  });

  it("are read and written up to their end", () => {
    const { process, registers } = world;
    registers.log.length = 0;
    expect(run(process.read(d, ARGUMENTS, 8, 0xfffc))).toBe(4);
    expect(run(process.write(d, ARGUMENTS, 4, 2 ** 40 + 0xfe))).toBe(2);
    expect(registers.log.map((access) => access.split("=")[0])).toEqual(["r4@fffc", "w2@fe"]);
  });

  it("are mapped where they are pages; the area reaches the device without a call", () => {
    const { process } = world;
    const mmap = (offset: number, length: number, shared = true): number => run(process.mmap(d, length, offset, shared));
    expect(mmap(0, 0x10000, false)).toBe(-EINVAL);
    expect(mmap(0, 0x11000)).toBe(-EINVAL);
    expect(mmap(2 ** 40, 0x1000)).toBe(-EINVAL);
    expect(mmap(3 * 2 ** 40, 0x1000)).toBe(-EINVAL);
    const address = mmap(0x1000, 0xf000);
    const area = process.memory.areaAt(address + 0x2000);
    expect([area?.kind, area?.regionOffset, area?.writable]).toEqual(["device", 0x1000, true]);
    world.registers.log.length = 0;
    expect(area?.region && run(area.region.read(0x2000, 4))).toBe(0);
    expect(world.registers.log).toEqual(["r4@2000"]);
    expect(process.memory.areaAt(mmap(2 * 2 ** 40, 0x1000))?.writable).toBe(false);
  });

  it("are reached by nobody through a mapping of before, once the device has been closed", () => {
    const own = new VfioStage();
    const fds = own.ready();
    const address = run(own.process.mmap(fds.d, 0x1000, 0));
    const region = own.process.memory.areaAt(address)?.region;
    own.registers.values.set(0x10, 0x77);
    expect(region && run(region.read(0x10, 4))).toBe(0x77);
    run(own.process.munmap(address, 0x1000));
    own.close(fds.d);
    own.deviceFd(fds.g, own.a.name);
    expect(() => region && run(region.read(0x10, 4))).toThrow(SigBus);
  });

  it("FEATURE checks its header before it says that there is none (15.1)", () => {
    const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
    const feature = (argsz: number, flags: number): number => world.call(d, uapi.VFIO_DEVICE_FEATURE, argsz, flags);
    expect(world.ioctl(d, uapi.VFIO_DEVICE_FEATURE, 8)).toBe(-EFAULT);
    expect([feature(7, PROBE), feature(8, 1 << 19), feature(8, GET | SET)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect([feature(8, GET | SET | PROBE), feature(16, GET | uapi.VFIO_DEVICE_FEATURE_MIGRATION), feature(8, 0)]).toEqual([-ENOTTY, -ENOTTY, -ENOTTY]);
  });

  it("RESET runs the reset method", () => {
    const before = world.reset.runs;
    expect(world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    expect(world.reset.runs).toBe(before + 1);
  });
});
