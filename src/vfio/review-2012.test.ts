import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { KernelModule } from "../host/module.js";
import { Process } from "../host/process.js";
import { XenHypervisor } from "../host/xen/hypervisor.js";
import { run, type Step } from "../sim/step.js";
import { EINVAL, ENODEV, ENOENT, ENOTTY, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { IommuDma } from "../host/iommu/dma.js";
import { PciStage } from "../explore/stages/pci-stage.js";
import { MEMORY, VfioStage } from "../explore/stages/vfio-stage.js";
import { VfioDevice } from "./device.js";
import { SpaprBackend } from "./iommu/spapr.js";
import { XenIommuBackend } from "./iommu/xen.js";

// The points of the review of January 2012 (vfio.md 21.2) that xen.test.ts has not.

/** Everything that a module loads, itself included, as paths below the build. */
function loadedBy(path: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(path)) return loaded;
  loaded.add(path);
  const text = readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
  for (const [, from] of text.matchAll(/^(?:import|export) [^;]*?"(\.[^"]+)"/gm)) loadedBy(new URL(from, `file:///${path}`).pathname.slice(1), loaded);
  return loaded;
}

/** A device whose backend has not one line about interrupts. */
class Silent extends VfioDevice {
  readonly isPlatform = false;
  protected override *openDevice(): Step<number> {
    return 0;
  }
  protected override *closeDevice(): Step<void> {}
  protected override *ioctl(): Step<number> {
    return -ENOTTY;
  }
  override *read(process: Process, address: number, length: number): Step<number> {
    process.memory.setU32(address, 0x5eed);
    return length;
  }
  override forwardable(): null {
    return null;
  }
}

