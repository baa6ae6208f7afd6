import { describe, expect, it } from "vitest";
import { PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";
import { EDGE_SPI, MEMORY, VfioStage } from "../explore/stages/vfio-stage.js";
import { type IrqAction, IrqReturn, Irqf } from "../host/irq/types.js";
import { run, type Step } from "../sim/step.js";
import { EAGAIN, EBUSY, EINVAL, ENODEV, ENOENT, ENOTTY, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import * as draft from "../uapi/vfio-draft.js";
import { DmaLog } from "./migration/dma-log.js";
import { VFIO_PROFILES, type VfioProfileName } from "./profiles.js";

// What a VMM's author does with one device from bind to the last close, under each profile (vfio.md 0.4, 2.7, 5.2, 12.5).

const { VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD, VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;
const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK } = uapi;
const CONTAINER_PROFILES = ["modern", "v5", "fwd2014"] as const;
const [INTX, MSI] = [0, 1];

function optionsOf(name: VfioProfileName): PciStageOptions {
  const { core, pci, platform, type1, group } = VFIO_PROFILES[name];
  return { core, vfio: pci, platform, ...type1, hasDmaOwnership: group.hasDmaOwnership ?? true };
}

/** Does anybody on the host have the platform device's level line? Another asks for it alone. */
function isLineFree(world: VfioStage): boolean {
  const action: IrqAction = {
    *handler(): Step<number> {
      return IrqReturn.NONE;
    },
  };
  const { host, level } = world.machine;
  const result = run(host.requestIrq(level, action, Irqf.NO_AUTOEN, "test", action));
  if (result === 0) run(host.freeIrq(level, action));
  return result === 0;
}

/** Down to the host's driver and back, by the files of 2.1 and in the order of 2.7. */
function rebind(world: PciStage, name: string): void {
  const file = (path: string): string => `/sys/bus/pci/${path}`;
  expect(world.write(file(`drivers/vfio-pci/unbind`), name)).toBeGreaterThan(0);
  expect(world.write(file(`drivers/vfio-pci/unbind`), name)).toBe(-ENODEV);
  expect(world.write(file(`devices/${name}/driver_override`), "\n")).toBeGreaterThan(0);
  expect(world.write(file("drivers/e1000e/bind"), name)).toBeGreaterThan(0);
  expect(world.write(file("drivers/e1000e/bind"), name)).toBe(-EBUSY);
  expect(world.write(file(`devices/${name}/driver/unbind`), name)).toBeGreaterThan(0);
  expect(world.write(file("drivers/vfio-pci/new_id"), "8086 10d3")).toBeGreaterThan(0);
  expect(run(world.sysfs.readlink(file(`devices/${name}/driver`)))).toBe("/sys/bus/pci/drivers/vfio-pci");
}

describe.each(CONTAINER_PROFILES)("a session under %s", (name) => {
  it("bind, group, container, memory, device, interrupts, reset, close", () => {
    const world = new PciStage(optionsOf(name));
    rebind(world, world.A.name);
    const [c, g] = [world.open("/dev/vfio/vfio"), world.open("/dev/vfio/12")];
    expect([world.ioctl(c, uapi.VFIO_GET_API_VERSION, 0), world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 3)]).toEqual([0, 1]);
    expect(world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8, 0)).toBe(0);
    expect(world.answer(4)).toBe(1);
    expect([world.setContainer(g, c), world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)]).toEqual([0, 0]);
    expect(world.map(c, 0n, 0x2000n)).toBe(0);
    const d = world.deviceFd(g, world.A.name);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(0);
    expect([world.answer(4), world.answer(8), world.answer(12)]).toEqual([3, 9, 5]);
    const [E, U, M] = [world.eventfd(), world.eventfd(), world.eventfd()];
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U)).toBe(0);
    world.intx(true);
    expect([world.count(E), world.isDisIntx]).toEqual([1, true]);
    world.intx(false);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    expect(world.isDisIntx).toBe(false);
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0)).toBe(0);
    world.configWrite(d, 4, 2, 6);
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, M)).toBe(0);
    world.event(0);
    expect(world.count(M)).toBe(1);
    expect(world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    expect(world.unmap(c, 0n, 0x2000n)).toEqual([0, 0x2000n]);
    for (const fd of [d, g, c]) expect(world.close(fd)).toBe(0);
    expect([world.process.lockedMemory, world.open("/dev/vfio/12") >= 0]).toEqual([0, true]);
  });

  it.each(["dgc", "dcg", "gdc", "gcd", "cdg", "cgd"])("closes in the order %s with one end: nothing locked, nothing owned, ready for the next", (order) => {
    const world = new PciStage(optionsOf(name));
    const fds: Record<string, number> = world.ready();
    world.map(fds.c, 0n, 0x2000n);
    const E = world.eventfd();
    world.setIrqs(fds.d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    for (const which of order) expect(world.close(fds[which])).toBe(0);
    world.intx(true);
    expect([world.count(E), world.process.lockedMemory, world.counters().containerUsers]).toEqual([0, 0, 0]);
    world.intx(false);
    const again = world.ready();
    expect(world.map(again.c, 0n, 0x1000n)).toBe(0);
  });

  it("a hot reset takes what the caller shows groups for, and nothing where one is missing", () => {
    const world = new PciStage({ ...optionsOf(name), separateGroups: true });
    const { c, g, d } = world.ready();
    const other = world.open("/dev/vfio/13");
    const hot = (...groups: number[]): number => world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 12 + 4 * groups.length, 0, groups.length, ...groups);
    const resets = (): number[] => [world.A.fn.resets, world.B.fn.resets];
    const before = resets();
    expect([hot(g), hot(other), hot(g, g)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(resets()).toEqual(before);
    expect(hot(g, other)).toBe(0);
    expect(resets()).toEqual(before.map((count) => count + 1));
    for (const fd of [d, other, g, c]) world.close(fd);
  });

  it("a host driver on a member keeps the group away, each kernel in its way", () => {
    const world = new PciStage(optionsOf(name));
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    world.write(`/sys/bus/pci/devices/${world.B.name}/driver_override`, "\n");
    world.write("/sys/bus/pci/drivers/e1000e/bind", world.B.name);
    const [c, g] = [world.open("/dev/vfio/vfio"), world.open("/dev/vfio/12")];
    world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8, 0);
    expect(world.answer(4) & 1).toBe(0);
    // v5 looks when a device is opened; what came later asks who owns the DMA, at once.
    if (name === "v5") {
      expect([world.setContainer(g, c), world.ioctl(c, uapi.VFIO_SET_IOMMU, 3), world.deviceFd(g, world.A.name)]).toEqual([0, 0, -EINVAL]);
    } else expect(world.setContainer(g, c)).toBe(-EPERM);
  });
});

