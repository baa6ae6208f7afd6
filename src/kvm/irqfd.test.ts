import { describe, expect, it } from "vitest";
import { pipe2 } from "../host/pipe.js";
import { run } from "../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL } from "../uapi/errno.js";
import { EFD_SEMAPHORE, EPOLLHUP } from "../uapi/eventfd.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC } from "../uapi/x86.js";
import { KvmMachine } from "../explore/stages/kvm-machine.js";
import { LineChip, LineChipVm } from "./line-chip.fixture.js";
import { X86 } from "./x86/x86.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;

/** A VM whose GSIs 0 to 23 lead to one wire each. */
function lines(hazards = {}) {
  const m = new KvmMachine({ arch: new LineChip(), hazards });
  const vm = m.createVm();
  m.route(vm, Array.from({ length: 24 }, (_, gsi) => ({ gsi, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [KVM_IRQCHIP_IOAPIC, gsi] })));
  m.trace.clear();
  const { arch } = m.vm(vm);
  if (!(arch instanceof LineChipVm)) throw new Error("not the line chip");
  return { m, vm, chip: arch };
}

function pipeEnd(m: KvmMachine): number {
  const ends = pipe2(m.process, 0);
  return typeof ends === "number" ? ends : ends[0];
}

describe("KVM_IRQFD", () => {
  it("vector 15: a VM without irqchip refuses the assign and accepts the deassign", () => {
    const m = new KvmMachine({ arch: new X86() });
    const vm = m.createVm();
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 5)).toBe(-EINVAL);
    expect(m.irqfd(vm, e, 5, DEASSIGN)).toBe(0);
    expect(m.irqfd(vm, -1, 5, DEASSIGN)).toBe(-EBADF);
  });

  it("vector 17 (without vGIC): EAGAIN comes before a bad descriptor, a bad flag before EAGAIN", () => {
    const m = new KvmMachine();
    const vm = m.createVm();
    expect(m.irqfd(vm, -1, 0)).toBe(-EAGAIN);
    expect(m.irqfd(vm, -1, 0, 8)).toBe(-EINVAL);
  });

  it("copies its argument first: EFAULT wins over a bad flag", () => {
    const { m, vm } = lines();
    expect(m.ioctl(vm, K.KVM_IRQFD, 0x10)).toBe(-EFAULT);
  });

  it("finds a bad fd before a bad resamplefd, and that before a busy fd", () => {
    const { m, vm } = lines();
    const [e, r, p] = [m.eventfd(), m.eventfd(), pipeEnd(m)];
    expect(m.irqfd(vm, -1, 5, RESAMPLE, p)).toBe(-EBADF);
    expect(m.irqfd(vm, p, 5)).toBe(-EINVAL);
    expect(m.irqfd(vm, e, 5, RESAMPLE, -1)).toBe(-EBADF);
    expect(m.irqfd(vm, e, 5, RESAMPLE, p)).toBe(-EINVAL);
    expect(m.irqfd(vm, e, 5)).toBe(0);
    expect(m.irqfd(vm, e, 6, RESAMPLE, -1)).toBe(-EBADF);
    expect(m.irqfd(vm, e, 6, RESAMPLE, r)).toBe(-EBUSY);
  });

  it("lets an eventfd serve one irqfd on the host, in whichever VM", () => {
    const { m, vm } = lines();
    const other = m.createVm();
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 5)).toBe(0);
    expect(m.irqfd(vm, e, 5)).toBe(-EBUSY);
    expect(m.irqfd(vm, e, 6)).toBe(-EBUSY);
    expect(m.irqfd(other, e, 5)).toBe(-EBUSY);
  });

  it("deassigns by eventfd and gsi together, and the eventfd is free when it returns", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    expect([m.irqfd(vm, e, 5), m.irqfd(vm, e, 6, DEASSIGN), m.irqfd(vm, e, 7)]).toEqual([0, 0, -EBUSY]);
    expect([m.irqfd(vm, e, 5, DEASSIGN), m.irqfd(vm, e, 7)]).toEqual([0, 0]);
  });

  it("undoes the joining of a resampler when the eventfd is busy (H19)", () => {
    const { m, vm } = lines();
    const [e, r1] = [m.eventfd(), m.eventfd()];
    m.irqfd(vm, e, 5);
    m.trace.clear();
    expect(m.irqfd(vm, e, 6, RESAMPLE, r1)).toBe(-EBUSY);
    expect(m.trace.lines("resampler_create", "kvm_set_irq", "resampler_free", "srcu_wait")).toEqual([
      "resampler_create(6)",
      "srcu_wait(irq_srcu)",
      "srcu_wait(irq_srcu)",
      "kvm_set_irq(6,0,1)",
      "resampler_free(6)",
    ]);
    expect(m.count(r1)).toBe(0);
  });

  it("accepts any gsi; one with the top bit set has no route", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 0xffffffff)).toBe(0);
    m.trace.clear();
    m.write(e, 1);
    expect(m.trace.lines("kvm_set_irq")).toEqual(["kvm_set_irq(4294967295,1,0)", "kvm_set_irq(4294967295,0,0)"]);
  });

  it("injects what was signalled before the assign, without consuming the counter", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    m.write(e, 2);
    m.irqfd(vm, e, 20);
    expect(m.trace.lines("kvm_set_irq")).toEqual(["kvm_set_irq(20,1,0)", "kvm_set_irq(20,0,0)"]);
    expect(m.count(e)).toBe(2);
    m.write(e, 1);
    expect(m.trace.lines("kvm_set_irq")).toHaveLength(4);
    expect(m.count(e)).toBe(0);
  });

  it("consumes the counter once at deassign; a semaphore loses one", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    m.write(e, 2);
    m.irqfd(vm, e, 20);
    m.irqfd(vm, e, 20, DEASSIGN);
    expect(m.read(e)).toBe(-EAGAIN);
    const s = m.eventfd(5, EFD_SEMAPHORE);
    m.irqfd(vm, s, 20);
    m.irqfd(vm, s, 20, DEASSIGN);
    expect(m.count(s)).toBe(4);
  });

  it("pulses for a write of 0, and once for three writes that the worker has not seen", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    expect(m.write(e, 0)).toBe(8);
    expect(m.trace.lines("kvm_set_irq")).toHaveLength(2);
    m.events.hold();
    for (let i = 0; i < 3; i++) m.write(e, 1);
    m.events.letGo();
    m.settle();
    expect(m.trace.lines("kvm_set_irq")).toHaveLength(4);
  });

  it("goes with the last descriptor of its eventfd, in the background", () => {
    const { m, vm } = lines();
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    m.irqfdCleanup.hold();
    const { waiters } = m.context(e);
    expect(m.close(e)).toBe(0);
    run(waiters.wake(EPOLLHUP)); // whoever comes second finds it inactive (H9)
    expect(m.trace.lines("irqfd_deactivate", "irqfd_free")).toEqual(["irqfd_deactivate(hangup,0,20)"]);
    m.irqfdCleanup.letGo();
    m.settle();
    expect(m.trace.lines("irqfd_free")).toEqual(["irqfd_free(0,20)"]);
    expect(m.vm(vm).irqfds.active.toArray()).toEqual([]);
  });

  it("goes with the VM descriptor, although something keeps the VM alive", () => {
    const { m, vm } = lines();
    const machine = m.vm(vm);
    const device = m.createDevice(vm, K.KVM_DEV_TYPE_VFIO);
    for (const gsi of [1, 2, 3]) m.irqfd(vm, m.eventfd(), gsi);
    expect(run(m.process.close(vm))).toBe(0);
    expect(m.trace.lines("irqfd_free")).toHaveLength(3);
    expect(machine.isDestroyed).toBe(false);
    m.close(device);
    expect(machine.isDestroyed).toBe(true);
  });

  it("delivers an MSI in the callback where the arch can, else by the work item with the route then in force", () => {
    const { m, vm, chip } = lines();
    const e = m.eventfd();
    const msi = (data: number) => [{ gsi: 20, type: K.KVM_IRQ_ROUTING_MSI, words: [0xfee00000, 0, data] }];
    m.route(vm, msi(0x41));
    m.irqfd(vm, e, 20);
    chip.deliversInline = true;
    m.trace.clear();
    m.write(e, 1);
    expect(chip.messages).toEqual([0x41]);
    expect(m.trace.lines("kvm_set_irq")).toEqual([]);
    chip.deliversInline = false;
    m.events.hold();
    m.write(e, 1);
    m.route(vm, msi(0x42));
    m.events.letGo();
    m.settle();
    expect(chip.messages).toEqual([0x41, 0x42]);
  });

  it("follows a routing change while it is active (I11)", () => {
    const { m, vm, chip } = lines();
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    chip.deliversInline = true;
    m.route(vm, [{ gsi: 20, type: K.KVM_IRQ_ROUTING_MSI, words: [0xfee00000, 0, 0x43] }]);
    m.write(e, 1);
    expect(chip.messages).toEqual([0x43]);
  });
});
