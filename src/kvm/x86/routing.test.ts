import { describe, expect, it } from "vitest";
import { EEXIST, EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { type RouteSpec, routingBytes } from "../../explore/stages/kvm-machine.js";
import { enableCap, LapicMachine, lineStatus, signalMsi, splitIrqchip, x86Vm } from "./core.fixture.js";

const { KVM_IRQ_ROUTING_IRQCHIP: IRQCHIP, KVM_IRQ_ROUTING_MSI: MSI } = K;
const [MASTER, SLAVE, IOAPIC] = [0, 1, 2];

const irqchip = (gsi: number, chip: number, pin: number, flags = 0): RouteSpec => ({ gsi, type: IRQCHIP, flags, words: [chip, pin] });
const msi = (gsi: number, flags = 0, high = 0): RouteSpec => ({ gsi, type: MSI, flags, words: [0xfee00000, high, 0x41] });

describe("kvm-irq-core.md 11.4, routing of an x86 VM", () => {
  it("vector 48: the header comes before the entries", () => {
    const { m, vm } = x86Vm("full");
    const atTheEnd = (nr: number, flags: number): number => {
      const bytes = routingBytes([], flags);
      K.kvm_irq_routing.nr.set(new DataView(bytes.buffer), nr);
      m.process.memory.copyOut(0x50000 - bytes.length, bytes);
      return m.ioctl(vm, K.KVM_SET_GSI_ROUTING, 0x50000 - bytes.length);
    };
    expect([atTheEnd(4097, 0), atTheEnd(0, 1), atTheEnd(1, 0)]).toEqual([-EINVAL, -EINVAL, -EFAULT]);
  });

  it("vector 50: an empty table leaves no route", () => {
    const { m, vm } = x86Vm("full");
    expect([m.route(vm, []), lineStatus(m, vm, 5, 1)]).toEqual([0, -1]);
  });

  it("vector 51: GSIs end at 4095", () => {
    const { m, vm } = x86Vm("full");
    expect([m.route(vm, [msi(4095)]), m.route(vm, [msi(4096)])]).toEqual([0, -EINVAL]);
  });

  it("vector 52: only MSI entries have a flag, and only one", () => {
    const { m, vm } = x86Vm("full");
    expect([m.route(vm, [irqchip(5, IOAPIC, 5, 1)]), m.route(vm, [msi(5, 1)]), m.route(vm, [msi(5, 2)])]).toEqual([-EINVAL, 0, -EINVAL]);
  });

  it("vector 53: entries of one GSI lead to different chips", () => {
    const { m, vm } = x86Vm("full");
    const tables = [
      [irqchip(5, IOAPIC, 5), irqchip(5, IOAPIC, 6)],
      [irqchip(5, IOAPIC, 5), irqchip(5, MASTER, 5)],
      [msi(5), irqchip(5, IOAPIC, 5)],
      [msi(5), msi(5)],
    ];
    expect(tables.map((table) => m.route(vm, table))).toEqual([-EINVAL, 0, -EINVAL, -EINVAL]);
  });

  it("vector 54: pins, chips and types that do not exist", () => {
    const { m, vm } = x86Vm("full");
    const entries = [irqchip(5, IOAPIC, 24), irqchip(5, SLAVE, 8), irqchip(5, 3, 0), ...[0, 3, 6].map((type) => ({ gsi: 5, type }))];
    expect(entries.map((entry) => m.route(vm, [entry]))).toEqual(entries.map(() => -EINVAL));
  });

  it("vector 55: split mode has MSI routes only", () => {
    const { m, vm } = x86Vm("split");
    expect([m.route(vm, [irqchip(5, IOAPIC, 5)]), m.route(vm, [msi(5)])]).toEqual([-EINVAL, 0]);
  });

  it("vector 56: a table is taken as a whole or not at all", () => {
    const { m, vm } = x86Vm("full");
    expect([m.route(vm, [msi(5), irqchip(6, 3, 0)]), lineStatus(m, vm, 5, 1)]).toEqual([-EINVAL, 1]);
  });

  it("vector 57: event channels are not built in", () => {
    const { m, vm } = x86Vm("full");
    expect(m.route(vm, [{ gsi: 5, type: K.KVM_IRQ_ROUTING_XEN_EVTCHN, words: [1, 0, 0] }])).toBe(-EINVAL);
  });

  it("vector 58: with 32-bit destination ids the low byte of address_hi must be 0", () => {
    const { m, vm } = x86Vm("full");
    expect(m.route(vm, [msi(5, 0, 1)])).toBe(0);
    expect(enableCap(m, vm, K.KVM_CAP_X2APIC_API, K.KVM_X2APIC_API_USE_32BIT_IDS)).toBe(0);
    expect([m.route(vm, [msi(5, 0, 1)]), m.route(vm, [msi(5, 0, 0x100)])]).toEqual([-EINVAL, 0]);
  });
});

describe("kvm-irq-core.md 11.4, lines and messages of an x86 VM", () => {
  it("vector 61: PIC and IOAPIC pin together", () => {
    const { m, vm } = x86Vm("full");
    expect([1, 1, 0, 1].map((level) => lineStatus(m, vm, 5, level))).toEqual([1, 1, 2, 0]);
  });

  it("vector 62: a masked edge pin", () => {
    const { m, vm } = x86Vm("full");
    expect([1, 1, 0, 1].map((level) => lineStatus(m, vm, 20, level))).toEqual([-1, 0, 1, -1]);
  });

  it("vector 63 (XS): split mode has lines, and no routes yet", () => {
    const none = x86Vm("none");
    expect(lineStatus(none.m, none.vm, 5, 1)).toBe(-ENXIO);
    const { m, vm } = x86Vm("split");
    expect(lineStatus(m, vm, 5, 1)).toBe(-1);
  });

  it("vector 64: KVM_IRQ_LINE writes nothing back", () => {
    const { m, vm } = x86Vm("full");
    let irq = 0;
    const fill = (view: DataView): void => {
      K.kvm_irq_level.irq.set(view, 5);
      K.kvm_irq_level.level.set(view, 1);
    };
    expect(m.ioctlOn(vm, K.KVM_IRQ_LINE, K.kvm_irq_level, fill, (view) => (irq = K.kvm_irq_level.irq.get(view)))).toBe(0);
    expect(irq).toBe(5);
  });

  it("vector 65: the low level of a message is nobody's", () => {
    const { m, vm } = x86Vm("full");
    m.route(vm, [msi(30)]);
    expect(lineStatus(m, vm, 30, 0)).toBe(-1);
  });

  it("vector 66: a message without a vCPU finds nobody: -1 is EPERM", () => {
    const { m, vm } = x86Vm("full");
    expect([signalMsi(m, vm, 0xfee00000, 0x40, 2), signalMsi(m, vm, 0xfee00000, 0x40, 1)]).toEqual([-EINVAL, -EPERM]);
  });

  it("vector 67: delivered, merged, nobody there, nobody who accepts", () => {
    const m = new LapicMachine();
    const send = (addressLo: number): unknown => m.result({ op: "signalMsi", args: { addressLo, data: 0x40 } });
    expect([send(0xfee00000), send(0xfee00000), m.pending(), send(0xfee07000)]).toEqual([1, 1, [0x40], 0]);
    m.do({ op: "setLapic", args: { state: { svr: 0xff } } });
    expect(send(0xfee00000)).toBe(0);
  });

  it("vector 74: an irqchip is created once, and before the vCPUs", () => {
    const { m, vm } = x86Vm("full");
    expect(m.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0)).toBe(-EEXIST);
    const late = m.createVm();
    expect(m.ioctl(late, K.KVM_CREATE_VCPU, 0)).toBeGreaterThan(0);
    expect(m.ioctl(late, K.KVM_CREATE_IRQCHIP, 0)).toBe(-EINVAL);
  });

  it("vector 75: so is a split one; its number of pins is looked at first", () => {
    const { m, vm } = x86Vm("none");
    expect(splitIrqchip(m, vm, 4097)).toBe(-EINVAL);
    expect(m.ioctl(vm, K.KVM_CREATE_VCPU, 0)).toBeGreaterThan(0);
    expect([splitIrqchip(m, vm, 4097), splitIrqchip(m, vm)]).toEqual([-EINVAL, -EEXIST]);
  });
});
