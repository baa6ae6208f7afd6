import { describe, expect, it } from "vitest";
import { PhysicalXics } from "../host/xics/physical-xics.js";
import { XicsHost } from "../host/xics/xics-host.js";
import { run } from "../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EIO, EMFILE, ENODEV, ENOENT, ENOTTY, ENXIO, EPERM } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { VfioFile } from "../vfio/contract.js";
import type { Step } from "../sim/step.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { PpcModule } from "./powerpc/module.js";
import { Ppc } from "./powerpc/powerpc.js";
import { X86 } from "./x86/x86.js";

const VFIO = K.KVM_DEV_TYPE_VFIO;
const { KVM_DEV_VFIO_FILE: FILE, KVM_DEV_VFIO_FILE_ADD: ADD, KVM_DEV_VFIO_FILE_DEL: DEL, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: TCE } = K;

/** An opened group that notes what KVM tells it. */
class Group extends VfioFile {
  readonly kind = "vfio-group";
  readonly isGroupFile: boolean = true;
  kvm: object | null = null;
  coherent = true;
  released = false;

  override *setKvm(vm: object | null): Step<void> {
    this.kvm = vm;
  }

  override enforcesCoherency(): boolean {
    return this.coherent;
  }

  override *release(): Step<void> {
    this.released = true;
  }
}

class OpenedDevice extends Group {
  override readonly isGroupFile = false;
}

function device(arch = new X86()) {
  const m = new KvmMachine({ arch });
  const fd = m.createVm();
  return { m, fd, vm: m.vm(fd), dev: m.createDevice(fd, VFIO) };
}

describe("KVM_CREATE_DEVICE", () => {
  it("vector 76: TEST creates nothing and does not ask whether one exists", () => {
    const m = new KvmMachine();
    const vm = m.createVm();
    expect(m.createDevice(vm, VFIO, K.KVM_CREATE_DEVICE_TEST)).toBe(0);
    expect(m.createDevice(vm, VFIO)).toBeGreaterThan(0);
    expect(m.createDevice(vm, VFIO)).toBe(-EBUSY);
    expect(m.createDevice(vm, VFIO, K.KVM_CREATE_DEVICE_TEST)).toBe(0);
  });

  it("vector 77: unknown types are ENODEV, unknown flags are ignored", () => {
    const m = new KvmMachine();
    const vm = m.createVm();
    expect(m.createDevice(vm, 0)).toBe(-ENODEV);
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_MAX)).toBe(-ENODEV);
    expect(m.createDevice(vm, VFIO, 2)).toBeGreaterThan(0);
  });

  it("has no vGIC to offer where the host has no GIC", () => {
    const m = new KvmMachine();
    expect(m.createDevice(m.createVm(), K.KVM_DEV_TYPE_ARM_VGIC_V3)).toBe(-ENODEV);
    expect(m.ioctl(m.createVm(), K.KVM_CREATE_IRQCHIP, 0)).toBe(-ENXIO);
  });

  it("undoes the creation when no descriptor is left", () => {
    const m = new KvmMachine();
    const vm = m.createVm();
    while (m.process.hasFreeDescriptor()) m.process.dup(m.kvm);
    expect(m.createDevice(vm, VFIO)).toBe(-EMFILE);
    expect(m.vm(vm).devices).toEqual([]);
    m.close(m.kvm);
    expect(m.createDevice(vm, VFIO)).toBe(m.kvm);
  });
});

