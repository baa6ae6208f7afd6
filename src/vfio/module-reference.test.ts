import { describe, expect, it } from "vitest";
import { Thread } from "../explore/stages/threads.js";
import { ARGUMENTS, VfioStage } from "../explore/stages/vfio-stage.js";
import { Holder } from "../explore/stages/pci-stage.js";
import { run, type Step } from "../sim/step.js";
import { EAGAIN, EBUSY, EEXIST, ENODEV, ENOENT, EWOULDBLOCK } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { IommuStage, MAPPING_KINDS, SPAPR_V1, TYPE1_V2 } from "./iommu/iommu-stage.fixture.js";

// An open device holds its driver's module (vfio.md 4.6, 5.1, 22.1).

const MODULE = "/sys/module/vfio_pci";

describe.each(MAPPING_KINDS)("the module of the driver of a device that is opened through $name", (kind) => {
  it("22.1: is held once by the device, however many files there are, and not unloaded until the last is closed", () => {
    const world = new IommuStage(kind);
    expect(world.cat(`${MODULE}/refcnt`)).toBe("0\n");
    const { g } = world.container();
    const d = world.deviceA(g);
    const again = kind.isNative ? d : world.deviceFd(g, world.A.name);
    const unload = (): number => run(world.pciBus.unload(world.pciDriver));
    expect([world.cat(`${MODULE}/refcnt`), unload()]).toEqual(["1\n", -EWOULDBLOCK]);
    // Refused, nothing has changed.
    expect([world.cat(`${MODULE}/initstate`), world.configRead(d, 0, 2), world.pciDriver.deviceOf(world.A.name)?.pci]).toEqual(["live\n", 0x8086, world.A]);
    for (const fd of new Set([d, again])) world.close(fd);
    run(world.process.exit());
    expect([world.cat(`${MODULE}/refcnt`), unload()]).toEqual(["0\n", 0]);
  });

  it("is not held by an open that fails", () => {
    const world = new IommuStage(kind);
    const { c } = world.container();
    const before = world.cat(`${MODULE}/refcnt`);
    // Somebody else has the function, so that it cannot be reset.
    new Holder(world, world.B.lock).toggle();
    expect(world.join(c)).toBe(kind === SPAPR_V1 ? -EBUSY : -EAGAIN);
    expect(world.cat(`${MODULE}/refcnt`)).toBe(before);
  });
});

describe("a driver that is unloaded", () => {
  it("lets go of all its devices, whose groups are gone then; loaded again, it takes those that name it", () => {
    const world = new IommuStage(TYPE1_V2);
    const { name } = world.A;
    expect(run(world.pciBus.unload(world.pciDriver))).toBe(0);
    expect([world.pciBus.driver("vfio-pci"), run(world.A.boundDriver()), run(world.B.boundDriver()), world.open("/dev/vfio/12"), world.cat(`${MODULE}/refcnt`)]).toEqual([null, null, null, -ENODEV, -ENOENT]);
    expect([world.write("/sys/bus/pci/drivers/vfio-pci/bind", name), run(world.pciBus.unload(world.pciDriver))]).toEqual([-ENOENT, -ENOENT]);
    // The override still names nobody else: the device stays unbound.
    expect([world.write("/sys/bus/pci/drivers_probe", name), run(world.A.boundDriver())]).toEqual([12, null]);
    expect([run(world.pciBus.load(world.pciDriver)), run(world.pciBus.load(world.pciDriver))]).toEqual([0, -EEXIST]);
    const { g } = world.container();
    expect([world.deviceA(g) > 0, world.cat(`${MODULE}/refcnt`)]).toEqual([true, "1\n"]);
  });

  it("forgets the ids that it was given", () => {
    const world = new IommuStage(TYPE1_V2);
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/new_id", "1234 5678")).toBe(9);
    run(world.pciBus.unload(world.pciDriver));
    run(world.pciBus.load(world.pciDriver));
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/remove_id", "1234 5678")).toBe(-ENODEV);
  });

  it("opens nothing while it goes, binds nothing, and cannot go twice; it goes when nobody knows its devices any more", () => {
    const world = new VfioStage();
    const { sim, process, sysfs, a } = world;
    const { d, g } = world.ready();
    world.close(d);
    const group = "/sys/bus/platform/drivers/vfio-platform";
    // Not bound, it holds the device, and no module.
    const cdev = world.open("/dev/vfio/devices/vfio1");
    const iommufd = world.open("/dev/iommu");
    [16, 0, iommufd].forEach((word, i) => process.memory.setU32(ARGUMENTS + 0x100 + 4 * i, word));
    process.memory.setText(ARGUMENTS, a.name);
    const said: (string | number)[] = [];
    function* tell(): Step<number> {
      said.push(yield* sysfs.read("/sys/module/vfio_platform/initstate"), yield* sysfs.read("/sys/module/vfio_platform/refcnt"));
      said.push(yield* process.ioctl(g, uapi.VFIO_GROUP_GET_DEVICE_FD, ARGUMENTS));
      yield* process.close(g);
      said.push(yield* process.ioctl(cdev, uapi.VFIO_DEVICE_BIND_IOMMUFD, ARGUMENTS + 0x100));
      said.push(yield* sysfs.write(`${group}/unbind`, a.name), yield* sysfs.write(`${group}/bind`, a.name), yield* world.bus.unload(world.driver));
      return 0;
    }
    const unload = new Thread("rmmod", "user", () => world.bus.unload(world.driver));
    const steps = [unload, new Thread("tell", "user", tell), new Thread("close", "user", () => process.close(cdev))];
    steps.forEach((step, i) => sim.wake(step, 1_000_000 * (i + 1)));
    world.settle();
    expect(said).toEqual(["going\n", "-1\n", -ENODEV, -ENODEV, a.name.length, -ENODEV, -EBUSY]);
    expect([unload.result, world.open("/dev/vfio/12")]).toEqual([0, -ENODEV]);
  });
});
