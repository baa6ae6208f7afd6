import { describe, expect, it } from "vitest";
import { EACCES, EBUSY, EINVAL, ENODEV, EIO, ENOENT, ENOTTY, ERANGE } from "../uapi/errno.js";
import { run, type Step } from "../sim/step.js";
import * as uapi from "../uapi/vfio.js";
import type { PciStageOptions } from "../explore/stages/pci-stage.js";
import { NUMVFS, SriovStage, VF } from "../explore/stages/sriov-stage.js";
import { Thread } from "../explore/stages/threads.js";
import { VfioPciDriver } from "./backends/pci/driver.js";

// SR-IOV: virtual functions of a physical one that VFIO has (vfio.md 2.1, 2.3, 4.6).

const TOKEN = "01234567-89ab-cdef-0123-456789abcdef";
const OTHER = "11234567-89ab-cdef-0123-456789abcdef";

const stage = (enableSriov = true, isBesides = false, options: PciStageOptions = {}): SriovStage => new SriovStage({ vfio: { enableSriov }, ...options }, isBesides);

const setToken = (world: SriovStage, d: number, token: string): number => {
  const digits = token.replaceAll("-", "").match(/.{8}/g) ?? [];
  const words = digits.map((word) => (word.match(/../g) ?? []).reduceRight((sum, byte) => (sum << 8) | parseInt(byte, 16), 0));
  return world.call(d, uapi.VFIO_DEVICE_FEATURE, 24, uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, ...words);
};

describe("the token", () => {
  it("4.6: is given once, and alone", () => {
    const world = stage();
    const c = world.open("/dev/vfio/vfio");
    const g = world.open("/dev/vfio/12");
    world.setContainer(g, c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, 3);
    const { name } = world.A;
    const open = (...options: string[]): number => world.deviceFd(g, [name, ...options].join(" "));
    expect([open(`vf_token=${TOKEN}`, `vf_token=${TOKEN}`), open(`vf_token=${TOKEN}`, "colour=red")]).toEqual([-EINVAL, -EINVAL]);
    expect(open(`vf_token=${TOKEN}`)).toBeGreaterThan(0);
  });
});

describe("sriov_numvfs of a function that vfio-pci has", () => {
  it("is refused unless the module was told to, beyond what there is, and twice", () => {
    expect(stage(false).write(NUMVFS, "1")).toBe(-ENOENT);
    const world = stage();
    expect(world.write(NUMVFS, "2")).toBe(-ERANGE);
    expect(world.write(NUMVFS, "x")).toBe(-EINVAL);
    expect(world.write(NUMVFS, "1")).toBe(1);
    expect(world.write(NUMVFS, "1")).toBe(1);
  });

  it("gives virtual functions that are meant for the same driver, and takes them back", () => {
    const world = stage();
    expect(world.open("/dev/vfio/20")).toBe(-ENOENT);
    world.write(NUMVFS, "1\n");
    expect(world.cat(`/sys/bus/pci/devices/${VF}/driver_override`)).toBe("vfio-pci\n");
    const g = world.open("/dev/vfio/20");
    expect(g).toBeGreaterThanOrEqual(0);
    world.close(g);
    expect(world.write(NUMVFS, "0")).toBe(1);
    expect(world.pciBus.device(VF)).toBeNull();
  });

  it("12.4, 12.5: counts those that there are in a reset of their bus, which is refused without their group's file; the others are in no group either", () => {
    const world = stage(true, true);
    const { g, d } = world.ready();
    const [vf] = world.A.virtualFunctions;
    const seen = (): unknown[] => {
      const info = world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 100, 0, 0);
      return [info, world.answer(8), world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g), vf.group?.members, run(world.sysfs.read(NUMVFS))];
    };
    expect(seen()).toEqual([0, 2, 0, [], "0\n"]);
    world.write(NUMVFS, "1");
    expect(seen()).toEqual([0, 3, -EINVAL, [VF], "1\n"]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 20, 0, 2, g, world.virtualGroup())).toBe(0);
    world.write(NUMVFS, "0");
    expect(seen()).toEqual([0, 2, 0, [], "0\n"]);
    expect([run(world.sysfs.read(NUMVFS.replace("num", "total"))), run(world.sysfs.read(NUMVFS.replace("06:00.0", "06:00.1")))]).toEqual(["1\n", -ENOENT]);
  });

  it("12.2: one that is not there does not keep the last close from resetting the bus of functions that have no reset of their own", () => {
    const world = stage(true, true, { brokenResets: ["flr", "af_flr", "pm"] });
    const resets = (): number => {
      const before = world.B.fn.resets;
      const { c, g, d } = world.ready();
      for (const fd of [d, g, c]) world.close(fd);
      return world.B.fn.resets - before;
    };
    expect([resets(), world.write(NUMVFS, "1"), world.write(NUMVFS, "0"), resets()]).toEqual([1, 1, 1, 1]);
  });

  it("a physical function that has some from another driver is not vfio-pci's to bind", () => {
    const world = stage();
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name);
    world.A.virtualFunctionsEnabled = 1;
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/bind", world.A.name)).toBe(-EBUSY);
  });

  it("takes them away before it lets the physical one go, which can be bound and given some anew", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    const vf = world.A.virtualFunctions[0];
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name)).toBe(world.A.name.length);
    expect([world.pciBus.device(VF), world.A.virtualFunctionsEnabled, run(vf.boundDriver())]).toEqual([null, 0, null]);
    expect(world.open("/dev/vfio/20")).toBe(-ENODEV);
    expect(world.write("/sys/bus/pci/drivers/vfio-pci/bind", world.A.name)).toBe(world.A.name.length);
    expect([world.write(NUMVFS, "1"), world.pciBus.device(VF)]).toEqual([1, vf]);
  });

  it("waits for the user of a virtual one before it lets the physical one go", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    const { d } = world.ready();
    setToken(world, d, TOKEN);
    world.close(d);
    const v = world.deviceFd(world.virtualGroup(), `${VF} vf_token=${TOKEN}`);
    const log: unknown[] = [];
    function* unbind(): Step<void> {
      log.push(yield* world.sysfs.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name));
    }
    function* close(): Step<void> {
      log.push(world.configRead(v, 0, 2), world.pciBus.device(VF)?.name);
      yield* world.process.close(v);
    }
    world.sim.wake(new Thread("unbind", "user", unbind, 1), 0);
    world.sim.wake(new Thread("user", "user", close, 0), 1);
    world.settle();
    expect(log).toEqual([0x8086, VF, world.A.name.length]);
    expect(world.pciBus.device(VF)).toBeNull();
  });
});