describe("21.2: the points of the review", () => {
  it("2: the core loads no code of interrupts", () => {
    const loaded = [...loadedBy("vfio/device.js", loadedBy("vfio/vfio.js"))];
    expect(loaded).toContain("vfio/group-file.js");
    expect(loaded.filter((path) => /irq|eventfd|msi|notify|gic/.test(path))).toEqual([]);
    expect([...loadedBy("vfio/backends/pci/device.js")].filter((path) => /irq/.test(path)).length).toBeGreaterThan(5);
  });

  it("2: a device without interrupts is opened, read and closed like any other", () => {
    const world = new VfioStage({ group: 12 });
    const group = run(world.vfio.join(world.group));
    if (typeof group === "number") throw new Error(`join: ${group}`);
    run(world.vfio.show(new Silent(world.vfio, "silent", group, world.vfio.newSetLock(), new KernelModule("silent"))));
    const { c, g } = world.ready();
    const d = world.deviceFd(g, "silent");
    expect(run(world.process.read(d, 0x2000, 4, 0))).toBe(4);
    expect(world.process.memory.getU32(0x2000)).toBe(0x5eed);
    for (const request of [uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.VFIO_DEVICE_SET_IRQS]) expect(world.ioctl(d, request, 0x1000)).toBe(-ENOTTY);
    for (const fd of [d, c]) world.close(fd);
    expect(world.group.describeOwnership()).toBe("user 1 user");
  });

  it("10: devices are bound by files of sysfs, groups are taken by an ioctl and by nothing else", () => {
    const world = new PciStage();
    const { name } = world.A;
    const words = ["1", "user", "vfio-pci", name, "12", "DMA", ""];
    const files = ["/sys/kernel/iommu_groups/12", "/sys/kernel/iommu_groups/12/bind", "/sys/kernel/iommu_groups/12/owner", "/sys/class/vfio/12", "/sys/bus/pci/drivers/vfio-pci/group"];
    for (const file of files) for (const word of words) expect(world.write(file, word)).toBe(-ENOENT);
    expect([world.pciGroup.describeOwnership(), world.counters()]).toEqual(["kernel 0 default", { drivers: 2, openedFile: 0, containerUsers: 0 }]);
    expect(world.write(`/sys/bus/pci/devices/${name}/driver/unbind`, name)).toBeGreaterThan(0);
    expect(world.counters().drivers).toBe(1);
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/bind", name)).toBeGreaterThan(0);
    expect(world.counters().drivers).toBe(2);
    const g = world.open("/dev/vfio/12");
    expect(world.setContainer(g, world.open("/dev/vfio/vfio"))).toBe(0);
    expect(world.pciGroup.describeOwnership()).not.toBe("kernel 0 default");
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.pciGroup.describeOwnership()).toBe("kernel 0 default");
  });

  it("11: Power's IOMMU, which its user asks for windows, is a backend like the others", () => {
    const tce = { windowStart: 0n, windowSize: 0x4000_0000n, dynamicPageSizes: 0x1_1000n, maxLevels: 4 };
    const world = new PciStage({ tce, lockedMemoryLimit: 2 ** 31 });
    const c = world.open("/dev/vfio/vfio");
    expect([1, 2, 7].map((type) => world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, type))).toEqual([1, 0, 0]);
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 7)).toBe(-ENODEV);
    world.vfio.registerIommu(new SpaprBackend(world.sim));
    expect([1, 2, 7].map((type) => world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, type))).toEqual([1, 1, 1]);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 7)).toBe(0);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24, 0, MEMORY, 0, 0x1_0000, 0)).toBe(0);
    // Nothing is mapped outside of a window, and a window is asked for.
    expect(world.map(c, 1n << 59n, 0x1000n)).toBe(-6);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_CREATE, 40, 0, 12, 0, 1 << 30, 0, 1, 0, 0, 0)).toBe(0);
    const start = world.answer64(32);
    expect(world.map(c, start, 0x1000n)).toBe(0);
    world.process.memory.setU8(MEMORY, 0x42);
    const byte = new Uint8Array(1);
    expect([run(new IommuDma(world.smmu, world.pciGroup, 0x600).read(Number(start), byte)), byte[0]]).toEqual([true, 0x42]);
  });

  it("12: each step of the bring-up (2.7) is one call, and undoing it another", () => {
    const world = new PciStage();
    const { name } = world.A;
    const path = `/sys/bus/pci/devices/${name}`;
    world.write(`${path}/driver/unbind`, name);
    world.write(`${path}/driver_override`, "\n");
    const g = (): number => world.open("/dev/vfio/12");
    const steps: readonly (readonly [() => number, number])[] = [
      [() => world.write(`${path}/driver_override`, "vfio-pci"), 8],
      [() => world.write("/sys/bus/pci/drivers_probe", name), name.length],
      [() => world.open("/dev/vfio/vfio"), 0],
      [g, 1],
      [() => world.call(1, uapi.VFIO_GROUP_GET_STATUS, 8, 0), 0],
      [() => world.setContainer(1, 0), 0],
      [() => world.ioctl(0, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU), 0],
      [() => world.map(0, 0n, 0x1000n), 0],
      [() => world.deviceFd(1, name), 2],
      [() => world.unmap(0, 0n, 0x1000n)[0], 0],
      [() => world.close(2), 0],
      [() => world.ioctl(1, uapi.VFIO_GROUP_UNSET_CONTAINER, 0), 0],
      [() => world.close(1), 0],
      [() => world.close(0), 0],
      [() => world.write(`${path}/driver/unbind`, name), name.length],
      [() => world.write(`${path}/driver_override`, "\n"), 1],
      [() => world.write("/sys/bus/pci/drivers/e1000e/bind", name), name.length],
    ];
    for (const [step, expected] of steps) expect(step()).toBe(expected);
    expect(world.pciGroup.describeOwnership()).toBe("kernel 1 default");
  });

  it("3, 11: a container never mixes what its groups were attached by, and each kind refuses the other's requests", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim, { callerDomain: 3 });
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, 5));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EPERM);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(-ENOTTY);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EINVAL);
  });
});