describe("a device descriptor", () => {
  it("vector 78: EPERM for a missing accessor comes before the argument is read", () => {
    const { m, dev } = device();
    expect(m.ioctl(dev, K.KVM_GET_DEVICE_ATTR, 0x10)).toBe(-EPERM);
    expect(m.ioctl(dev, K.KVM_SET_DEVICE_ATTR, 0x10)).toBe(-EFAULT);
    expect(m.ioctl(dev, 0xaeff, 0)).toBe(-ENOTTY);
    expect(run(m.process.mmap(dev, 4096, 0))).toBe(-ENODEV);
  });

  it("vector 79: unknown groups and attributes are ENXIO", () => {
    const { m, dev } = device();
    expect(m.setAttr(dev, 9, 0)).toBe(-ENXIO);
    expect(m.setAttr(dev, FILE, 9)).toBe(-ENXIO);
    expect([1, 2, 3].map((attr) => m.attr(K.KVM_HAS_DEVICE_ATTR, dev, FILE, attr))).toEqual([0, 0, -ENXIO]);
  });

  it("vector 80: FILE_ADD wants a VFIO file that it does not have yet, a dup counting as the same", () => {
    const { m, dev } = device();
    const group = new Group();
    const g = m.process.install(group);
    expect(m.attr(K.KVM_SET_DEVICE_ATTR, dev, FILE, ADD, [], 0x10)).toBe(-EFAULT);
    expect(m.setAttr(dev, FILE, ADD, [-1])).toBe(-EBADF);
    expect(m.setAttr(dev, FILE, ADD, [m.eventfd()])).toBe(-EINVAL);
    expect(m.setAttr(dev, FILE, ADD, [g])).toBe(0);
    const dup = m.process.dup(g);
    expect(m.setAttr(dev, FILE, ADD, [dup])).toBe(-EEXIST);
    for (const fd of [g, dup, dev]) m.close(fd);
    expect(group.released).toBe(true);
  });

  it("vector 81: a tracked file stays tracked when its descriptor closes; the number may belong to another", () => {
    const { m, dev, vm } = device();
    const group = new Group();
    const g = m.process.install(group);
    m.setAttr(dev, FILE, ADD, [g]);
    m.close(g);
    const h = m.process.install(new Group());
    expect(h).toBe(g);
    expect(m.setAttr(dev, FILE, DEL, [h])).toBe(-ENOENT);
    expect([group.released, group.kvm]).toEqual([false, vm]);
    m.close(dev);
    expect([group.released, group.kvm]).toEqual([true, null]);
  });

  it("vector 82: another process gets EIO for every attribute request", () => {
    const { m, dev } = device();
    const other = m.newProcess();
    const copy = m.process.sendFile(dev, other);
    for (const request of [K.KVM_SET_DEVICE_ATTR, K.KVM_GET_DEVICE_ATTR, K.KVM_HAS_DEVICE_ATTR])
      expect(m.ioctl(copy, request, 0x10, other)).toBe(-EIO);
  });

  it("vector 83: x86 does not know the forwarding group", () => {
    const { m, dev } = device();
    expect(m.attr(K.KVM_HAS_DEVICE_ATTR, dev, K.KVM_DEV_VFIO_DEVICE, 1)).toBe(-ENXIO);
    expect(m.setAttr(dev, K.KVM_DEV_VFIO_DEVICE, 1, [0, 0, 0, 0])).toBe(-ENXIO);
  });

  it("8.2: a table of translation entries is put before a tracked group on POWER alone, where no descriptor is one", () => {
    const m = new KvmMachine({ arch: new Ppc(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    const dev = m.createDevice(m.createVm(), VFIO);
    const [group, opened, other] = [new Group(), new OpenedDevice(), new Group()].map((file) => m.process.install(file));
    for (const fd of [group, opened]) expect(m.setAttr(dev, FILE, ADD, [fd])).toBe(0);
    const set = (...words: number[]): number => m.setAttr(dev, FILE, TCE, words);
    expect(m.attr(K.KVM_SET_DEVICE_ATTR, dev, FILE, TCE, [], 0xdead_0000)).toBe(-EFAULT);
    expect([set(99, group), set(other, group), set(opened, group), set(group, 99), set(group, group)]).toEqual([-EBADF, -ENOENT, -EIO, -EBADF, -EINVAL]);
    expect([2, 3, 4].map((attr) => m.attr(K.KVM_HAS_DEVICE_ATTR, dev, FILE, attr))).toEqual([0, 0, -ENXIO]);
    const x86 = device();
    expect([x86.m.attr(K.KVM_HAS_DEVICE_ATTR, x86.dev, FILE, TCE), x86.m.setAttr(x86.dev, FILE, TCE, [99, 99])]).toEqual([-ENXIO, -ENXIO]);
  });

  it("DEL drops the file and reports what is not tracked; coherency follows the files", () => {
    const { m, dev, vm } = device();
    const [a, b] = [new Group(), new Group()];
    b.coherent = false;
    const [fa, fb] = [m.process.install(a), m.process.install(b)];
    expect(m.setAttr(dev, FILE, DEL, [fa])).toBe(-ENOENT);
    expect(m.setAttr(dev, FILE, DEL, [99])).toBe(-EBADF);
    m.setAttr(dev, FILE, ADD, [fa]);
    expect(vm.nonCoherentDma).toBe(0);
    m.setAttr(dev, FILE, ADD, [fb]);
    expect(vm.nonCoherentDma).toBe(1);
    expect(m.setAttr(dev, FILE, DEL, [fb])).toBe(0);
    expect([vm.nonCoherentDma, b.kvm]).toEqual([0, null]);
  });

  it("keeps the VM alive, and a released one leaves room for another", () => {
    const { m, fd, vm, dev } = device();
    m.close(dev);
    const again = m.createDevice(fd, VFIO);
    expect(again).toBe(dev);
    m.close(fd);
    expect(vm.isDestroyed).toBe(false);
    m.close(again);
    expect(vm.isDestroyed).toBe(true);
  });
});
