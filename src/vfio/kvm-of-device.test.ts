import { describe, expect, it } from "vitest";
import { Holder, PciStage } from "../explore/stages/pci-stage.js";
import { run } from "../sim/step.js";
import { EAGAIN } from "../uapi/errno.js";
import { VFIO_DEVICE_BIND_IOMMUFD } from "../uapi/vfio.js";
import { VfioFile } from "./contract.js";

// The VM that a device is told of (vfio.md 5.6).

/** KVM tracks a file, as KVM_DEV_VFIO_FILE_ADD has it do. */
function track(world: PciStage, fd: number, vm: object | null): void {
  const file = world.process.file(fd);
  if (!(file instanceof VfioFile)) throw new Error(`${fd} is no file of VFIO's`);
  run(file.setKvm(vm));
}

const VM = { name: "a VM" };

describe("5.6: the VM of a device", () => {
  it("is the group's at the first open, stays until the last close, and is forgotten then", () => {
    const world = new PciStage();
    const { g, d } = world.ready();
    expect(world.vfioA.kvm).toBeNull();
    // Tracked too late for what is open already.
    track(world, g, VM);
    expect(world.vfioA.kvm).toBeNull();
    world.close(d);
    const [first, second] = [world.deviceFd(g, world.A.name), world.deviceFd(g, world.A.name)];
    expect(world.vfioA.kvm).toBe(VM);
    track(world, g, null);
    world.close(first);
    expect(world.vfioA.kvm).toBe(VM);
    world.close(second);
    expect(world.vfioA.kvm).toBeNull();
    world.deviceFd(g, world.A.name);
    expect(world.vfioA.kvm).toBeNull();
  });

  it("is the file's own where the device is bound by it, and forgotten with the close, or with a bind that fails", () => {
    const world = new PciStage();
    const [iommufd, d] = [world.open("/dev/iommu"), world.open("/dev/vfio/devices/vfio2")];
    track(world, d, VM);
    const bind = (): number => world.call(d, VFIO_DEVICE_BIND_IOMMUFD, 16, 0, iommufd, 0);
    const holder = new Holder(world, world.A.lock);
    holder.toggle();
    expect([bind(), world.vfioA.kvm]).toEqual([-EAGAIN, null]);
    holder.toggle();
    expect([bind(), world.vfioA.kvm]).toEqual([0, VM]);
    world.close(d);
    expect(world.vfioA.kvm).toBeNull();
  });

  it("is not told to a device whose open fails", () => {
    const world = new PciStage();
    const { g, d } = world.ready();
    world.close(d);
    track(world, g, VM);
    new Holder(world, world.A.lock).toggle();
    expect([world.deviceFd(g, world.A.name), world.vfioA.kvm]).toEqual([-EAGAIN, null]);
  });
});