describe("what v5 has and has not", () => {
  it("0.4: no iommufd and no node of a device's own, which modern has", () => {
    const paths = (name: VfioProfileName): string[] => new PciStage(optionsOf(name)).nodes.paths();
    expect(paths("v5")).toEqual(["/dev/vfio/12", "/dev/vfio/99", "/dev/vfio/vfio"]);
    expect(paths("modern")).toEqual(expect.arrayContaining(["/dev/iommu", "/dev/vfio/devices/vfio0"]));
    const v5 = new PciStage(optionsOf("v5"));
    expect([v5.open("/dev/iommu"), v5.open("/dev/vfio/devices/vfio0")]).toEqual([-ENOENT, -ENOENT]);
  });

  it("15.1: the features up to migration's: later ones are unknown, not refused", () => {
    const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
    const ids = { 0: SET, 2: GET, 3: SET, 4: SET, 5: SET, 6: SET, 7: SET, 8: GET, 9: GET, 12: SET };
    const probes = (name: VfioProfileName): Record<string, number> => {
      const { vfio, ...rest } = optionsOf(name);
      const world = new PciStage({ ...rest, vfio: { ...vfio, migration: () => ({ flags: 7, *step() { return 0; }, *save() { return new Uint8Array(); }, *load() { return true; } }), dmaLog: (pci) => new DmaLog(pci.root.host.sim) } });
      const { d } = world.ready();
      return Object.fromEntries(Object.entries(ids).map(([id, operation]) => [id, world.call(d, uapi.VFIO_DEVICE_FEATURE, 64, PROBE | operation | Number(id))]));
    };
    expect(probes("v5")).toEqual({ 0: -ENOTTY, 2: 0, 3: -ENOTTY, 4: -ENOTTY, 5: -ENOTTY, 6: -ENOTTY, 7: -ENOTTY, 8: -ENOTTY, 9: -ENOTTY, 12: -ENOTTY });
    expect(probes("modern")).toEqual({ 0: -ENOTTY, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0, 12: 0 });
  });

  it("7.4, 10.4: MSI-X all at once, over a host that could give a vector more", () => {
    for (const [name, flags, result] of [["v5", 9, -EINVAL], ["modern", 1, 0]] as const) {
      const world = new PciStage({ ...optionsOf(name), allocatesDynamically: true });
      const { d } = world.ready();
      expect(world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 2, 0)).toBe(0);
      expect([name, world.answer(4)]).toEqual([name, flags]);
      expect(world.setIrqs(d, 2, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(0);
      expect([name, world.setIrqs(d, 2, EVENTFD | TRIGGER, 5, 1, world.eventfd())]).toEqual([name, result]);
    }
  });

  it("17.2: type 6 is version 2 over domains that can nest, and the driver's error where one cannot", () => {
    const world = new VfioStage({ ...VFIO_PROFILES.v5.type1 });
    const { c } = world.ready(uapi.VFIO_TYPE1_NESTING_IOMMU);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, 6)).toBe(1);
    expect([world.map(c, 0n, 0x2000n), world.unmap(c, 0n, 0x1000n)[0]]).toEqual([0, -EINVAL]);
    const flat = new VfioStage({ ...VFIO_PROFILES.v5.type1, canNest: false });
    const second = flat.open("/dev/vfio/vfio");
    flat.setContainer(flat.open("/dev/vfio/12"), second);
    expect([flat.ioctl(second, uapi.VFIO_SET_IOMMU, 6), flat.ioctl(second, uapi.VFIO_SET_IOMMU, 3)]).toEqual([-EINVAL, 0]);
  });

  it("16.3: a platform device's line is requested with its trigger, and stays masked over the change of triggers", () => {
    for (const [name, freeAtOpen] of [["v5", true], ["modern", false]] as const) {
      const world = new VfioStage({ platform: VFIO_PROFILES[name].platform });
      const { d } = world.ready();
      expect([name, isLineFree(world)]).toEqual([name, freeAtOpen]);
      const [E, F] = [world.eventfd(), world.eventfd()];
      expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
      world.line(true);
      expect([isLineFree(world), world.take(E)]).toEqual([false, 1]);
      expect(world.setIrqs(d, 0, EVENTFD | TRIGGER, 0, 1, F)).toBe(0);
      expect(world.take(F)).toBe(-EAGAIN);
      expect(world.setIrqs(d, 0, NONE | UNMASK, 0, 1)).toBe(0);
      world.settle();
      expect(world.take(F)).toBe(1);
      world.line(false);
      expect(world.setIrqs(d, 0, NONE | MASK, 0, 1)).toBe(0);
      expect(world.setIrqs(d, 0, NONE | TRIGGER, 0, 0)).toBe(0);
      expect([name, isLineFree(world)]).toEqual([name, freeAtOpen]);
      expect(world.setIrqs(d, 1, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
      world.machine.pulse(EDGE_SPI);
      expect(world.take(E)).toBe(1);
      world.close(d);
      expect(isLineFree(world)).toBe(true);
    }
  });
});

describe("a session under draft2011", () => {
  it("group, address space, memory, device, interrupt, reset: every order of closing ends alike", () => {
    for (const order of ["dgi", "dig", "gdi", "gid", "idg", "igd"]) {
      const world = new PciStage(optionsOf("draft2011"));
      const g = world.open("/dev/vfio/12");
      const i = world.ioctl(g, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
      expect(world.call(i, draft.DRAFT_IOMMU_MAP_DMA, 32, 3, MEMORY, 0, 0, 0, 0x2000, 0)).toBe(0);
      world.process.memory.copyOut(0x1000, new TextEncoder().encode(`${world.A.name}\0`));
      const d = world.ioctl(g, draft.DRAFT_GROUP_GET_DEVICE_FD, 0x1000);
      const E = world.eventfd();
      expect(world.call(d, draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS, 20, 0, INTX, 1, E)).toBe(0);
      world.intx(true);
      expect([world.count(E), world.ioctl(d, draft.DRAFT_DEVICE_RESET, 0)]).toEqual([1, 0]);
      world.intx(false);
      const fds: Record<string, number> = { d, g, i };
      for (const which of order) expect(world.close(fds[which])).toBe(0);
      expect([order, world.process.lockedMemory, world.counters().containerUsers]).toEqual([order, 0, 0]);
    }
  });
});
