import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC } from "../uapi/x86.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { notifyIrqfdResampler } from "./resampler.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;

function line11(hazards = {}) {
  const m = new KvmMachine({ arch: new LineChip(), hazards });
  const fd = m.createVm();
  m.route(fd, [{ gsi: 11, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [KVM_IRQCHIP_IOAPIC, 11] }]);
  const vm = m.vm(fd);
  const { arch: chip } = vm;
  if (!(chip instanceof LineChipVm)) throw new Error("not the line chip");
  const [e1, e2, r1, r2] = [m.eventfd(), m.eventfd(), m.eventfd(), m.eventfd()];
  m.trace.clear();
  const eoi = () => {
    run(vm.notifyAcked(KVM_IRQCHIP_IOAPIC, 11));
    m.settle();
  };
  const level = () => chip.pin(KVM_IRQCHIP_IOAPIC, 11);
  return { m, fd, vm, chip, e1, e2, r1, r2, eoi, level };
}

describe("a resampling irqfd", () => {
  it("that leaves others behind waits for whoever may still see it, and leaves the line as it is (RL4)", () => {
    const { m, fd, e1, e2, r1, r2, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.irqfd(fd, e2, 11, RESAMPLE, r2);
    m.write(e1, 1);
    m.trace.clear();
    m.irqfd(fd, e1, 11, DEASSIGN);
    expect(m.trace.lines("srcu_wait", "kvm_set_irq", "resampler_free")).toEqual(["srcu_wait(irq_srcu)", "srcu_wait(irq_srcu)"]);
    expect(level()).toBe(1 << 1);
  });

  it("only asserts on a trigger; the acknowledge deasserts once, then notifies", () => {
    const { m, fd, e1, r1, eoi, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.write(e1, 1);
    expect(level()).toBe(2);
    eoi();
    expect(level()).toBe(0);
    expect(m.count(r1)).toBe(1);
    expect(m.trace.lines("kvm_set_irq", "kvm_ack_irq", "eventfd_signal")).toEqual([
      "kvm_set_irq(11,1,1)",
      "kvm_ack_irq(2,11)",
      "kvm_set_irq(11,0,1)",
      `eventfd_signal(${m.context(r1).id})`,
    ]);
  });

  it("shares its resampler: one deassert, every member told, newest first", () => {
    const { m, fd, vm, e1, e2, r1, r2, eoi } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.irqfd(fd, e2, 11, RESAMPLE, r2);
    expect(vm.irqfds.resamplers.toArray()).toHaveLength(1);
    m.write(e1, 1);
    m.trace.clear();
    eoi();
    expect(m.trace.lines("kvm_set_irq", "eventfd_signal")).toEqual([
      "kvm_set_irq(11,0,1)",
      `eventfd_signal(${m.context(r2).id})`,
      `eventfd_signal(${m.context(r1).id})`,
    ]);
  });

  it("signals a shared resamplefd once per member", () => {
    const { m, fd, e1, e2, r1, eoi } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.irqfd(fd, e2, 11, RESAMPLE, r1);
    eoi();
    expect(m.count(r1)).toBe(2);
  });

  it("does not take user space's level with it", () => {
    const { m, fd, e1, r1, eoi, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.irqLine(fd, 11, 1);
    m.write(e1, 1);
    expect(level()).toBe(3);
    eoi();
    expect(level()).toBe(1);
    expect(m.count(r1)).toBe(1);
  });

  it("lowers the line by hand when the last member leaves, and is freed after a wait", () => {
    const { m, fd, e1, r1, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.write(e1, 1);
    m.trace.clear();
    m.irqfd(fd, e1, 11, DEASSIGN);
    expect(level()).toBe(0);
    expect(m.count(r1)).toBe(0);
    expect(m.trace.lines("irqfd_deactivate", "srcu_wait", "kvm_set_irq", "resampler_free", "irqfd_free")).toEqual([
      `irqfd_deactivate(deassign,${m.context(e1).id},11)`,
      "srcu_wait(irq_srcu)", // SH1
      "srcu_wait(irq_srcu)", // RL3 (b)
      "kvm_set_irq(11,0,1)",
      "resampler_free(11)",
      `irqfd_free(${m.context(e1).id},11)`,
    ]);
  });

  it("leaves the line as it is while others remain", () => {
    const { m, fd, e1, e2, r1, r2, eoi, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.irqfd(fd, e2, 11, RESAMPLE, r2);
    m.write(e1, 1);
    m.irqfd(fd, e1, 11, DEASSIGN);
    expect(level()).toBe(2);
    eoi();
    expect([m.count(r1), m.count(r2)]).toEqual([0, 1]);
  });

  it("works on when its resamplefd is closed", () => {
    const { m, fd, e1, r1, eoi, level } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.close(r1);
    m.write(e1, 1);
    eoi();
    expect(level()).toBe(0);
    m.write(e1, 1);
    expect(level()).toBe(2);
  });

  it("re-triggers itself when it is its own resamplefd", () => {
    const { m, fd, e1, eoi, level } = line11();
    expect(m.irqfd(fd, e1, 11, RESAMPLE, e1)).toBe(0);
    m.write(e1, 1);
    eoi();
    expect(level()).toBe(2);
  });

  it("leaves a stuck level on the old pin when its route moves (H24)", () => {
    const { m, fd, chip, e1, r1, eoi } = line11();
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.write(e1, 1);
    m.route(fd, [{ gsi: 11, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [KVM_IRQCHIP_IOAPIC, 12] }]);
    eoi();
    expect(m.count(r1)).toBe(0);
    expect(chip.pin(KVM_IRQCHIP_IOAPIC, 11)).toBe(2);
  });

  it("is told without an acknowledge, and without a deassert, by a pin with a stale request (3.7)", () => {
    const { m, fd, vm, e1, r1, level } = line11();
    expect(run(notifyIrqfdResampler(vm, KVM_IRQCHIP_IOAPIC, 11))).toBe(false);
    m.irqfd(fd, e1, 11, RESAMPLE, r1);
    m.write(e1, 1);
    expect(run(notifyIrqfdResampler(vm, KVM_IRQCHIP_IOAPIC, 11))).toBe(true);
    expect(m.count(r1)).toBe(1);
    expect(level()).toBe(2);
    expect(run(notifyIrqfdResampler(vm, KVM_IRQCHIP_IOAPIC, 10))).toBe(false);
  });
});
