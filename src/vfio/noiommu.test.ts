import { describe, expect, it } from "vitest";
import { Command, Pci } from "../arch/pci/config-registers.js";
import { PciFunction } from "../device/pci/function.js";
import { BusMaster } from "../host/pci/bus-master.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { PhysicalMemory } from "../host/physical-memory.js";
import { run } from "../sim/step.js";
import { EINVAL, ENODEV, ENOENT, ENOTTY, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { CONFIG, PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";

// Devices that no IOMMU guards (vfio.md 19).

const NAME = "0000:07:00.0";
const NODE = "/dev/vfio/noiommu-100";
const CONTAINER = "/dev/vfio/vfio";

/** What the function masters: it has no IOMMU before it. */
const memories = new WeakMap<PciStage, { readonly memory: PhysicalMemory; readonly dma: BusMaster }>();

function stage(options: PciStageOptions = {}): PciStage {
  const world = new PciStage({ core: { enableUnsafeNoiommuMode: true }, capabilities: ["SYS_RAWIO"], ...options });
  const memory = new PhysicalMemory();
  const dma = new BusMaster(memory);
  memories.set(world, { memory, dma });
  const fn = new PciFunction({ name: NAME, requesterId: 0x700, vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
  dma.fn = fn;
  world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, true) }));
  world.bind(NAME);
  return world;
}

