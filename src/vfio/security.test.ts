import { describe, expect, it } from "vitest";
import { Command, Msi, Pci } from "../arch/pci/config-registers.js";
import type { DmaPort } from "../device/dma-port.js";
import type { BarRegisters } from "../device/pci/bar.js";
import { expressCapability } from "../device/pci/capabilities.js";
import { PciFunction } from "../device/pci/function.js";
import { GroupViabilityViolated, IommuGroup } from "../host/iommu/group.js";
import { IommuDma } from "../host/iommu/dma.js";
import { BusMaster } from "../host/pci/bus-master.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { EventChannels } from "../host/xen/event-channels.js";
import { XenMsiDomain } from "../host/xen/msi-domain.js";
import { PhysicalIrqs } from "../host/xen/physical-irqs.js";
import { run, type Step } from "../sim/step.js";
import { EBUSY, EINVAL, EPERM } from "../uapi/errno.js";
import * as iommufd from "../uapi/iommufd.js";
import * as uapi from "../uapi/vfio.js";
import { MEMORY, VfioStage } from "../explore/stages/vfio-stage.js";
import { EVENTFD, MSI, MSIX, PciStage, TRIGGER } from "../explore/stages/pci-stage.js";

// What a hostile device, guest or monitor may try: nothing gets in, and it is told (issue 7, 4). DMA outside of mappings, after an
// unmap, into other groups and to doorbells, and a monitor that closes in any order, are in iommu/backends.case.test.ts for every
// backend; DMA during an unmap in explore/hazards/vfio.ts (17.6), for every backend too; forged messages without isolation in
// pci-client.test.ts, with it in host/its/its-msi.test.ts and host/x86/x86-host.test.ts; everything at random in ioctls.test.ts.

const DOORBELL = 0xfee0_0000 | 0;

describe("a device that shares a group with the host's disk", () => {
  it("is nobody's while the disk is the host's, and the disk's driver waits while it is a user's", () => {
    const world = new PciStage();
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    world.write(`/sys/bus/pci/devices/${world.B.name}/driver_override`, "\n");
    expect(world.write("/sys/bus/pci/drivers/e1000e/bind", world.B.name)).toBeGreaterThan(0);
    const g = world.open("/dev/vfio/12");
    expect(world.setContainer(g, world.open("/dev/vfio/vfio"))).toBe(-EPERM);
    expect(world.setContainer(g, world.open("/dev/iommu"))).toBe(0);
    expect(world.deviceFd(g, world.A.name)).toBe(-EPERM);
    const d = world.open("/dev/vfio/devices/vfio2");
    world.close(g);
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, world.open("/dev/iommu"), 0)).toBe(-EPERM);
    world.write("/sys/bus/pci/drivers/e1000e/unbind", world.B.name);
    world.ready();
    expect(world.write("/sys/bus/pci/drivers/e1000e/bind", world.B.name)).toBe(-EBUSY);
  });
});

describe("a device that writes a message of its own making by DMA (20.1)", () => {
  it("interrupts by whatever it writes where the controller does not know who writes", () => {
    const world = new PciStage({ isMsiIsolated: false, allowUnsafeInterrupts: true });
    const { d } = world.ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    const forger = new IommuDma(world.smmu, world.pciGroup, world.B.fn.requesterId);
    expect(run(forger.write(DOORBELL >>> 0, Uint8Array.of(64, 0, 0, 0)))).toBe(true);
    world.settle();
    expect([world.take(E), run(forger.write(DOORBELL >>> 0, new Uint8Array(8)))]).toEqual([1, false]);
  });
});

/** Told to, it reads or writes at ADDRESS by DMA: whatever that reaches. */
class Engine implements BarRegisters {
  dma: DmaPort | null = null;
  address = 0;
  outcomes: boolean[] = [];

  *read(): Step<number> {
    return 0x77;
  }

  *write(offset: number, _size: number, value: number): Step<void> {
    if (offset === 0) this.address = value;
    if (offset === 0 || this.dma === null) return;
    const isAnswered = offset === 4 ? yield* this.dma.read(this.address, new Uint8Array(4)) : yield* this.dma.write(this.address, new Uint8Array(4));
    this.outcomes.push(isAnswered);
  }
}

