import { describe, expect, it } from "vitest";
import { PciStage } from "../../explore/stages/pci-stage.js";
import { DOM0, XenHypervisor, type XenOptions } from "../../host/xen/hypervisor.js";
import { run } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { VFIO_SET_IOMMU, VFIO_XEN_IOMMU } from "../../uapi/vfio.js";
import { XenIommuBackend } from "./xen.js";

const GUEST = 5;

function attached(options: XenOptions = {}) {
  const world = new PciStage();
  const xen = new XenHypervisor(world.sim, options);
  xen.addGuest(GUEST);
  world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
  const [c, g] = ["/dev/vfio/vfio", "/dev/vfio/12"].map((path) => world.open(path));
  world.setContainer(g, c);
  const result = world.ioctl(c, VFIO_SET_IOMMU, VFIO_XEN_IOMMU);
  const owners = [world.A, world.B, world.bridge].map(({ name }) => run(xen.ownerOf(name)));
  return { result, owners };
}

describe("a group above Xen (vfio.md 21.3)", () => {
  it("its functions go to the guest, its bridge stays", () => {
    expect(attached()).toEqual({ result: 0, owners: [GUEST, GUEST, DOM0] });
  });

  it("get_device_group (50): a function that Xen cannot part from one outside the group is not given, nor is any other", () => {
    const deviceGroup = (device: string): readonly string[] => (device.endsWith(".1") ? [device, "0000:07:00.0"] : [device]);
    expect(attached({ deviceGroup })).toEqual({ result: -EINVAL, owners: [DOM0, DOM0, DOM0] });
    expect(attached({ deviceGroup: () => ["0000:06:00.0", "0000:06:00.1"] }).result).toBe(0);
  });
});
