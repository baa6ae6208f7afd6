import { describe, expect, it } from "vitest";
import { pipe2 } from "../../host/pipe.js";
import { WaitEntry } from "../../host/poll.js";
import { run, type Step } from "../../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EINVAL } from "../../uapi/errno.js";
import { EFD_SEMAPHORE } from "../../uapi/eventfd.js";
import * as K from "../../uapi/kvm.js";
import type { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { LapicMachine, lineStatus, x86Vm } from "./core.fixture.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;

function pipeEnd(m: KvmMachine): number {
  const ends = pipe2(m.process, 0);
  return typeof ends === "number" ? ends : ends[0];
}

/** What reached the IOAPIC: its pulses on one pin, two changes each. */
const pulses = (m: KvmMachine): number => m.trace.lines("kvm_ioapic_set_irq").length / 2;

describe("kvm-irq-core.md 11.2, irqfds of a VM with the full irqchip", () => {
  it("vector 9: is assigned", () => {
    const { m, vm } = x86Vm("full");
    expect(m.irqfd(vm, m.eventfd(), 5)).toBe(0);
  });

  it("vector 10: a flag that does not exist comes before a bad descriptor", () => {
    const { m, vm } = x86Vm("full");
    expect(m.irqfd(vm, -1, 5, 4)).toBe(-EINVAL);
  });

  it("vector 11: a bad descriptor, and one that is no eventfd", () => {
    const { m, vm } = x86Vm("full");
    expect([m.irqfd(vm, -1, 5), m.irqfd(vm, pipeEnd(m), 5)]).toEqual([-EBADF, -EINVAL]);
  });

  it("vector 12: an eventfd serves one irqfd", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    expect([m.irqfd(vm, e, 5), m.irqfd(vm, e, 5), m.irqfd(vm, e, 6)]).toEqual([0, -EBUSY, -EBUSY]);
  });

  it("vector 13: across VMs, too", () => {
    const { m, vm } = x86Vm("full");
    const other = m.createVm();
    m.ioctl(other, K.KVM_CREATE_IRQCHIP, 0);
    const e = m.eventfd();
    expect([m.irqfd(vm, e, 5), m.irqfd(other, e, 5)]).toEqual([0, -EBUSY]);
  });

  it("vector 14: a deassign with another gsi succeeds and changes nothing", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    expect([m.irqfd(vm, e, 5), m.irqfd(vm, e, 6, DEASSIGN), m.irqfd(vm, e, 7)]).toEqual([0, 0, -EBUSY]);
    expect([m.irqfd(vm, e, 5, DEASSIGN), m.irqfd(vm, e, 7)]).toEqual([0, 0]);
  });

  it("vector 16: split mode takes plain irqfds only", () => {
    const { m, vm } = x86Vm("split");
    expect([m.irqfd(vm, m.eventfd(), 5), m.irqfd(vm, m.eventfd(), 5, RESAMPLE, m.eventfd())]).toEqual([0, -EINVAL]);
  });

  it("vector 18: the resamplefd is looked at after the eventfd", () => {
    const { m, vm } = x86Vm("full");
    const [e, p] = [m.eventfd(), pipeEnd(m)];
    expect([m.irqfd(vm, e, 5, RESAMPLE, -1), m.irqfd(vm, e, 5, RESAMPLE, p), m.irqfd(vm, -1, 5, RESAMPLE, p)]).toEqual([-EBADF, -EINVAL, -EBADF]);
  });

  it("vector 19: a busy eventfd leaves no resampler behind", () => {
    const { m, vm } = x86Vm("full");
    const [e, r1] = [m.eventfd(), m.eventfd()];
    expect([m.irqfd(vm, e, 5), m.irqfd(vm, e, 6, RESAMPLE, -1)]).toEqual([0, -EBADF]);
    m.trace.clear();
    expect([m.irqfd(vm, e, 6, RESAMPLE, r1), m.count(r1)]).toEqual([-EBUSY, 0]);
    expect(m.trace.lines("kvm_set_irq")).toEqual(["kvm_set_irq(6,0,1)"]);
    expect(m.vm(vm).irqfds.resamplers.toArray()).toEqual([]);
  });

  it("vector 20: any gsi is accepted; one without route reaches no chip", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 0xffffffff)).toBe(0);
    m.write(e, 1);
    expect(m.trace.lines("kvm_set_irq", "kvm_pic_set_irq", "kvm_ioapic_set_irq")).toEqual(["kvm_set_irq(4294967295,1,0)", "kvm_set_irq(4294967295,0,0)"]);
  });

  it("vector 21: a count from before is one pulse and stays; a later write is one pulse and takes it", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.write(e, 2);
    expect(m.irqfd(vm, e, 20)).toBe(0);
    expect([pulses(m), m.count(e)]).toEqual([1, 2]);
    m.write(e, 1);
    expect([pulses(m), m.count(e)]).toEqual([2, 0]);
  });

  it("vector 22: whoever polls the eventfd is not woken", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    let woken = 0;
    class Poller extends WaitEntry {
      override *wake(): Step<number> {
        woken++;
        return 1;
      }
    }
    m.irqfd(vm, e, 20);
    run(m.context(e).waiters.addEntry(new Poller()));
    m.write(e, 1);
    expect([pulses(m), woken, m.read(e)]).toEqual([1, 0, -EAGAIN]);
  });

  it("vector 23: a deassign takes the count", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.write(e, 2);
    expect([m.irqfd(vm, e, 20), m.irqfd(vm, e, 20, DEASSIGN), m.read(e)]).toEqual([0, 0, -EAGAIN]);
  });

  it("vector 24: of a semaphore it takes one", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd(5, EFD_SEMAPHORE);
    m.irqfd(vm, e, 20);
    m.irqfd(vm, e, 20, DEASSIGN);
    expect(m.count(e)).toBe(4);
  });

  it("vector 25: a write of 0 is a pulse", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    expect([m.write(e, 0), pulses(m)]).toEqual([8, 1]);
  });

  it("vector 26: three writes that the worker has not seen are one pulse", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    m.events.hold();
    for (let i = 0; i < 3; i++) m.write(e, 1);
    m.events.letGo();
    m.settle();
    expect(pulses(m)).toBe(1);
  });

  it("vector 27: the last close of the eventfd frees the irqfd", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.irqfd(vm, e, 20);
    expect(m.close(e)).toBe(0);
    expect([m.trace.lines("irqfd_free").length, m.vm(vm).irqfds.active.toArray()]).toEqual([1, []]);
  });

  it("vector 28: an eventfd may be its own resamplefd", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    expect(m.irqfd(vm, e, 20, RESAMPLE, e)).toBe(0);
  });

  it("vector 29: a deassign looks at no resamplefd", () => {
    const { m, vm } = x86Vm("full");
    const [e, r1] = [m.eventfd(), m.eventfd()];
    expect([m.irqfd(vm, e, 20, RESAMPLE, r1), m.irqfd(vm, e, 20, DEASSIGN | RESAMPLE, -1)]).toEqual([0, 0]);
    expect(m.vm(vm).irqfds.resamplers.toArray()).toEqual([]);
  });

  it("vector 30 (XL): an MSI that the map resolves is delivered in the callback", () => {
    const m = new LapicMachine();
    m.eventfds("e");
    m.do({ op: "setGsiRouting", args: { entries: [{ gsi: 20, type: "msi", addressLo: 0xfee00000, data: 0x41 }] } });
    m.irqfd("e", 20);
    m.trace.clear();
    m.signal("e");
    expect([m.pending(), m.lines("kvm_set_irq")]).toEqual([[0x41], []]);
  });

  it("vector 30 (XF): without a map it is one run of the work, which finds nobody", () => {
    const { m, vm } = x86Vm("full");
    const e = m.eventfd();
    m.route(vm, [{ gsi: 20, type: K.KVM_IRQ_ROUTING_MSI, words: [0xfee00000, 0, 0x41] }]);
    m.irqfd(vm, e, 20);
    const before = m.events.done;
    m.write(e, 1);
    expect([m.events.done - before, m.trace.lines("kvm_set_irq")]).toEqual([1, ["kvm_set_irq(20,1,0)", "kvm_set_irq(20,0,0)"]]);
    expect([lineStatus(m, vm, 20, 1), lineStatus(m, vm, 20, 0)]).toEqual([-1, -1]);
  });

  it("vector 33: the close of the VM's descriptor frees its irqfds although a vCPU keeps the VM", () => {
    const { m, vm } = x86Vm("full");
    const machine = m.vm(vm);
    const vcpu = m.ioctl(vm, K.KVM_CREATE_VCPU, 0);
    expect(vcpu).toBeGreaterThan(0);
    for (const gsi of [1, 2, 3]) m.irqfd(vm, m.eventfd(), gsi);
    expect(run(m.process.close(vm))).toBe(0);
    expect([m.trace.lines("irqfd_free").length, machine.isDestroyed]).toEqual([3, false]);
    m.close(vcpu);
    expect(machine.isDestroyed).toBe(true);
  });
});