describe("a guest that has its device reach the device's own registers", () => {
  const IOVA = 0x9000;
  function engine(): { world: PciStage; d: number; bar: number; registers: Engine } {
    const world = new PciStage();
    const group = new IommuGroup(world.sim, 20);
    const port = new BusMaster(new IommuDma(world.smmu, group, 0x700));
    const registers = new Engine();
    const fn = new PciFunction({ name: "0000:07:00.0", requesterId: 0x700, vendor: 1, device: 2, classCode: 0, bars: [{ index: 0, size: 0x1000, kind: "mem32", registers }], capabilities: [expressCapability({ hasFlr: true })] });
    registers.dma = port;
    port.fn = fn;
    run(world.root.plug(fn, null));
    world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, false), group }));
    world.bind(fn.name);
    const [c, g] = ["/dev/vfio/vfio", "/dev/vfio/20"].map((path) => world.open(path));
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
    const d = world.deviceFd(g, fn.name);
    world.configWrite(d, Pci.COMMAND, 2, Command.MEMORY | Command.MASTER);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    expect(world.map(c, BigInt(IOVA), 0x1000n, bar)).toBe(0);
    world.regionWrite(d, 0, 4, IOVA);
    return { world, d, bar, registers };
  }

  it("by a write, by a store, by an eventfd: it reaches them, and no lock that the guest's access holds is in the way", () => {
    const { world, d, bar, registers } = engine();
    world.regionWrite(d, 4, 4, 1);
    const region = world.process.memory.areaAt(bar)?.region;
    if (region) run(region.write(4, 4, 1));
    const E = world.eventfd();
    expect(world.call(d, uapi.VFIO_DEVICE_IOEVENTFD, 32, 4, 4, 0, 1, 0, E, 0)).toBe(0);
    world.signal(E);
    world.settle();
    expect(registers.outcomes).toEqual([true, true, true]);
  });

  it("without end: what it asks for beyond is not answered, and is told", () => {
    const { world, d, registers } = engine();
    world.regionWrite(d, 0, 4, IOVA + 8);
    world.regionWrite(d, 8, 4, 1);
    expect([registers.outcomes.length, registers.outcomes.filter((each) => !each).length]).toEqual([65, 1]);
    world.regionWrite(d, 4, 4, 1);
    expect(registers.outcomes.at(-1)).toBe(true);
  });
});

describe("a BAR that stays mapped", () => {
  it("keeps its device from the next user, until it is unmapped or its process is gone", () => {
    for (const isUnmapped of [true, false]) {
      const world = new PciStage();
      const { c, g, d } = world.ready();
      const bar = run(world.process.mmap(d, 0x2000, 0));
      for (const fd of [d, g, c]) world.close(fd);
      expect([world.open("/dev/vfio/12"), world.pciGroup.describeOwnership()]).toEqual([-EBUSY, "user 1 user"]);
      if (isUnmapped) run(world.process.munmap(bar, 0x1000));
      expect(world.open("/dev/vfio/12")).toBe(-EBUSY);
      if (isUnmapped) run(world.process.munmap(bar + 0x1000, 0x1000));
      else run(world.process.exit());
      expect([world.pciGroup.describeOwnership(), world.process.memory.areaAt(bar)]).toEqual(["kernel 0 default", null]);
      expect(world.open("/dev/vfio/12")).toBeGreaterThanOrEqual(0);
    }
  });
});

