import { describe, expect, it } from "vitest";
import * as A from "../../uapi/arm.js";
import { E2BIG, EBUSY, EEXIST, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { run } from "../../sim/step.js";
import { ArmMachine } from "../../explore/stages/arm-machine.js";
import { BusKind } from "../io-bus.js";

const { KVM_DEV_ARM_VGIC_GRP_ADDR: ADDR, KVM_DEV_ARM_VGIC_GRP_CTRL: CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS: NR_IRQS, KVM_DEV_ARM_VGIC_GRP_DIST_REGS: DIST_REGS, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS: REDIST_REGS } = A;
const GENERIC_V8 = 5;
const VALUE = 0x4f000;
const GICD = 0x08000000;

/** A VM with vCPUs 0 and 1 and a GICv3 of which nothing is set. */
function fresh() {
  const m = new ArmMachine();
  const vm = m.createVm();
  const vcpus = [0, 1].map((id) => m.ioctl(vm, K.KVM_CREATE_VCPU, id));
  for (const vcpu of vcpus) expect(m.ioctlOn(vcpu, K.KVM_ARM_VCPU_INIT, K.kvm_vcpu_init, (view) => K.kvm_vcpu_init.target.set(view, GENERIC_V8))).toBe(0);
  const gic = m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_V3);
  const set = (group: number, attr: number, low = 0, high = 0): number => m.setAttr(gic, group, attr, [low, high]);
  const get = (group: number, attr: number): number => m.attr(K.KVM_GET_DEVICE_ATTR, gic, group, attr, [0, 0]) || m.process.memory.getU32(VALUE);
  return { m, vm, vcpus, gic, set, get };
}

describe("the vGICv3 device by its descriptor (gic.md D3)", () => {
  it("vectors VA1, VA4, VA6, VA15: one controller, set up once", () => {
    const { m, vm, gic, set } = fresh();
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_V3)).toBe(-EEXIST);
    expect([set(NR_IRQS, 0, 63), set(NR_IRQS, 0, 128)]).toEqual([-EINVAL, 0]);
    expect([set(ADDR, 2, 0x100), set(ADDR, 2, 0, 0x100), set(ADDR, 2, GICD), set(ADDR, 2, GICD)]).toEqual([-EINVAL, -E2BIG, 0, -EEXIST]);
    expect(m.attr(K.KVM_SET_DEVICE_ATTR, gic, NR_IRQS, 0, [], 0x10)).toBe(-EFAULT);
    expect([set(CTRL, 0), set(CTRL, 0), set(NR_IRQS, 0, 128), m.ioctl(vm, K.KVM_CREATE_VCPU, 2)]).toEqual([0, 0, -EBUSY, -EBUSY]);
    expect(m.attr(K.KVM_HAS_DEVICE_ATTR, gic, ADDR, 4)).toBe(-ENXIO);
  });

  it("vector VA16: KVM_RUN wants every redistributor and INIT", () => {
    const { m, vcpus, set } = fresh();
    set(ADDR, 2, GICD);
    expect(m.ioctl(vcpus[0], K.KVM_RUN, 0)).toBe(-ENXIO);
    set(ADDR, 3, 0x080a0000);
    expect(m.ioctl(vcpus[0], K.KVM_RUN, 0)).toBe(-EBUSY);
  });

  it("frames answer on the VM's bus: redistributors at once, the distributor from the first run on", () => {
    const { m, vm, set, get } = fresh();
    for (const [attr, address] of [[2, GICD], [3, 0x080a0000]]) expect(set(ADDR, attr, address)).toBe(0);
    expect(set(CTRL, 0)).toBe(0);
    const kvm = m.vm(vm);
    const read = (address: number): number | null => (run(kvm.buses.guestRead(BusKind.MMIO, kvm.vcpus[0], address, 4)) ? kvm.buses.low >>> 0 : null);
    expect([read(0x080affe8), read(0x080cffe8), read(0x080effe8), read(GICD + 8)]).toEqual([0x3b, 0x3b, null, null]);
    expect(run(m.vgic(vm).mapResources())).toBe(0);
    expect([read(GICD + 8), get(DIST_REGS, 8), get(REDIST_REGS, 2 ** 32 + 8)]).toEqual([0x4b00343b, 0x4b00343b, 0x110]);
    expect(run(kvm.buses.guestWrite(BusKind.MMIO, kvm.vcpus[1], GICD + 0x104, 4, 1 << 8, 0))).toBe(true);
    expect(m.irq(vm, 40).enabled).toBe(true);
  });

  it("vectors VA42, VA65: KVM_IRQ_LINE with what does not exist", () => {
    const { m, vm, set } = fresh();
    expect(m.irqLine(vm, 0x01000028, 1)).toBe(-EBUSY);
    expect(set(CTRL, 0)).toBe(0);
    expect([0x01000100, 0x010000ff].map((irq) => m.irqLine(vm, irq, 1))).toEqual([-EINVAL, 0]);
    expect(m.irqLine(vm, 0x02000005, 1)).toBe(-EINVAL); // a PPI below 16
    expect([0x00000000, 0x0100001f, 0x0209001b, 0x03000020].map((irq) => m.irqLine(vm, irq, 1))).toEqual([-ENXIO, -EINVAL, -EINVAL, -EINVAL]);
  });

  it("vector VA66: a route's pin is an SPI", () => {
    const { m, vm, set } = fresh();
    expect(set(CTRL, 0)).toBe(0);
    const route = (chip: number, pin: number): number => m.route(vm, [{ gsi: 1, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [chip, pin] }]);
    expect([route(0, 988), route(1, 0), route(0, 5)]).toEqual([-EINVAL, -EINVAL, 0]);
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 1)).toBe(0);
    m.write(e, 1);
    expect([m.irq(vm, 37).pendingLatch, m.irq(vm, 33).pendingLatch]).toEqual([true, false]);
  });
});
