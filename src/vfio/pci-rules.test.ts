import { describe, expect, it } from "vitest";
import { CapId, Command, Exp, Pci, Pm } from "../arch/pci/config-registers.js";
import { PciFunction } from "../device/pci/function.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { run } from "../sim/step.js";
import { EFAULT, EINVAL, EOPNOTSUPP, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { CLOSED, EVENTFD, INTX, MASK, NONE, PciStage, type PciStageOptions, REGION, romImage, TRIGGER } from "../explore/stages/pci-stage.js";
import type { IommuBackend } from "./iommu/backend.js";
import { NoIommuBackend } from "./iommu/noiommu.js";
import { nextState } from "./migration/states.js";

// Rules of single lines, each of which nothing else fails without.

/** Ways of A to be reset by itself: none works, but a reset of the bus does. */
const BUS_ONLY = ["flr", "af_flr", "pm"] as const;

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  const fds = world.ready();
  world.configWrite(fds.d, Pci.COMMAND, 2, Command.IO | Command.MEMORY | Command.MASTER);
  const express = world.A.fn.capability(CapId.EXPRESS);
  const pmcsr = world.A.fn.capability(CapId.PM) + Pm.PMCSR;
  const ioeventfd = (offset: number, width: number, fd: number, data = 0x55): number =>
    world.call(fds.d, uapi.VFIO_DEVICE_IOEVENTFD, 32, width, offset % 0x1_0000_0000, Math.floor(offset / 0x1_0000_0000), data, 0, fd);
  return { world, ...fds, express, pmcsr, ioeventfd };
}

describe("INTx", () => {
  it("8.8: a write of COMMAND that leaves DisINTx as it was undoes no mask", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    expect(world.setIrqs(d, INTX, NONE | MASK, 0, 1)).toBe(0);
    world.configWrite(d, Pci.COMMAND, 2, Command.MEMORY | Command.MASTER);
    world.intx(true);
    expect([world.isDisIntx, world.count(E)]).toEqual([true, 0]);
  });
});

describe("the last close", () => {
  it("12.2, 1: a function that its user left in D3hot is in D0", () => {
    const { world, d, pmcsr } = ready({ noReset: true, vfio: { disableIdleD3: true } });
    world.configWrite(d, pmcsr, 2, Pm.D3HOT);
    expect(world.A.fn.isInD3()).toBe(true);
    world.close(d);
    expect(world.A.fn.isInD3()).toBe(false);
  });

  it("12.2, 4: the last user's eventfd writes no register of the next one's", () => {
    const { world, g, d, ioeventfd } = ready();
    const E = world.eventfd();
    expect(ioeventfd(0x10, 4, E)).toBe(0);
    world.close(d);
    const next = world.deviceFd(g, world.A.name);
    world.configWrite(next, Pci.COMMAND, 2, Command.MEMORY);
    world.signal(E);
    world.settle();
    expect(world.bar0.log).toEqual([]);
  });

  it("12.2, 12: while another function of the bus is open nothing of it is reset; the last one's close pays", () => {
    const { world, g, d } = ready({ brokenResets: BUS_ONLY });
    const b = world.deviceFd(g, world.B.name);
    const before = world.B.fn.resets;
    world.close(d);
    expect([world.vfioA.needsReset, world.B.fn.resets]).toEqual([true, before]);
    const [resetsOfA] = [world.A.fn.resets];
    world.close(b);
    expect([world.vfioA.needsReset, world.A.fn.resets]).toEqual([false, resetsOfA + 1]);
  });

  it("12.5: a hot reset pays what the functions owed", () => {
    const { world, g, d } = ready({ brokenResets: BUS_ONLY });
    const b = world.deviceFd(g, world.B.name);
    world.close(d);
    expect(world.vfioA.needsReset).toBe(true);
    expect(world.call(b, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)).toBe(0);
    expect(world.vfioA.needsReset).toBe(false);
  });
});