describe("a table that is written behind the kernel's back", () => {
  /** Messages through a hypervisor or remapping hardware that knows who sends: both A and B use one vector. */
  function isolated(): { world: PciStage; d: number; ofA: number; ofB: number; pirqs: PhysicalIrqs } {
    const world = new PciStage();
    const { host } = world.machine;
    const pirqs = new PhysicalIrqs(world.sim, new EventChannels(world.sim));
    host.msi = new XenMsiDomain(host.irqs, pirqs);
    const { d, g } = world.ready();
    world.configWrite(d, 4, 2, 6);
    const b = world.deviceFd(g, world.B.name);
    const [ofA, ofB] = [world.eventfd(), world.eventfd()];
    expect(world.setIrqs(b, MSIX, EVENTFD | TRIGGER, 0, 1, ofB)).toBe(0);
    expect(world.setIrqs(d, MSIX, EVENTFD | TRIGGER, 0, 1, ofA)).toBe(0);
    const bar = run(world.process.mmap(d, 0x4000, 2 * 2 ** 40));
    const region = world.process.memory.areaAt(bar)?.region ?? null;
    expect(region).not.toBeNull();
    // Entry 0 of A's table, through the mapping: the address stays, the data become B's.
    if (region !== null) run(region.write(8, 4, run(pirqs.numbers())[0]));
    return { world, d, ofA, ofB, pirqs };
  }

  it("raises nothing of another function's where the hardware asks who writes", () => {
    const { world, ofA, ofB, pirqs } = isolated();
    const sent = world.A.fn.messages.sent;
    world.event(0);
    expect([world.A.fn.messages.sent - sent, world.count(ofA), world.count(ofB)]).toEqual([1, 0, 0]);
    const [b] = run(pirqs.numbers());
    expect([run(pirqs.message(world.A.name, b)), run(pirqs.message(world.B.name, b))]).toEqual([false, true]);
  });

  it("is put right when the vector gets another eventfd", () => {
    const { world, d } = isolated();
    const table = world.A.fn.table;
    const before = table?.dataOf(0);
    expect(world.setIrqs(d, MSIX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
    expect(table?.dataOf(0)).not.toBe(before);
  });

  it("the address in its MSI capability is the host's, whatever the guest writes there", () => {
    const world = new PciStage();
    const { d } = world.ready();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, world.eventfd());
    const at = world.A.fn.capability(5);
    world.configWrite(d, at + Msi.ADDRESS_LO, 4, 0xdead_0000);
    world.configWrite(d, at + Msi.DATA_64, 2, 0x1234);
    expect(world.A.fn.peek(at + Msi.ADDRESS_LO, 4) | 0).toBe(DOORBELL);
    expect(world.A.fn.peek(at + Msi.DATA_64, 2)).not.toBe(0x1234);
  });
});

describe("a device behind an address space of its iommufd's own", () => {
  const half = (value: number): number[] => [value >>> 0, Math.floor(value / 2 ** 32)];

  it("reaches what is mapped there, until it is unmapped, and nothing else; nor does a device of another group", () => {
    const world = new PciStage({ separateGroups: true });
    const [iommu, d] = [world.open("/dev/iommu"), world.open("/dev/vfio/devices/vfio2")];
    const [a, b] = [world.A, world.B].map(({ group, fn }) => new IommuDma(world.smmu, group ?? world.pciGroup, fn.requesterId));
    const read = (dma: IommuDma, iova: number): boolean => run(dma.read(iova, new Uint8Array(4)));
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, iommu, 0)).toBe(0);
    expect(world.call(iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    const ioas = world.answer(8);
    const map = (iova: number): number => world.call(iommu, iommufd.IOMMU_IOAS_MAP, 40, 7, ioas, 0, ...half(MEMORY), ...half(0x1000), ...half(iova));
    expect([map(0x4000), read(a, 0x4000)]).toEqual([0, false]);
    expect(world.call(d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, ioas)).toBe(0);
    expect([map(0xfee0_0000), read(a, 0x4000), read(a, 0x5000), read(a, 0x3ffe), read(b, 0x4000)]).toEqual([-EINVAL, true, false, false, false]);
    expect(world.call(iommu, iommufd.IOMMU_IOAS_UNMAP, 24, ioas, ...half(0x4000), ...half(0x1000))).toBe(0);
    expect(read(a, 0x4000)).toBe(false);
    expect(map(0x4000)).toBe(0);
    world.close(d);
    expect([read(a, 0x4000), world.pciGroup.describeOwnership()]).toEqual([false, "kernel 0 default"]);
  });
});

describe("memory that its process gives up", () => {
  it("stays what the device sees, and is nobody else's", () => {
    const world = new PciStage();
    const { c } = world.ready();
    const dma = new IommuDma(world.smmu, world.pciGroup, 0x600);
    world.process.memory.setU32(MEMORY, 0x1111);
    world.map(c, 0n, 0x1000n);
    world.process.memory.unmap(MEMORY, 0x1000);
    world.process.memory.map(MEMORY, 0x1000);
    const bytes = new Uint8Array(4);
    expect([run(dma.read(0, bytes)), bytes[0] | (bytes[1] << 8), world.process.memory.getU32(MEMORY)]).toEqual([true, 0x1111, 0]);
    run(dma.write(0, Uint8Array.of(9, 9, 9, 9)));
    expect(world.process.memory.getU32(MEMORY)).toBe(0);
  });
});

describe("2.6: a kernel that looks at drivers (profile v5)", () => {
  const DRIVERS = "/sys/bus/platform/drivers";
  function withHostDriver(): VfioStage {
    const world = new VfioStage({ hasDmaOwnership: false });
    world.write(`${DRIVERS}/vfio-platform/unbind`, world.b.name);
    world.write(`/sys/bus/platform/devices/${world.b.name}/driver_override`, "\n");
    return world;
  }

  it("tells a group with a host driver apart, gives no device of it, and takes it into no container with an IOMMU", () => {
    const world = withHostDriver();
    const g = world.open("/dev/vfio/12");
    const flags = (): number => {
      expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8, 0)).toBe(0);
      return world.answer(4);
    };
    expect(flags()).toBe(1);
    expect(world.write(`${DRIVERS}/calxedaxgmac/bind`, world.b.name)).toBeGreaterThan(0);
    expect(flags()).toBe(0);
    const c = world.open("/dev/vfio/vfio");
    expect(world.setContainer(g, c)).toBe(0);
    expect([flags(), world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)]).toEqual([2, 0]);
    expect(world.deviceFd(g, world.a.name)).toBe(-EINVAL);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
  });

  it("stops when a host driver takes a member of a group in use", () => {
    const world = withHostDriver();
    world.ready();
    expect(() => world.write(`${DRIVERS}/calxedaxgmac/bind`, world.b.name)).toThrow(GroupViabilityViolated);
  });
});
