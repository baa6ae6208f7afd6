import { describe, expect, it } from "vitest";
import { EINVAL, EIO, ENOTTY } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { TestMachine } from "./kvm.fixture.js";
import { X86 } from "./x86.js";

describe("/dev/kvm", () => {
  it("answers its version to argument 0 only", () => {
    const m = new TestMachine();
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 0)).toBe(12);
    expect(m.ioctl(m.kvm, K.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
    expect(m.ioctl(m.kvm, K.KVM_GET_VCPU_MMAP_SIZE, 0)).toBe(8192);
    expect(m.ioctl(m.kvm, K.KVM_GET_VCPU_MMAP_SIZE, 1)).toBe(-EINVAL);
  });

  it("makes arm64 VMs whose type is an address size the host has", () => {
    const m = new TestMachine();
    expect(m.createVm(0)).toBeGreaterThan(0);
    expect(m.createVm(40)).toBeGreaterThan(0);
    expect(m.createVm(31)).toBe(-EINVAL);
    expect(m.createVm(0x100)).toBe(-EINVAL);
    expect(m.createVm(49)).toBe(-EINVAL);
  });

  it("answers capabilities, and 0 for an unknown one", () => {
    const m = new TestMachine();
    expect(m.ioctl(m.kvm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_IRQ_ROUTING)).toBe(4096);
    expect(m.ioctl(m.kvm, K.KVM_CHECK_EXTENSION, 9999)).toBe(0);
    expect(m.ioctl(m.createVm(), K.KVM_CHECK_EXTENSION, K.KVM_CAP_IRQFD_RESAMPLE)).toBe(1);
  });
});

describe("a VM descriptor", () => {
  it("answers unknown requests with EINVAL on arm64 and ENOTTY on x86", () => {
    const arm = new TestMachine();
    expect(arm.ioctl(arm.createVm(), 0xaeff, 0)).toBe(-EINVAL);
    const x86 = new TestMachine({ arch: new X86() });
    expect(x86.ioctl(x86.createVm(), 0xaeff, 0)).toBe(-ENOTTY);
  });

  it("refuses another address space, unknown requests included", () => {
    const m = new TestMachine();
    const vm = m.createVm();
    const other = m.newProcess();
    const copy = m.process.sendFile(vm, other);
    expect(m.ioctl(copy, K.KVM_CHECK_EXTENSION, 0, other)).toBe(-EIO);
    expect(m.ioctl(copy, 0xaeff, 0, other)).toBe(-EIO);
  });

  it("destroys the VM when it is the last reference, not before", () => {
    const m = new TestMachine();
    const fd = m.createVm();
    const vm = m.vm(fd);
    m.process.dup(fd);
    m.close(fd);
    expect(vm.isDestroyed).toBe(false);
    m.close(fd + 1);
    expect(vm.isDestroyed).toBe(true);
  });
});