describe("requests of a device", () => {
  it("12.3: RESET wakes a function first: its registers answer afterwards", () => {
    const { world, d, pmcsr } = ready();
    world.configWrite(d, pmcsr, 2, Pm.D3HOT);
    expect(world.regionRead(d, 0, 4)).toBeLessThan(0);
    expect(world.call(d, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    expect(world.regionRead(d, 0, 4)).toBeGreaterThanOrEqual(0);
  });

  it("12.4: a function on the bus that is in no group can be told to nobody", () => {
    const { world, d } = ready();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 64)).toBe(0);
    const fn = new PciFunction({ name: "0000:06:00.2", requesterId: 0x602, vendor: 1, device: 1, classCode: 0 });
    const device = new PciDevice(world.root, fn, { bus: world.A.bus });
    expect(device.group).toBe(null);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 64)).toBe(-EPERM);
  });

  it("12.5, 6: a device that was opened by its own node names no groups, and its detach no address space of a PASID", () => {
    const world = new PciStage();
    const iommu = world.open("/dev/iommu");
    const d = world.open(`/dev/vfio/devices/vfio${world.vfio.cdevOf(world.vfioA)}`);
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, iommu, 0, 0, 0)).toBe(0);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, CLOSED)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 12, 1, 0)).toBe(-EOPNOTSUPP);
    expect(world.call(d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 0)).toBe(0);
  });

  it("12.4, 12.5: a function that no driver has is not owned, and keeps its bus from being reset, whoever has its group", () => {
    const world = new PciStage();
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    const iommu = world.open("/dev/iommu");
    const d = world.open(`/dev/vfio/devices/vfio${world.vfio.cdevOf(world.vfioA)}`);
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, iommu, 0, 0, 0)).toBe(0);
    expect([world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 28), world.answer(8), world.answer(20)]).toEqual([0, 2, 0xffff_ffff]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0)).toBe(-EINVAL);
  });

  it("12.6: an eventfd writes a port whether or not memory decodes", () => {
    const { world, d, ioeventfd } = ready();
    const E = world.eventfd();
    expect(ioeventfd(4 * REGION + 8, 1, E, 0x77)).toBe(0);
    world.configWrite(d, Pci.COMMAND, 2, Command.IO);
    world.signal(E);
    world.settle();
    expect(world.bar4.log).toEqual(["w1@8=77"]);
  });

  it("13.5: a function's phantom functions are not its user's to enable", () => {
    const { world, d, express } = ready();
    const control = express + Exp.DEVCTL;
    world.configWrite(d, control, 2, world.configRead(d, control, 2) | 0x200 | 0x10);
    expect([world.configRead(d, control, 2) & 0x210, world.A.fn.peek(control, 2) & 0x210]).toEqual([0x10, 0x10]);
  });

  it("14: an access that meets the end of the user's memory is told as far as it came", () => {
    const { world, d } = ready();
    const page = 0x66_0000;
    world.process.memory.map(page, 0x1000);
    const read = (address: number): number => run(world.process.read(d, address, 8, 0x20));
    expect([read(page + 0xff8), read(page + 0xffc), read(page + 0x1000)]).toEqual([8, 4, -EFAULT]);
  });

  it("7.3: less than a page of registers is mapped only where it begins a page", () => {
    const region = (moved: number): number => {
      const world = new PciStage({ smallBar: true });
      world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name);
      run(world.A.fn.writeConfig(Pci.BAR0 + 20, 4, (world.A.fn.peek(Pci.BAR0 + 20, 4) + moved) | 0));
      world.bind(world.A.name);
      const { d } = world.ready();
      expect(world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 5, 0)).toBe(0);
      return world.answer(4);
    };
    expect([region(0), region(0x100)]).toEqual([7, 3]);
  });
});

describe("the expansion ROM (7.3, 13.4, 14)", () => {
  const info = (rom: Uint8Array): { world: PciStage; d: number; size: number; flags: number } => {
    const world = new PciStage({ rom });
    const { d } = world.ready();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 6, 0)).toBe(0);
    return { world, d, size: world.answer(16), flags: world.answer(4) };
  };

  it("is as large as its BAR, and behind its image there is ff, whether or not memory decodes", () => {
    const { world, d, size, flags } = info(romImage(0x900));
    expect([size, flags]).toEqual([0x1000, 1]);
    world.configWrite(d, Pci.ROM, 4, 0xffff_ffff);
    expect(world.configRead(d, Pci.ROM, 4)).toBe(0xffff_f001);
    expect([world.regionRead(d, 6 * REGION, 4), world.regionRead(d, 6 * REGION + 0x8fe, 4), world.regionRead(d, 6 * REGION + 0xffc, 4), world.regionRead(d, 6 * REGION + 0x1000, 1)]).toEqual([0x5555_aa55, 0xffff_5555, 0xffff_ffff, -EINVAL]);
    expect(info(romImage(0x100)).size).toBe(0x800);
  });

  it("is none without its signature", () => {
    const { world, d, size, flags } = info(new Uint8Array(0x800).fill(0x55));
    expect([size, flags, world.regionRead(d, 6 * REGION, 4)]).toEqual([0, 0, -EINVAL]);
  });
});

describe("containers, groups and states", () => {
  it("4.1: of several IOMMU backends the last registered is asked first, and the first that has the extension answers", () => {
    const world = new PciStage();
    const answering = (value: number): IommuBackend => Object.assign(Object.create(new NoIommuBackend()) as NoIommuBackend, { isNoIommu: false, checkExtension: (id: number) => (id === 7777 ? value : 0) });
    for (const value of [2, 3, 0]) world.vfio.registerIommu(answering(value));
    const c = world.open("/dev/vfio/vfio");
    expect([7777, 3].map((id) => world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, id))).toEqual([3, 1]);
  });

  it("4.3: GET_STATUS leaves argsz as it was", () => {
    const world = new PciStage();
    const g = world.open("/dev/vfio/12");
    expect([world.call(g, uapi.VFIO_GROUP_GET_STATUS, 64, 0), world.answer(0), world.answer(4)]).toEqual([0, 64, 1]);
  });

  it("15.2: the first step from each state to each other, with everything supported", () => {
    // Columns: STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P; by the states' numbers.
    const table = [
      [1, [1, 5, 3, 4, 5, 5, 5]],
      [2, [5, 2, 5, 5, 5, 6, 5]],
      [6, [2, 2, 7, 2, 2, 6, 7]],
      [7, [5, 5, 3, 5, 5, 6, 7]],
      [3, [1, 1, 3, 1, 1, -EINVAL, -EINVAL]],
      [4, [1, 1, 1, 4, 1, 1, 1]],
      [5, [1, 2, 1, 1, 5, 2, 7]],
    ] as const;
    for (const [from, steps] of table) expect([from, [1, 2, 3, 4, 5, 6, 7].map((to) => nextState(7, from, to))]).toEqual([from, steps]);
  });
});
