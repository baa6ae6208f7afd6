import { describe, expect, it } from "vitest";
import { EFAULT, EINVAL, EIO, ENOTTY, ENXIO } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { X86 } from "./x86/x86.js";

describe("/dev/kvm", () => {
  it("answers its version to argument 0 only", () => {
    const m = new KvmMachine();
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 0)).toBe(12);
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
    expect(m.ioctl(m.kvm, K.KVM_GET_VCPU_MMAP_SIZE, 0)).toBe(8192);
    expect(m.ioctl(m.kvm, K.KVM_GET_VCPU_MMAP_SIZE, 1)).toBe(-EINVAL);
  });

  it("makes arm64 VMs whose type is an address size the host has", () => {
    const m = new KvmMachine();
    expect(m.createVm(0)).toBeGreaterThan(0);
    expect(m.createVm(40)).toBeGreaterThan(0);
    expect(m.createVm(31)).toBe(-EINVAL);
    expect(m.createVm(0x100)).toBe(-EINVAL);
    expect(m.createVm(49)).toBe(-EINVAL);
  });

  it("answers capabilities, and 0 for an unknown one", () => {
    const m = new KvmMachine();
    expect(m.ioctl(m.kvm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_IRQ_ROUTING)).toBe(4096);
    expect(m.ioctl(m.kvm, K.KVM_CHECK_EXTENSION, 9999)).toBe(0);
    expect(m.ioctl(m.createVm(), K.KVM_CHECK_EXTENSION, K.KVM_CAP_IRQFD_RESAMPLE)).toBe(1);
  });
});

describe("a VM descriptor", () => {
  it("answers unknown requests with EINVAL on arm64 and ENOTTY on x86", () => {
    const arm = new KvmMachine();
    expect(arm.ioctl(arm.createVm(), 0xaeff, 0)).toBe(-EINVAL);
    const x86 = new KvmMachine({ arch: new X86() });
    expect(x86.ioctl(x86.createVm(), 0xaeff, 0)).toBe(-ENOTTY);
  });

  it("refuses another address space, unknown requests included", () => {
    const m = new KvmMachine();
    const vm = m.createVm();
    const other = m.newProcess();
    const copy = m.process.sendFile(vm, other);
    expect(m.ioctl(copy, K.KVM_CHECK_EXTENSION, 0, other)).toBe(-EIO);
    expect(m.ioctl(copy, 0xaeff, 0, other)).toBe(-EIO);
  });

  it("enables capabilities: halt polling everywhere, reports without syndrome on arm64, nothing with flags", () => {
    const m = new KvmMachine();
    const fd = m.createVm();
    const enable = (cap: number, arg0: bigint, flags = 0) =>
      m.ioctlOn(fd, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
        K.kvm_enable_cap.cap.set(view, cap);
        K.kvm_enable_cap.flags.set(view, flags);
        K.kvm_enable_cap.args[0].setBig(view, arg0);
      });
    expect(enable(K.KVM_CAP_HALT_POLL, 200_000n)).toBe(0);
    expect(enable(K.KVM_CAP_HALT_POLL, 1n << 32n)).toBe(-EINVAL);
    expect(enable(K.KVM_CAP_HALT_POLL, 0n, 1)).toBe(-EINVAL);
    expect(enable(K.KVM_CAP_ARM_NISV_TO_USER, 0n)).toBe(0);
    expect(enable(K.KVM_CAP_SPLIT_IRQCHIP, 24n)).toBe(-EINVAL);
    expect([m.vm(fd).haltPollMaxNs, m.vm(fd).nisvToUser]).toEqual([200_000, true]);
  });

  it("has no attributes of its own on arm64, and does not know them on x86", () => {
    const arm = new KvmMachine();
    const vm = arm.createVm();
    expect(arm.attr(K.KVM_HAS_DEVICE_ATTR, vm, 0, 0)).toBe(-ENXIO);
    expect(arm.ioctl(vm, K.KVM_SET_DEVICE_ATTR, 0x10)).toBe(-EFAULT);
    expect(arm.attr(K.KVM_GET_DEVICE_ATTR, vm, 0, 0)).toBe(-EINVAL);
    const x86 = new KvmMachine({ arch: new X86() });
    expect(x86.attr(K.KVM_HAS_DEVICE_ATTR, x86.createVm(), 0, 0)).toBe(-ENOTTY);
  });

  it("destroys the VM when it is the last reference, not before", () => {
    const m = new KvmMachine();
    const fd = m.createVm();
    const vm = m.vm(fd);
    m.process.dup(fd);
    m.close(fd);
    expect(vm.isDestroyed).toBe(false);
    m.close(fd + 1);
    expect(vm.isDestroyed).toBe(true);
  });
});
