import { describe, expect, it } from "vitest";
import { Pci } from "../arch/pci/config-registers.js";
import { PciFunction } from "../device/pci/function.js";
import { IommuGroup } from "../host/iommu/group.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { run } from "../sim/step.js";
import { EBUSY, EINVAL, ENOENT, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";

/** A function with an id of the denylist, and what binding it to vfio-pci answers. */
function bindDenied(options: PciStageOptions = {}): string | null {
  const world = new PciStage(options);
  const fn = new PciFunction({ name: "0000:09:00.0", requesterId: 0x900, vendor: 0x8086, device: 0x37c8, classCode: 0x0b4000 });
  world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(9, true), group: new IommuGroup(world.sim, 30) }));
  world.bind(fn.name);
  const driver = run(world.sysfs.readlink(`/sys/bus/pci/devices/${fn.name}/driver`));
  if (driver === null) expect(world.write("/sys/bus/pci/drivers/vfio-pci/bind", fn.name)).toBe(-EINVAL);
  return driver;
}

describe("parameters of vfio-pci (2.3)", () => {
  it("a function of the denylist is refused, unless the list is disabled", () => {
    expect(bindDenied()).toBe(null);
    expect(bindDenied({ vfio: { disableDenylist: true } })).toBe("/sys/bus/pci/drivers/vfio-pci");
  });

  it("a function that nobody has open sleeps in D3hot, from its probe on and after its last close; unbinding wakes it", () => {
    const world = new PciStage();
    const { fn } = world.A;
    expect(fn.isInD3()).toBe(true);
    const { d, g, c } = world.ready();
    expect(fn.isInD3()).toBe(false);
    for (const fd of [d, g, c]) world.close(fd);
    expect(fn.isInD3()).toBe(true);
    world.write(`/sys/bus/pci/devices/${world.A.name}/driver/unbind`, world.A.name);
    expect(fn.isInD3()).toBe(false);
  });

  it("disable_idle_d3 keeps it awake", () => {
    const world = new PciStage({ vfio: { disableIdleD3: true } });
    expect(world.A.fn.isInD3()).toBe(false);
    const { d } = world.ready();
    world.close(d);
    expect(world.A.fn.isInD3()).toBe(false);
  });

  it("a function whose registers do not outlive D3hot has them again when it is opened", () => {
    const world = new PciStage({ resetsInD3: true });
    const address = world.A.fn.peek(Pci.BAR0, 4);
    expect(address).not.toBe(0);
    for (let i = 0; i < 2; i++) {
      const { d, g, c } = world.ready();
      expect(world.A.fn.peek(Pci.BAR0, 4)).toBe(address);
      for (const fd of [d, g, c]) world.close(fd);
    }
  });

  it("12.5: a reset of the bus wakes a function that sleeps, keeps its registers, and lets it sleep again", () => {
    const world = new PciStage();
    const { d, g } = world.ready();
    const b = world.deviceFd(g, world.B.name);
    world.close(d);
    const bars = (): number[] => [world.A.fn, world.B.fn].map((fn) => fn.peek(Pci.BAR0, 4));
    const before = bars();
    const { resets } = world.A.fn;
    expect([world.call(b, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g), world.A.fn.resets - resets, bars()]).toEqual([0, 1, before]);
    expect(world.A.fn.isInD3()).toBe(true);
  });

  it("12.2, 12: the bus is reset for what cannot be reset alone when its last user goes, and its functions keep their registers", () => {
    const world = new PciStage({ brokenResets: ["flr", "af_flr", "pm"] });
    const bars = (): number[] => [world.A.fn, world.B.fn].map((fn) => fn.peek(Pci.BAR0, 4));
    const before = bars();
    const { d } = world.ready();
    const { resets } = world.B.fn;
    world.close(d);
    expect([world.B.fn.resets - resets, bars(), world.A.fn.isInD3()]).toEqual([1, before, true]);
  });
});

describe("/sys/kernel/iommu_groups/N/type (2.1)", () => {
  const TYPE = "/sys/kernel/iommu_groups/12/type";
  const ready = (options: PciStageOptions = {}): PciStage => new PciStage(options);

  it("says what the host's own domain is; a word that is none is refused", () => {
    const world = ready();
    expect(world.cat(TYPE)).toBe("DMA\n");
    expect([world.write(TYPE, "passthrough"), world.write("/sys/kernel/iommu_groups/12/name", "x"), world.write("/sys/kernel/iommu_groups/77/type", "DMA")]).toEqual([-EINVAL, -ENOENT, -ENOENT]);
  });

  it("changes while nobody uses the group, and back to what it was at boot", () => {
    const world = ready();
    expect([world.write(TYPE, "identity\n"), world.cat(TYPE)]).toEqual([9, "identity\n"]);
    expect([world.write(TYPE, "auto"), world.cat(TYPE)]).toEqual([4, "DMA\n"]);
  });

  it("is refused while user space owns the group, or a host driver is bound; invalidations can be put off all the same", () => {
    const world = ready();
    const { d, g, c } = world.ready();
    expect([world.write(TYPE, "identity"), world.write(TYPE, "DMA"), world.write(TYPE, "DMA-FQ"), world.cat(TYPE)]).toEqual([-EPERM, -EPERM, 6, "DMA-FQ\n"]);
    for (const fd of [d, g, c]) world.close(fd);
    expect(world.write(TYPE, "DMA")).toBe(3);
    const path = `/sys/bus/pci/devices/${world.B.name}`;
    world.write(`${path}/driver/unbind`, world.B.name);
    world.write(`${path}/driver_override`, "e1000e");
    world.write("/sys/bus/pci/drivers_probe", world.B.name);
    expect(world.write(TYPE, "identity")).toBe(-EPERM);
  });

  it("before Linux 5.19 is of groups of one device, that no driver has", () => {
    const world = ready({ separateGroups: true, hasDmaOwnership: false });
    world.sysfs.addGroup(world.B.group ?? world.pciGroup);
    expect(world.write(TYPE, "identity")).toBe(-EINVAL);
    expect(world.write("/sys/kernel/iommu_groups/13/type", "identity")).toBe(-EBUSY);
    world.write(`/sys/bus/pci/devices/${world.B.name}/driver/unbind`, world.B.name);
    expect(world.write("/sys/kernel/iommu_groups/13/type", "identity")).toBe(8);
  });
});
