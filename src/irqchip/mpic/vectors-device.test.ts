import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { E500 } from "./e500.fixture.js";

const SPURIOUS = 0xffff;

describe("mpic.md 11: the device", () => {
  it("35, 36, 42: registers by attribute: nobody accesses them, with every side effect", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    e.connect(e.vcpu(0).fd, device, 0);
    expect([e.set(device, 2, 0x1090, 1), e.get(device, 2, 2), e.get(device, 2, 0x5000), e.get(device, 2, 0x1601), e.get(device, 2, 0xa0)]).toEqual([-ENXIO, -ENXIO, -ENXIO, -ENXIO, 0xffff_ffff]);
    e.set(device, 2, 0x20080, 0);
    e.set(device, 2, 0x10070, 1);
    e.set(device, 2, 0x10060, 0x00080043);
    e.set(device, 3, 3, 1);
    expect([e.get(device, 2, 0x200a0), e.get(device, 2, 0x200a0)]).toEqual([0x43, SPURIOUS]);
  });

  it("37: inputs by attribute, IPI 0 by an off-by-one", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    expect([e.set(device, 3, 256, 1), e.get(device, 3, 256), e.set(device, 3, 257, 1), e.get(device, 3, 257), e.set(device, 3, 3, 2), e.get(device, 3, 3)]).toEqual([0, 1, -EINVAL, -EINVAL, -EINVAL, 0]);
    const has = (group: number, attr: number): number => e.m.attr(K.KVM_HAS_DEVICE_ATTR, device, group, attr);
    expect([has(1, 0), has(1, 1), has(2, 0x5001), has(3, 256), has(3, 257), has(4, 0)]).toEqual([0, -ENXIO, 0, 0, -ENXIO, -ENXIO]);
    expect([e.set(device, 4, 0), e.get(device, 0, 0), e.m.attr(K.KVM_SET_DEVICE_ATTR, device, 3, 3, [], 0x10)]).toEqual([-ENXIO, -ENXIO, -EFAULT]);
  });

  it("38: the base address maps and unmaps the window", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const { fd, vcpu } = e.vcpu(0);
    e.connect(fd, device, 0);
    const { buses } = e.m.vm(e.vm);
    const isThere = (): boolean => run(buses.guestRead(0, vcpu, 0xe0040000, 4));
    expect([e.set(device, 1, 0, 0x1000, 0), isThere(), e.set(device, 1, 0, 0xe0040000, 0), isThere(), buses.low, e.get(device, 1, 0)]).toEqual([-EINVAL, false, 0, true, 0x00400200, 0xe0040000]);
    expect([e.set(device, 1, 0, 0, 0), isThere()]).toEqual([0, false]);
  });

  it("39: one MPIC of whichever model; XICS is not there", () => {
    const e = new E500();
    expect(e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20)).toBeGreaterThan(0);
    expect([e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20), e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_42), e.m.createDevice(e.vm, K.KVM_DEV_TYPE_XICS)]).toEqual([-EINVAL, -EINVAL, -19]);
  });

  it("40: connecting, in the order of its tests", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const [a, b] = [e.vcpu(0).fd, e.vcpu(1).fd];
    expect([e.connect(a, device, 32), e.connect(a, e.vm, 0), e.connect(a, 99, 0), e.connect(a, device, 0), e.connect(b, device, 0), e.connect(a, device, 1)]).toEqual([-EPERM, -EPERM, -EBADF, 0, -EEXIST, -EBUSY]);
  });

  it("40: a slot that is taken comes before a vCPU that is busy", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const [a, b] = [e.vcpu(0).fd, e.vcpu(1).fd];
    e.connect(a, device, 0);
    e.connect(b, device, 1);
    expect(e.connect(a, device, 1)).toBe(-EEXIST);
  });

  it("the number of an input is looked at before its value; a base that stays is not mapped anew (3)", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    expect(e.m.attr(K.KVM_SET_DEVICE_ATTR, device, 3, 257, [], 0x10)).toBe(-EINVAL);
    const { buses } = e.m.vm(e.vm);
    let mapped = 0;
    const { mmioBus } = e.m.vm(e.vm);
    const { register } = mmioBus;
    mmioBus.register = function* (...args) {
      mapped++;
      return yield* register.apply(this, args);
    };
    for (let i = 0; i < 2; i++) expect(e.set(device, 1, 0, 0xe0040000, 0)).toBe(0);
    expect([mapped, run(buses.guestRead(0, e.vcpu(0).vcpu, 0xe0040000, 4))]).toEqual([1, true]);
  });

  it("41: routes: pins below 256, messages to MSIIR wherever they point", () => {
    const e = new E500();
    const { m, vm } = e;
    expect(m.route(vm, [])).toBe(-EINVAL); // no controller yet
    const device = m.createDevice(vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const pin = (n: number) => ({ gsi: n, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [0, n] });
    const message = { gsi: 7, type: K.KVM_IRQ_ROUTING_MSI, words: [0xdead0000, 1, 0x25000000] };
    expect([m.route(vm, [pin(256)]), m.route(vm, [pin(255), message])]).toEqual([-EINVAL, 0]);
    expect([m.irqLine(vm, 7, 1), e.get(device, 3, 225), e.get(device, 2, 0x1610)]).toEqual([0, 1, 0x20]);
    const fd = m.eventfd();
    expect([m.irqfd(vm, fd, 255), m.write(fd, 1), e.get(device, 3, 255)]).toEqual([0, 8, 0]); // up, then down again
  });

  it("44, 45: guest accesses by width and alignment; a half read of IACK acknowledges and fails (M17)", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const { fd, vcpu } = e.vcpu(0);
    e.connect(fd, device, 0);
    e.set(device, 1, 0, 0xe0040000, 0);
    const { buses } = e.m.vm(e.vm);
    const read = (offset: number, size: number): number | null => (run(buses.guestRead(0, vcpu, 0xe0040000 + offset, size)) ? buses.low >>> 0 : null);
    expect([0x1000, 0x1001, 0x1002, 0x1003].map((offset) => read(offset, 1))).toEqual([0x00, 0xff, 0xff, 0xff]);
    expect([read(0x1002, 4), run(buses.guestWrite(0, vcpu, 0xe0041000, 2, 0, 0)), run(buses.guestWrite(0, vcpu, 0xe0041090, 4, 1, 0))]).toEqual([null, false, false]);
    e.set(device, 2, 0x20080, 0);
    e.set(device, 2, 0x10070, 1);
    e.set(device, 2, 0x10060, 0x00080043);
    e.set(device, 3, 3, 1);
    expect([read(0xa0, 2), read(0xa0, 4)]).toEqual([null, SPURIOUS]);
  });

  it("46: a v4.2 in proxy mode is acknowledged by KVM as its vCPU takes the interrupt", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_42);
    const { fd, vcpu } = e.vcpu(0);
    e.connect(fd, device, 0);
    for (const [offset, value] of [[0x1020, 0x60000000], [0x20080, 0], [0x10290, 1], [0x10280, 0x00080050]] as const) e.set(device, 2, offset, value);
    e.set(device, 3, 20, 1);
    vcpu.regs.isEnabled = true;
    run(vcpu.flush());
    expect([vcpu.regs.epr, vcpu.regs.pc, vcpu.regs.isEnabled, vcpu.arch.mpicDevice?.mpic.cpus[0].servicing.has(20)]).toEqual([0x50, 0x500, false, true]);
  });
});
