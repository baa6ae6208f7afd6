import { describe, expect, it } from "vitest";
import { type XenGuest, XenHypervisor } from "../../host/xen/hypervisor.js";
import { run } from "../../sim/step.js";
import { EBUSY, EINVAL, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { MEMORY } from "../../explore/stages/vfio-stage.js";
import { PciStage } from "../../explore/stages/pci-stage.js";
import { GUEST } from "./iommu-stage.fixture.js";
import { XenIommuBackend } from "./xen.js";

describe("21.3: memory of a guest of Xen", () => {
  /** Machine frames by page of MEMORY: runs of 70, 70 and 60 pages. */
  const runs = (page: number): number => (page < 70 ? 0x1000 : page < 140 ? 0x3000 : 0x5000) + page;

  class Xen extends XenHypervisor {
    guest(id: number): XenGuest {
      return this.made.get(id) ?? this.addGuest(id);
    }
    private readonly made = new Map<number, XenGuest>();
    override addGuest(id: number): XenGuest {
      const guest = super.addGuest(id);
      this.made.set(id, guest);
      return guest;
    }
  }

  function stage(options: ConstructorParameters<typeof XenHypervisor>[1] = {}): { world: PciStage; xen: Xen; calls: string[]; c: number } {
    const world = new PciStage();
    const calls: string[] = [];
    const xen = new Xen(world.sim, { frameOf: (_process, address) => runs((address - MEMORY) / 4096), ...options });
    xen.addGuest(GUEST);
    const inner = xen.memoryMapping.bind(xen);
    xen.memoryMapping = (...args: Parameters<typeof inner>) => {
      calls.push(`${args[4] ? "+" : "-"}${args[3]}@${args[1]}`);
      return inner(...args);
    };
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU);
    return { world, xen, calls, c };
  }

  it("vector 97: is mapped run by run, 64 frames a call, and a call that fails undoes those before it", () => {
    const { world, xen, calls, c } = stage();
    expect(world.map(c, 0n, 0xc_8000n)).toBe(0);
    expect(run(xen.guest(GUEST).frames())).toBe(200);
    expect(calls).toEqual(["+64@0", "+6@64", "+64@70", "+6@134", "+60@140"]);
    expect(world.unmap(c, 0n, 0xc_8000n)).toEqual([0, 0xc_8000n]);
    expect(run(xen.guest(GUEST).frames())).toBe(0);
    const failing = stage({ mappingResult: (gfn) => (gfn === 70 ? -12 : 0) });
    expect(failing.world.map(failing.c, 0n, 0xc_8000n)).toBe(-12);
    expect(failing.calls).toEqual(["+64@0", "+6@64", "+64@70", "-6@64", "-64@0"]);
    expect(run(failing.xen.guest(GUEST).frames())).toBe(0);
    expect([failing.world.process.lockedMemory, failing.world.unmap(failing.c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL)]).toEqual([0, [0, 0n]]);
  });

  it("vector 98: frames that may not be given are not, and nothing of the mapping is left", () => {
    const { world, xen, c } = stage({ iomemPermission: (mfn) => mfn < 0x5000 });
    expect(world.map(c, 0n, 0xc_8000n)).toBe(-EPERM);
    expect([world.process.lockedMemory, run(xen.memoryMapping(GUEST, 0, 0x1000, 65, true))]).toEqual([0, -7]);
    expect(run(xen.memoryMapping(GUEST, 0, 2 ** 34, 1, true))).toBe(-EINVAL);
  });

  it("a member that another guest has is refused, and those before it go back", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim);
    xen.addGuest(GUEST);
    xen.addGuest(6);
    run(xen.assign(world.B.name, 6));
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EBUSY);
    expect(run(xen.ownerOf(world.A.name))).toBe(0);
  });

  it("21.3: a group that leaves takes its devices from the guest, and they can be another's", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim);
    xen.addGuest(GUEST);
    xen.addGuest(6);
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const { g, d } = world.ready(uapi.VFIO_XEN_IOMMU);
    const owners = (): number[] => [world.A, world.B].map(({ name }) => run(xen.ownerOf(name)));
    expect([owners(), run(xen.assign(world.A.name, 6)) < 0]).toEqual([[GUEST, GUEST], true]);
    world.close(d);
    expect([world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0), owners(), run(xen.assign(world.A.name, 6))]).toEqual([0, [0, 0], 0]);
  });

  it("is the control domain's to give", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim, { callerDomain: 3 });
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EPERM);
  });
});
