import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EFAULT, EINVAL, ENXIO } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { type RouteSpec, routingBytes, KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { setIrq } from "./routing.js";
import { X86 } from "./x86/x86.js";

const { KVM_IRQ_ROUTING_IRQCHIP: IRQCHIP, KVM_IRQ_ROUTING_MSI: MSI } = K;
const [MASTER, SLAVE, IOAPIC] = [0, 1, 2];

function x86(mode: "full" | "split" = "full") {
  const m = new KvmMachine({ arch: new LineChip(mode) });
  const fd = m.createVm();
  const vm = m.vm(fd);
  const { arch: chip } = vm;
  if (!(chip instanceof LineChipVm)) throw new Error("not the line chip");
  return { m, fd, vm, chip };
}

const irqchip = (gsi: number, chip: number, pin: number, flags = 0): RouteSpec => ({ gsi, type: IRQCHIP, flags, words: [chip, pin] });
const msi = (gsi: number, data = 0x41, flags = 0, high = 0): RouteSpec => ({ gsi, type: MSI, flags, words: [0xfee00000, high, data] });

describe("KVM_SET_GSI_ROUTING", () => {
  it("vector 49: a VM without irqchip has no routing to set, not even an empty one", () => {
    const m = new KvmMachine({ arch: new X86() });
    expect(m.route(m.createVm(), [])).toBe(-EINVAL);
  });

  it("vector 59: arm64 checks chip and pin, not the number of SPIs, and knows no SINT", () => {
    const m = new KvmMachine();
    const fd = m.createVm();
    expect(m.route(fd, [irqchip(0, 0, 987)])).toBe(0);
    expect(m.route(fd, [irqchip(0, 0, 988)])).toBe(-EINVAL);
    expect(m.route(fd, [irqchip(0, 1, 0)])).toBe(-EINVAL);
    expect(m.route(fd, [{ gsi: 0, type: K.KVM_IRQ_ROUTING_HV_SINT }])).toBe(-EINVAL);
  });

  it("checks the header before it reads an entry", () => {
    const { m, fd } = x86();
    const unreadable = (nr: number, flags: number): number => {
      const bytes = routingBytes([], flags);
      K.kvm_irq_routing.nr.set(new DataView(bytes.buffer), nr);
      m.process.memory.copyOut(0x50000 - 8, bytes);
      return m.ioctl(fd, K.KVM_SET_GSI_ROUTING, 0x50000 - 8);
    };
    expect(m.ioctl(fd, K.KVM_SET_GSI_ROUTING, 0x50000 - 4)).toBe(-EFAULT);
    expect(unreadable(4097, 0)).toBe(-EINVAL);
    expect(unreadable(1, 1)).toBe(-EINVAL);
    expect(unreadable(1, 0)).toBe(-EFAULT);
    expect(unreadable(0, 0)).toBe(0);
  });

  it("takes GSIs below 4096 and looks at all of them before anything else", () => {
    const { m, fd } = x86();
    expect(m.route(fd, [msi(4095)])).toBe(0);
    expect(m.route(fd, [msi(4096)])).toBe(-EINVAL);
  });

  it("allows only MSI entries a flag, and only VALID_DEVID", () => {
    const { m, fd } = x86();
    expect(m.route(fd, [irqchip(5, IOAPIC, 5, 1)])).toBe(-EINVAL);
    expect(m.route(fd, [msi(5, 0, 1)])).toBe(0);
    expect(m.route(fd, [msi(5, 0, 2)])).toBe(-EINVAL);
  });

  it("lets entries share a GSI only if all lead to different chips", () => {
    const { m, fd } = x86();
    expect(m.route(fd, [irqchip(5, IOAPIC, 5), irqchip(5, IOAPIC, 6)])).toBe(-EINVAL);
    expect(m.route(fd, [irqchip(5, IOAPIC, 5), irqchip(5, MASTER, 5)])).toBe(0);
    expect(m.route(fd, [msi(5), irqchip(5, IOAPIC, 5)])).toBe(-EINVAL);
    expect(m.route(fd, [msi(5), msi(5)])).toBe(-EINVAL);
  });

  it("refuses x86 pins and chips that do not exist, and types it does not know", () => {
    const { m, fd } = x86();
    for (const bad of [irqchip(5, IOAPIC, 24), irqchip(5, SLAVE, 8), irqchip(5, 3, 0)]) expect(m.route(fd, [bad])).toBe(-EINVAL);
    for (const type of [0, 3, 4, 5, 6]) expect(m.route(fd, [{ gsi: 5, type }])).toBe(-EINVAL);
  });

  it("takes MSI routes alone in split mode", () => {
    const { m, fd } = x86("split");
    expect(m.route(fd, [irqchip(5, IOAPIC, 5)])).toBe(-EINVAL);
    expect(m.route(fd, [msi(5)])).toBe(0);
  });

  it("wants the low byte of address_hi zero in the x2APIC format", () => {
    const { m, fd, chip } = x86();
    expect(chip.enableCapability(K.KVM_CAP_X2APIC_API, K.KVM_X2APIC_API_USE_32BIT_IDS)).toBe(0);
    expect(m.route(fd, [msi(5, 0x41, 0, 0x1)])).toBe(-EINVAL);
    expect(m.route(fd, [msi(5, 0x41, 0, 0x100)])).toBe(0);
  });

  it("changes all or nothing", () => {
    const { m, fd, vm } = x86();
    m.route(fd, [irqchip(5, IOAPIC, 5)]);
    expect(m.route(fd, [irqchip(6, IOAPIC, 6), irqchip(7, 3, 0)])).toBe(-EINVAL);
    expect(run(setIrq(vm, 0, 5, 1, false))).toBe(1);
    expect(run(setIrq(vm, 0, 6, 1, false))).toBe(-1);
  });

  it("lets the last entry of the array win the reverse map; slave pins are reversed as 8 to 15", () => {
    const { m, fd, vm } = x86();
    m.route(fd, [irqchip(5, IOAPIC, 5), irqchip(6, IOAPIC, 5), irqchip(9, SLAVE, 1)]);
    const acked: number[] = [];
    const table = vm.routing;
    for (const [chip, pin] of [[IOAPIC, 5], [SLAVE, 9], [SLAVE, 1], [IOAPIC, 7]] as const) acked.push(table.gsiOf(chip, pin));
    expect(acked).toEqual([6, 9, -1, -1]);
  });

  it("swaps, then waits, then frees the old table", () => {
    const { m, fd, vm } = x86();
    const old = vm.routing;
    m.trace.clear();
    m.route(fd, [msi(1)]);
    expect(m.trace.lines("route_swap", "srcu_wait")).toEqual(["route_swap(1)", "srcu_wait(irq_srcu)"]);
    expect(() => old.routesOf(0)).toThrow("freed routing table");
  });
});

describe("set(gsi, level)", () => {
  it("drives every entry in the user's order and sums what they took", () => {
    const { m, fd, vm } = x86();
    m.route(fd, [irqchip(5, MASTER, 5), irqchip(5, IOAPIC, 5)]);
    expect(run(setIrq(vm, 0, 5, 1, false))).toBe(2);
    m.route(fd, [msi(30)]);
    expect(run(setIrq(vm, 0, 30, 0, false))).toBe(-1);
    expect(run(setIrq(vm, 0, 4096, 1, false))).toBe(-1);
  });
});

describe("KVM_IRQ_LINE and KVM_SIGNAL_MSI", () => {
  it("vector 63 (without irqchip): there is no line to drive", () => {
    const m = new KvmMachine({ arch: new X86() });
    const fd = m.createVm();
    expect(m.irqLine(fd, 5, 1)).toBe(-ENXIO);
  });

  it("answers 0 whatever the status is, and only the STATUS request tells it", () => {
    const { m, fd } = x86();
    m.route(fd, []);
    let status = 0;
    const fill = (view: DataView) => {
      K.kvm_irq_level.irq.set(view, 5);
      K.kvm_irq_level.level.set(view, 1);
    };
    const read = (view: DataView) => (status = K.kvm_irq_level.status.get(view));
    expect(m.ioctlOn(fd, K.KVM_IRQ_LINE_STATUS, K.kvm_irq_level, fill, read)).toBe(0);
    expect(status).toBe(-1);
    expect(m.ioctlOn(fd, K.KVM_IRQ_LINE, K.kvm_irq_level, fill, read)).toBe(0);
    expect(status).toBe(5);
  });

  it("vector 68: no MSI without an irqchip", () => {
    const m = new KvmMachine({ arch: new X86() });
    expect(m.signalMsi(m.createVm())).toBe(-EINVAL);
  });

  it("vector 72: without vGIC an SPI answers ENXIO, a CPU line wants its vCPU", () => {
    const m = new KvmMachine();
    const fd = m.createVm();
    expect(m.irqLine(fd, 0x0100002d, 1)).toBe(-ENXIO);
    expect(m.irqLine(fd, 0x00000002, 1)).toBe(-EINVAL);
  });

  it("returns the MSI setter's result as it is", () => {
    const { m, fd } = x86();
    expect(m.signalMsi(fd)).toBe(1);
    expect(m.signalMsi(fd, 2)).toBe(-EINVAL);
  });
});
