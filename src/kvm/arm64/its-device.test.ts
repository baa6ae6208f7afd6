import { describe, expect, it } from "vitest";
import { GITS_TRANSLATER } from "../../arch/gic/gits.js";
import { writeDistEnable } from "../../irqchip/gic/vgic-state.js";
import { run } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { EBUSY, EINVAL, ENODEV } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { ArmMachine } from "../../explore/stages/arm-machine.js";
import { BusKind } from "../io-bus.js";

const ITS = 0x08080000;
const REDISTRIBUTOR = 0x080a0000;
const RAM = 0x41000000;
const HVA = 0x10000000;
const QUEUE = 0x20000;
const GSI = 20;
const ROUTE = [{ gsi: GSI, type: K.KVM_IRQ_ROUTING_MSI, flags: K.KVM_MSI_VALID_DEVID, words: [ITS + GITS_TRANSLATER, 0, 4, 2] }];

/** A GICv3 VM of one vCPU with an ITS, whose guest has mapped event 4 of device 2 to LPI 8195. */
function withIts() {
  const m = new ArmMachine();
  const vm = m.a3();
  const its = m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_ITS);
  expect(its).toBeGreaterThan(0);
  m.process.memory.map(HVA, 0x100000);
  const slot = K.kvm_userspace_memory_region;
  expect(
    m.ioctlOn(vm, K.KVM_SET_USER_MEMORY_REGION, slot, (view) => {
      slot.guest_phys_addr.setNumber(view, RAM);
      slot.memory_size.setNumber(view, 0x100000);
      slot.userspace_addr.setNumber(view, HVA);
    }),
  ).toBe(0);
  expect(m.setAttr(its, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, [ITS, 0])).toBe(0);
  const kvm = m.vm(vm);
  const cpu = m.vgic(vm).dist.cpus[0];
  run(writeDistEnable(m.vgic(vm).dist, true, true));
  run(m.vgic(vm).dist.frames.redist(cpu).mmioWrite(cpu.vcpu, 0x70, 8, (RAM + 0x30000) | 0xf, 0));
  run(m.vgic(vm).dist.frames.redist(cpu).mmioWrite(cpu.vcpu, 0x78, 8, RAM + 0x40000, 0));
  run(m.vgic(vm).dist.frames.redist(cpu).mmioWrite(cpu.vcpu, 0, 4, 1, 0));
  const store = (offset: number, low: number, high = 0, size = 8): void => {
    expect(run(kvm.buses.guestWrite(BusKind.MMIO, kvm.vcpus[0], ITS + offset, size, low, high))).toBe(true);
  };
  store(0x100, RAM, 1 << 31);
  store(0x108, RAM + 0x10000, 1 << 31);
  store(0x80, RAM + QUEUE, 1 << 31);
  store(0, 1, 0, 4);
  m.process.memory.setU8(HVA + 0x30000 + 3, 0xa1);
  const words = [
    [0x08, 2, 4, 0, RAM + 0x50000, 1 << 31, 0, 0],
    [0x09, 0, 0, 0, 0, 1 << 31, 0, 0],
    [0x0a, 2, 4, 8195, 0, 0, 0, 0],
  ];
  words.flat().forEach((word, i) => m.process.memory.setU32(HVA + QUEUE + 4 * i, word >>> 0));
  store(0x88, 32 * words.length);
  return { m, vm, its, listed: () => cpu.apList.intids(), store };
}

describe("the ITS device by its descriptor (gic-its.md B1, B7)", () => {
  it("is none of a host with a GICv2", () => {
    const m = new ArmMachine(2);
    expect(m.createDevice(m.createVm(), K.KVM_DEV_TYPE_ARM_VGIC_ITS)).toBe(-ENODEV);
  });

  it("may be made before the GICv3, and belongs to it", () => {
    const m = new ArmMachine();
    const vm = m.a0();
    const its = m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_ITS);
    expect(its).toBeGreaterThan(0);
    expect(m.ioctl(vm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_MSI_DEVID)).toBe(1);
    expect(m.signalMsi(vm)).toBe(-EINVAL);
    expect(m.ioctl(vm, K.KVM_CREATE_VCPU, 0)).toBeGreaterThan(0);
    expect(m.setAttr(its, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, [ITS, 0])).toBe(0);
    expect(m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_V3)).toBeGreaterThan(0);
    const { dist } = m.vgic(vm);
    expect([dist.hasIts, dist.itses.length, dist.cpus.length, dist.itses[0].base]).toEqual([true, 1, 1, ITS]);
  });

  it("makes messages need a device id, which the VM says it takes", () => {
    const { m, vm } = withIts();
    expect(m.ioctl(vm, K.KVM_CHECK_EXTENSION, K.KVM_CAP_MSI_DEVID)).toBe(1);
    expect(m.signalMsi(vm)).toBe(-EINVAL);
  });

  it("several can be in a VM, each at its address", () => {
    const { m, vm } = withIts();
    const second = m.createDevice(vm, K.KVM_DEV_TYPE_ARM_VGIC_ITS);
    expect(m.setAttr(second, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, [REDISTRIBUTOR + 0x100000, 0])).toBe(0);
  });

  it("an irqfd's first message goes through the work item, the next ones through the cache in the callback", () => {
    const { m, vm, listed } = withIts();
    expect(m.route(vm, ROUTE)).toBe(0);
    const fd = m.eventfd();
    expect(m.irqfd(vm, fd, GSI)).toBe(0);
    m.events.hold();
    m.write(fd, 1);
    expect(listed()).toEqual([]);
    m.events.letGo();
    m.settle();
    expect(listed()).toEqual([8195]);
    m.trace.clear();
    m.events.hold();
    m.write(fd, 1);
    expect(m.trace.lines("kvm_set_irq")).toEqual([]);
    expect(listed()).toEqual([8195]);
  });

  it("an ITS that is off answers a message with EBUSY, and its frames are gone with the VM", () => {
    const { m, vm, store } = withIts();
    store(0, 0, 0, 4);
    const result = m.ioctlOn(vm, K.KVM_SIGNAL_MSI, K.kvm_msi, (view) => {
      K.kvm_msi.address_lo.set(view, ITS + GITS_TRANSLATER);
      K.kvm_msi.data.set(view, 4);
      K.kvm_msi.flags.set(view, K.KVM_MSI_VALID_DEVID);
      K.kvm_msi.devid.set(view, 2);
    });
    expect(result).toBe(-EBUSY);
  });
});
