import { describe, expect, it } from "vitest";
import { IommuGroup, SW_MSI_REGION } from "../host/iommu/group.js";
import { Thread } from "../explore/stages/threads.js";
import { PlatformDevice } from "../host/platform-device.js";
import { run } from "../sim/step.js";
import { EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { PciStage } from "../explore/stages/pci-stage.js";
import { VfioPciDriver } from "./backends/pci/driver.js";
import { Reset, VfioStage } from "../explore/stages/vfio-stage.js";

const { VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;
const BUS = "/sys/bus/platform";

/** A device on the world's bus; the result of binding it to vfio-platform. */
function bind(world: VfioStage, device: PlatformDevice): number {
  world.bus.addDevice(device);
  world.write(`${BUS}/devices/${device.name}/driver_override`, "vfio-platform");
  return world.write(`${BUS}/drivers/vfio-platform/bind`, device.name);
}

describe("driver files", () => {
  it("vector 102: an override binds to its driver alone; cleared, the host's driver comes back", () => {
    const world = new VfioStage();
    const device = `${BUS}/devices/${world.a.name}`;
    expect(run(world.sysfs.readlink(`${device}/driver`))).toBe(`${BUS}/drivers/vfio-platform`);
    expect(world.cat(`${device}/driver_override`)).toBe("vfio-platform\n");
    expect(world.write(`${device}/driver_override`, "\n")).toBe(1);
    expect(world.cat(`${device}/driver_override`)).toBe("(null)\n");
    expect(run(world.sysfs.readlink(`${device}/driver`))).toBe(`${BUS}/drivers/vfio-platform`);
    expect(world.write(`${device}/driver/unbind`, world.a.name)).toBe(world.a.name.length);
    expect(run(world.sysfs.readlink(`${device}/driver`))).toBe(null);
    expect(world.write(`${device}/driver/unbind`, world.a.name)).toBe(-ENOENT);
    expect(world.write(`${BUS}/drivers_probe`, `${world.a.name}\n`)).toBe(world.a.name.length + 1);
    expect(run(world.sysfs.readlink(`${device}/driver`))).toBe(`${BUS}/drivers/calxedaxgmac`);
    expect(world.group.describeOwnership()).toBe("kernel 1 default");
  });

  it("answer bind and unbind in their order", () => {
    const world = new VfioStage();
    const drivers = `${BUS}/drivers`;
    expect(world.write(`${drivers}/calxedaxgmac/bind`, "nothing")).toBe(-ENODEV);
    expect(world.write(`${drivers}/calxedaxgmac/bind`, world.a.name)).toBe(-ENODEV);
    expect(world.write(`${drivers}/vfio-platform/bind`, world.a.name)).toBe(-EBUSY);
    expect(world.write(`${drivers}/calxedaxgmac/unbind`, world.a.name)).toBe(-ENODEV);
    expect(world.write(`${drivers}/vfio-platform/unbind`, "nothing")).toBe(-ENODEV);
    expect(world.write(`${drivers}/nobody/bind`, world.a.name)).toBe(-ENOENT);
    expect(world.write(`${BUS}/drivers_probe`, "nothing")).toBe(-ENODEV);
    expect(world.write(`${BUS}/devices/${world.a.name}/driver_override`, "x".repeat(4096))).toBe(-EINVAL);
  });

  it("accept an override that names no driver, and then bind to nothing", () => {
    const world = new VfioStage();
    world.write(`${BUS}/drivers/vfio-platform/unbind`, world.a.name);
    world.write(`${BUS}/devices/${world.a.name}/driver_override`, "nobody");
    expect(world.write(`${BUS}/drivers_probe`, world.a.name)).toBe(world.a.name.length);
    expect(run(world.sysfs.readlink(`${BUS}/devices/${world.a.name}/driver`))).toBe(null);
  });

  it("lead from a device to its group and the group's reserved regions", () => {
    const world = new VfioStage({ reserved: [SW_MSI_REGION, { start: 0n, end: 0xfffn, kind: "direct-relaxable" }] });
    expect(run(world.sysfs.readlink(`${BUS}/devices/${world.a.name}/iommu_group`))).toBe("/sys/kernel/iommu_groups/12");
    expect(world.sysfs.list("/sys/kernel/iommu_groups/12/devices")).toEqual([world.a.name, world.b.name]);
    expect(world.cat("/sys/kernel/iommu_groups/12/reserved_regions")).toBe(
      "0x0000000008000000 0x00000000080fffff msi\n0x0000000000000000 0x0000000000000fff direct-relaxable\n",
    );
  });
});

describe("vfio-platform's probe", () => {
  it("refuses a device without a reset, without a group, without a compatible string, or whose DMA is not coherent", () => {
    const world = new VfioStage();
    const { sim } = world;
    const compatible = ["acme,x"];
    const group = new IommuGroup(sim, 13);
    expect(bind(world, new PlatformDevice(sim, "1", { compatible, group }))).toBe(-ENOENT);
    expect(bind(world, new PlatformDevice(sim, "2", { compatible, reset: new Reset() }))).toBe(-EINVAL);
    expect(bind(world, new PlatformDevice(sim, "3", { compatible: [], group, reset: new Reset() }))).toBe(-EINVAL);
    const incoherent = new IommuGroup(sim, 14, { isCoherent: false });
    expect(bind(world, new PlatformDevice(sim, "4", { compatible, group: incoherent, reset: new Reset() }))).toBe(-EINVAL);
    expect(bind(world, new PlatformDevice(sim, "5", { compatible, group, reset: new Reset() }))).toBe(1);
    expect(world.nodes.paths()).toContain("/dev/vfio/13");
  });

  it("a group that needs an identity mapping cannot be claimed (20.2)", () => {
    const world = new VfioStage({ reserved: [{ start: 0x1000n, end: 0x1fffn, kind: "direct" }] });
    expect(world.setContainer(world.open("/dev/vfio/12"), world.open("/dev/vfio/vfio"))).toBe(-EINVAL);
  });
});

describe("unbinding a device in use (5.5)", () => {
  it("vectors 22, 23: blocks until the last file is closed; the device cannot be opened meanwhile, and works", () => {
    const world = new VfioStage();
    const { g, d } = world.ready();
    const log: (string | number)[] = [];
    world.sim.wake(
      new Thread("unbinder", "user", function* () {
        log.push(yield* world.sysfs.write(`${BUS}/drivers/vfio-platform/unbind`, world.a.name));
      }, 1),
      0,
    );
    world.sim.wake(
      new Thread("user", "user", function* () {
        log.push(world.deviceFd(g, world.a.name));
        log.push(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, world.eventfd()));
        log.push("close");
        yield* world.process.close(d);
      }, 0),
      1,
    );
    world.settle();
    expect(log).toEqual([-ENODEV, 0, "close", world.a.name.length]);
  });

  it("the last device takes the group out of its container; its open file answers ENODEV", () => {
    const world = new VfioStage();
    const { c, g, d } = world.ready();
    world.map(c, 0n, 0x1000n);
    world.close(d);
    for (const { name } of [world.a, world.b]) expect(world.write(`${BUS}/drivers/vfio-platform/unbind`, name)).toBeGreaterThan(0);
    expect(world.group.describeOwnership()).toBe("kernel 0 default");
    expect(world.process.lockedMemory).toBe(0);
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8)).toBe(-ENODEV);
    expect(world.setContainer(g, c)).toBe(-ENODEV);
    world.close(g);
    expect(world.open("/dev/vfio/12")).toBe(-ENODEV);
    world.write(`${BUS}/drivers_probe`, world.a.name);
    expect(world.open("/dev/vfio/12")).toBeGreaterThanOrEqual(0);
  });
});