describe("a virtual function", () => {
  it("vector 101: opens for who knows the token that the physical one's user has set", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    const { g } = world.ready();
    world.deviceFd(g, `${world.A.name} vf_token=${TOKEN}`);
    const vf = world.virtualGroup();
    expect(world.deviceFd(vf, VF)).toBe(-EACCES);
    expect(world.deviceFd(vf, `${VF} vf_token=${OTHER}`)).toBe(-EACCES);
    expect(world.deviceFd(vf, `${VF} vf_token=zz`)).toBe(-EINVAL);
    expect(world.deviceFd(vf, `${VF} vf_token=${TOKEN}`)).toBeGreaterThan(0);
  });

  it("4.6: asks for the token of a physical one that another VFIO driver has", () => {
    const world = stage();
    const variant = new VfioPciDriver(world.vfio, { enableSriov: true }, "mlx5-vfio-pci");
    world.pciBus.addDriver(variant);
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name);
    world.write(`/sys/bus/pci/devices/${world.A.name}/driver_override`, variant.name);
    world.write("/sys/bus/pci/drivers_probe", world.A.name);
    expect(world.write(NUMVFS, "1")).toBe(1);
    world.write(`/sys/bus/pci/drivers/${variant.name}/unbind`, VF);
    world.bind(VF);
    const vf = world.virtualGroup();
    expect(world.deviceFd(vf, VF)).toBe(-EACCES);
    expect(world.deviceFd(vf, `${VF} vf_token=${OTHER}`)).toBe(-EACCES);
  });

  it("23.28: while it is open, so does the physical one, and for nobody else", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    const { g, d } = world.ready();
    expect(setToken(world, d, TOKEN)).toBe(0);
    const vf = world.virtualGroup();
    const v = world.deviceFd(vf, `${VF} vf_token=${TOKEN.toUpperCase().replace("VF_TOKEN", "vf_token")}`);
    expect(v).toBeGreaterThan(0);
    expect(world.deviceFd(g, world.A.name)).toBe(-EACCES);
    expect(world.deviceFd(g, `${world.A.name} vf_token=${OTHER}`)).toBe(-EACCES);
    expect(world.deviceFd(g, `${world.A.name} vf_token=${TOKEN}`)).toBeGreaterThan(0);
    world.close(v);
    expect(world.deviceFd(g, `${world.A.name} vf_token=${OTHER}`)).toBeGreaterThan(0);
    expect(world.deviceFd(vf, `${VF} vf_token=${TOKEN}`)).toBe(-EACCES);
  });

  it("13.2, 13.3, 7.4: has the ids that its hardware does not show, no pin, and a memory enable of its own", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    world.deviceFd(world.ready().g, `${world.A.name} vf_token=${TOKEN}`);
    const v = world.deviceFd(world.virtualGroup(), `${VF} vf_token=${TOKEN}`);
    const vf = world.virtual;
    expect([run(vf.readConfig(0, 4)), run(vf.readConfig(2, 2)), world.configRead(v, 0, 4)]).toEqual([-1, 0xffff, 0x10ca_8086]);
    expect(world.configRead(v, 0x3d, 1)).toBe(0);
    expect([world.call(v, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 0, 0), world.answer(12)]).toEqual([0, 0]);
    expect([world.configRead(v, 4, 2) & 2, world.regionRead(v, 0, 4)]).toEqual([2, 0]);
    world.configWrite(v, 4, 2, 0);
    expect([world.configRead(v, 4, 2) & 2, vf.fn.peek(4, 2) & 2, world.regionRead(v, 0, 4)]).toEqual([0, 2, -EIO]);
  });

  it("tokens are for functions that have to do with virtual ones; the feature for the physical one", () => {
    const world = stage();
    world.write(NUMVFS, "1");
    const { g } = world.ready();
    expect(world.deviceFd(g, `${world.B.name} vf_token=${TOKEN}`)).toBe(-EINVAL);
    const b = world.deviceFd(g, world.B.name);
    expect(setToken(world, b, TOKEN)).toBe(-ENOTTY);
    expect(world.deviceFd(g, "0000:09:00.0")).toBe(-ENODEV);
  });
});
