import { describe, expect, it } from "vitest";
import { Process } from "../../host/process.js";
import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EBUSY, EEXIST, EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import type { MmioBus } from "../contract.js";
import { MPIC_20, MPIC_SIZE } from "./constants.js";
import { MpicDevice } from "./device.js";
import { E500 } from "./e500.fixture.js";
import { Mpic } from "./mpic.js";

// Rules of mpic.md 3 and 5.9 that no vector of its section 11 holds.

const NOWHERE = 0x10;
const [MISC, REGISTER, IRQ_ACTIVE] = [1, 2, 3];

/** A bus that notes what is mapped on it, and when. */
class NotingBus implements MmioBus {
  readonly calls: string[] = [];
  *register(base: number, size: number): Step<number> {
    this.calls.push(`map 0x${base.toString(16)} 0x${size.toString(16)}`);
    return 0;
  }
  *unregister(base: number): Step<void> {
    this.calls.push(`unmap 0x${base.toString(16)}`);
  }
}

describe("mpic.md 3: connecting and attributes", () => {
  it("a slot that is taken is EEXIST before a vCPU that has a controller is EBUSY", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const [a, b] = [e.vcpu(0).fd, e.vcpu(1).fd];
    expect([e.connect(a, device, 0), e.connect(b, device, 1), e.connect(a, device, 1), e.connect(a, device, 2)]).toEqual([0, 0, -EEXIST, -EBUSY]);
  });

  it("a device of another VM is EPERM", () => {
    const e = new E500();
    const device = e.m.createDevice(e.m.createVm(), K.KVM_DEV_TYPE_FSL_MPIC_20);
    e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    expect(e.connect(e.vcpu(0).fd, device, 0)).toBe(-EPERM);
  });

  it("IRQ_ACTIVE: the number is looked at before the pointer, the pointer before the value", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const set = (attr: number, words: readonly number[], address?: number): number => e.m.attr(K.KVM_SET_DEVICE_ATTR, device, IRQ_ACTIVE, attr, words, address);
    expect([set(257, [], NOWHERE), set(256, [], NOWHERE), set(256, [2])]).toEqual([-EINVAL, -EFAULT, -EINVAL]);
  });

  it("REGISTER: a bad pointer is EFAULT before an offset is ENXIO, and nothing is written", () => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, K.KVM_DEV_TYPE_FSL_MPIC_20);
    const set = (attr: number, address?: number): number => e.m.attr(K.KVM_SET_DEVICE_ATTR, device, REGISTER, attr, [0x1234], address);
    expect([set(0x10e2, NOWHERE), set(0x10e0, NOWHERE), set(0x10e2), e.get(device, REGISTER, 0x10e0)]).toEqual([-EFAULT, -EFAULT, -ENXIO, 0xffff]);
  });

  it("BASE_ADDR: the same value again leaves the window mapped as it is; another one moves it", () => {
    const sim = new Sim({ cpus: 2 });
    const mmioBus = new NotingBus();
    const device = new MpicDevice(new Mpic({ sim, slotsLock: new Mutex(sim, "slots_lock"), mmioBus, acks: { *notifyAcked() {} } }, MPIC_20), { *detach() {} });
    const process = new Process(sim, "vmm");
    process.memory.map(0x1000, 0x1000);
    const set = (base: number): number => {
      process.memory.setU64(0x1000, base);
      return run(device.setAttr(process, MISC, 0, 0, 0x1000));
    };
    expect([set(0xe004_0000), set(0xe004_0000), set(0xe008_0000), set(0), set(0)]).toEqual([0, 0, 0, 0, 0]);
    const size = `0x${MPIC_SIZE.toString(16)}`;
    expect(mmioBus.calls).toEqual([`map 0xe0040000 ${size}`, "unmap 0xe0040000", `map 0xe0080000 ${size}`, "unmap 0xe0080000"]);
  });
});

describe("mpic.md 5.9: the external proxy", () => {
  it.each([
    ["2.0 with 0x60000000, of which it keeps one bit", K.KVM_DEV_TYPE_FSL_MPIC_20, 0x6000_0000],
    ["4.2 with 0x20000000", K.KVM_DEV_TYPE_FSL_MPIC_42, 0x2000_0000],
    ["4.2 with 0x40000000", K.KVM_DEV_TYPE_FSL_MPIC_42, 0x4000_0000],
  ])("is not in %s: the guest reads IACK itself", (_mode, type, gcr) => {
    const e = new E500();
    const device = e.m.createDevice(e.vm, type);
    const { fd, vcpu } = e.vcpu(0);
    e.connect(fd, device, 0);
    for (const [offset, value] of [[0x1020, gcr], [0x20080, 0], [0x10290, 1], [0x10280, 0x0008_0050]] as const) e.set(device, REGISTER, offset, value);
    e.set(device, IRQ_ACTIVE, 20, 1);
    vcpu.regs.isEnabled = true;
    run(vcpu.flush());
    expect([vcpu.regs.epr, vcpu.regs.isEnabled, vcpu.arch.mpicDevice?.mpic.cpus[0].servicing.has(20), e.get(device, REGISTER, 0x200a0)]).toEqual([0, true, false, 0x50]);
  });
});