describe("functions of PCI and their drivers", () => {
  it("1.3, 22.1: a function's files tell its ids and class, and its character device while VFIO shows it", () => {
    const world = new PciStage();
    const path = `/sys/bus/pci/devices/${world.A.name}`;
    expect(["vendor", "device", "class", "nothing"].map((file) => world.cat(`${path}/${file}`))).toEqual(["0x8086\n", "0x10d3\n", "0x020000\n", -ENOENT]);
    const { d } = world.ready();
    expect([world.configRead(d, 0, 2), world.configRead(d, 2, 2)]).toEqual([0x8086, 0x10d3]);
    world.close(d);
    const names = world.sysfs.list(`${path}/vfio-dev`);
    expect(names).toEqual([`vfio${world.vfio.cdevOf(world.vfioA)}`]);
    expect(world.nodes.paths()).toContain(`/dev/vfio/devices/${typeof names === "number" ? "" : names[0]}`);
    world.write(`${path}/driver/unbind`, world.A.name);
    expect(world.sysfs.list(`${path}/vfio-dev`)).toBe(-ENOENT);
  });

  it("2.1: new_id refuses what the driver covers, unless all seven fields are given, and data that no entry of its table has", () => {
    const world = new PciStage();
    const ids = (text: string): number => world.write("/sys/bus/pci/drivers/vfio-pci/new_id", text);
    expect(ids("1234 2 ffffffff ffffffff 0 0 5")).toBe(-EINVAL);
    expect([ids("1234 ffffffff"), ids("1234 2"), ids("0x1234 0x2")]).toEqual([13, -EEXIST, -EEXIST]);
    for (let i = 0; i < 2; i++) expect(ids("1234 2 ffffffff ffffffff 0 0 0")).toBe(30);
  });

  it("1.1, 12.5: functions of one bus are reset together whichever VFIO drivers have them", () => {
    const world = new PciStage();
    const { d, g } = world.ready();
    world.pciBus.addDriver(new VfioPciDriver(world.vfio, {}, "variant-vfio-pci"));
    const path = `/sys/bus/pci/devices/${world.B.name}`;
    world.write(`${path}/driver/unbind`, world.B.name);
    world.write(`${path}/driver_override`, "variant-vfio-pci");
    world.write("/sys/bus/pci/drivers_probe", world.B.name);
    const { resets } = world.B.fn;
    expect([world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g), world.B.fn.resets - resets]).toEqual([0, 1]);
  });

  it("6: BIND_IOMMUFD is for a device's own file, and copies its argument first", () => {
    const world = new PciStage();
    const { d } = world.ready();
    expect([world.ioctl(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 0xdead_0000), world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, 0, 0)]).toEqual([-EFAULT, -EINVAL]);
  });
});