describe("a device without an IOMMU", () => {
  it("is refused by vfio-pci unless the host was told to take it", () => {
    const world = stage({ core: {} });
    expect([world.open(NODE), world.write("/sys/bus/pci/drivers/vfio-pci/bind", NAME)]).toEqual([-ENOENT, -EINVAL]);
  });

  it("vector 16: its group is for who may do raw I/O", () => {
    expect(stage({ capabilities: [] }).open(NODE)).toBe(-EPERM);
    expect(stage().open(NODE)).toBeGreaterThanOrEqual(0);
  });

  it("vector 17: takes the IOMMU that is none, and maps nothing", () => {
    const world = stage();
    const c = world.open(CONTAINER);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 8)).toBe(1);
    const g = world.open(NODE);
    expect(world.setContainer(g, c)).toBe(0);
    expect([1, 3, 8].map((id) => world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, id))).toEqual([0, 0, 1]);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-ENODEV);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 8)).toBe(0);
    expect(world.map(c, 0n, 0x1000n)).toBe(-ENOTTY);
    const d = world.deviceFd(g, NAME);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(0);
  });

  it("vector 18: is never in a container with devices that have one", () => {
    const world = stage();
    const { c } = world.ready();
    expect(world.setContainer(world.open(NODE), c)).toBe(-EPERM);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 8)).toBe(0);
    const other = world.open(CONTAINER);
    expect(world.setContainer(world.open("/dev/vfio/99"), other)).toBe(0);
    expect(world.ioctl(other, uapi.VFIO_SET_IOMMU, 8)).toBe(-ENODEV);
  });

  it("asks for the capability at each step, whoever has the files", () => {
    const world = stage();
    const weak = world.newProcess("weak");
    const c = world.open(CONTAINER);
    const g = world.open(NODE);
    const [weakC, weakG] = [world.process.sendFile(c, weak), world.process.sendFile(g, weak)];
    weak.memory.setU32(0x1000, weakC);
    expect(world.ioctl(weakG, uapi.VFIO_GROUP_SET_CONTAINER, 0x1000, weak)).toBe(-EPERM);
    world.setContainer(g, c);
    expect(world.ioctl(weakC, uapi.VFIO_SET_IOMMU, 8, weak)).toBe(-EPERM);
    // The name comes first, and what the group has not got (4.6).
    expect([world.deviceFd(weakG, "0000:07:00.9", weak), world.deviceFd(weakG, NAME, weak)]).toEqual([-ENODEV, -EINVAL]);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, 8);
    expect([world.deviceFd(weakG, "0000:07:00.9", weak), world.deviceFd(weakG, NAME, weak)]).toEqual([-ENODEV, -EPERM]);
    // What is open already is shared with who has the group's file: the first open uses the container (vfio_group_use_container).
    expect([world.deviceFd(g, NAME) > 0, world.deviceFd(weakG, NAME, weak) > 0]).toEqual([true, true]);
  });

  it("asks for it in an iommufd too", () => {
    const world = stage();
    const weak = world.newProcess("weak");
    const g = world.open(NODE);
    const weakG = world.process.sendFile(g, weak);
    expect(world.setContainer(g, world.open("/dev/iommu"))).toBe(0);
    expect([world.deviceFd(weakG, NAME, weak), world.deviceFd(g, NAME) > 0]).toEqual([-EPERM, true]);
  });

  it("12.4, 12.5: is in its group when the bus is reset; a function there that nobody has bound is in none", () => {
    const world = stage();
    const c = world.open(CONTAINER);
    const g = world.open(NODE);
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, 8);
    const d = world.deviceFd(g, NAME);
    const info = (): number => world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 100, 0, 0);
    expect([info(), world.answer(8), world.answer(12), world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)]).toEqual([0, 1, 100, 0]);
    const fn = new PciFunction({ name: "0000:07:00.1", requesterId: 0x701, vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
    const bus = world.root.buses.find(({ number }) => number === 7);
    if (bus === undefined) throw new Error("no bus 7");
    world.pciBus.addDevice(new PciDevice(world.root, fn, { bus }));
    expect(info()).toBe(-EPERM);
    world.bind(fn.name);
    expect([info(), world.answer(8), world.answer(12), world.answer(20)]).toEqual([0, 2, 100, 101]);
  });

  it("takes no DMA ownership, and has no node of its own", () => {
    const world = stage();
    const device = world.pciDriver.deviceOf(NAME);
    expect(device === null ? 0 : world.vfio.cdevOf(device)).toBe(-1);
    expect(device?.group.iommuGroup.describeOwnership()).toBe("kernel 0 default");
    const c = world.open(CONTAINER);
    world.setContainer(world.open(NODE), c);
    expect(device?.group.iommuGroup.describeOwnership()).toBe("kernel 0 default");
  });

  it("reaches the memory of whoever it is: its user's, another's, what its process only reads; and nothing once it is closed", () => {
    const world = stage();
    const { memory, dma } = memories.get(world) ?? { memory: new PhysicalMemory(), dma: new BusMaster(new PhysicalMemory()) };
    const other = world.newProcess("other");
    other.memory.map(0x70_0000, 0x2000, { writable: false });
    world.process.memory.map(0x60_0000, 0x1000);
    const [own, foreign] = [memory.addressOf(world.process, 0x60_0010), memory.addressOf(other, 0x70_0ffe)];
    const c = world.open(CONTAINER);
    const g = world.open(NODE);
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, 8);
    const d = world.deviceFd(g, NAME);
    const bytes = Uint8Array.of(1, 2, 3, 4);
    expect(run(dma.write(own, bytes))).toBe(false);
    world.regionWrite(d, CONFIG + Pci.COMMAND, 2, Command.MEMORY | Command.MASTER);
    expect([run(dma.write(own, bytes)), run(dma.write(foreign, bytes))]).toEqual([true, true]);
    expect([world.process.memory.getU32(0x60_0010), other.memory.getU32(0x70_0ffe)]).toEqual([0x0403_0201, 0x0403_0201]);
    const read = new Uint8Array(4);
    expect([run(dma.read(foreign, read)), [...read]]).toEqual([true, [1, 2, 3, 4]]);
    expect([run(dma.read(0x1000, read)), memory.addressOf(other, 0x10)]).toEqual([false, -1]);
    other.memory.unmap(0x70_0000, 0x2000);
    expect(run(dma.read(foreign, read))).toBe(false);
    run(world.process.close(d));
    expect(run(dma.read(own, read))).toBe(false);
  });
});
