import { describe, expect, it } from "vitest";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PpcE500 } from "../../kvm/powerpc/e500.js";
import { PpcVcpuFile } from "../../kvm/powerpc/vcpu-ioctl.js";
import type { PpcVcpu } from "../../kvm/powerpc/vcpu.js";
import { PpcModule } from "../../kvm/powerpc/module.js";
import { PhysicalXics } from "../../host/xics/physical-xics.js";
import { XicsHost } from "../../host/xics/xics-host.js";
import { run } from "../../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { MPIC_42, Output } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";

const SPURIOUS = 0xffff;
const v42 = (cpus = 2): MpicHarness => new MpicHarness({ cpus, model: MPIC_42 });

describe("mpic.md 11: registers", () => {
  it("1, 2: FRR and BRR1", () => {
    expect([new MpicHarness({ cpus: 1 }).read(0x1000), new MpicHarness().read(0x1000), v42(1).read(0x1000)]).toEqual(["0x004f0002", "0x004f0102", "0x00c30002"]);
    expect([new MpicHarness().read(0), v42().read(0)]).toEqual(["0x00400200", "0x00400402"]);
  });

  it("3, 4: IVPR after reset, and its writable bits, by type", () => {
    const h = new MpicHarness();
    const all = (): (string | number)[] => [3, 20, 256].map((irq) => h.ivpr(irq));
    expect(all()).toEqual(["0x80000000", "0x80800000", "0x80000000"]);
    for (const offset of [0x10060, 0x10280, 0x10a0]) h.write(offset, 0xffff_ffff);
    expect(all()).toEqual(["0x80cfffff", "0x808fffff", "0x800fffff"]);
  });

  it("5: IDR of both models", () => {
    const h = new MpicHarness();
    h.write(0x10070, 0xffff_ffff);
    expect([h.read(0x10070), h.mpic.output[3], h.mpic.destination[3]]).toEqual(["0xe0000003", Output.CINT, 3]);
    const newer = v42();
    newer.write(0x10070, 0xffff_ffff);
    expect(newer.read(0x10070)).toBe("0x00000003");
  });

  it("28: reads of timers are skewed by one register", () => {
    const h = new MpicHarness();
    h.write(0x1110, 0x12345678);
    h.write(0x1120, 0x00050099);
    h.write(0x1130, 2);
    expect([h.read(0x1100), h.read(0x1110), h.read(0x1120), h.read(0x1130)]).toEqual(["0x12345678", "0x00050099", "0x00000002", "0x00000000"]);
    h.write(0x10f0, 0x77);
    expect(h.read(0x10f0)).toBe("0x00000077");
  });

  it("34: GCR keeps its mode bits", () => {
    for (const [h, mode] of [[new MpicHarness(), "0x20000000"], [v42(), "0x60000000"]] as const) {
      h.write(0x1020, 0x7fff_ffff);
      expect(h.read(0x1020)).toBe(mode);
    }
  });

  it("43: WHOAMI by region, IPIDR reads ones", () => {
    const h = new MpicHarness();
    expect([h.read(0x21090), h.read(0x20040)]).toEqual(["0x00000001", "0xffffffff"]);
  });

  it("what no region has is ENXIO; low bits read ones; the summary reads zero", () => {
    const h = new MpicHarness();
    expect([h.read(0x5000), h.write(0x5000, 1), h.read(0x1004), h.read(0x1604), h.read(0x3800), h.read(0x10008), h.read(0x10018)]).toEqual([-ENXIO, -ENXIO, "0xffffffff", -ENXIO, "0x00000000", "0xffffffff", "0xffffffff"]);
  });
});

describe("mpic.md 11: delivery", () => {
  it("6: a source whose IDR was never written is delivered to nobody (M1, M2)", () => {
    const h = new MpicHarness();
    h.write(0x10060, 0x00080040);
    h.edge(3);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080040", 0]);
    h.write(0x10070, 1);
    expect([h.line(), h.iack()]).toEqual([0, SPURIOUS]);
    h.write(0x10060, 0x00080040);
    expect([h.line(), h.iack()]).toEqual([1, 0x40]);
  });

  it("7: an edge: raise, acknowledge, end", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x40, 1);
    h.edge(3);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080040", 1]);
    expect([h.iack(), h.ivpr(3), h.line()]).toEqual([0x40, "0x00080040", 0]);
    expect([h.eoi(), h.iack()]).toEqual([[3], SPURIOUS]);
  });

  it("8, 9: a level comes again until it falls, and is gone when it falls before (M11)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    expect([h.iack(), h.ivpr(20)]).toEqual([0x50, "0x40080050"]);
    expect([h.eoi(), h.line(), h.iack()]).toEqual([[20], 1, 0x50]);
    h.drive(20, 0);
    expect([h.ivpr(20), h.eoi(), h.line()]).toEqual(["0x00080050", [20], 0]);
    h.drive(20, 1);
    h.drive(20, 0);
    expect([h.line(), h.iack()]).toEqual([0, SPURIOUS]);
  });

  it("10, 11: equal priorities wait, larger ones nest, an EOI ends the best in service (M8)", () => {
    const h = new MpicHarness();
    for (const [irq, priority] of [[3, 8], [4, 8], [5, 10]] as const) h.set(irq, priority, 0x40 + irq, 1);
    h.edge(3);
    expect(h.iack()).toBe(0x43);
    h.edge(4);
    expect(h.line()).toBe(0);
    h.edge(5);
    expect([h.line(), h.iack()]).toEqual([1, 0x45]);
    expect([h.eoi(), h.line(), h.eoi(), h.line(), h.iack()]).toEqual([[5], 0, [3], 1, 0x44]);
  });

  it("12: ties go to the lowest number", () => {
    const h = new MpicHarness();
    h.set(7, 8, 0x47, 1);
    h.set(3, 8, 0x43, 1);
    h.edge(7);
    h.edge(3);
    expect(h.iack()).toBe(0x43);
  });

  it("13: CTPR hides what it equals", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.ctpr(8);
    h.edge(3);
    expect([h.line(), h.ivpr(3)]).toEqual([0, "0x40080043"]);
    h.ctpr(7);
    expect([h.line(), h.iack()]).toEqual([1, 0x43]);
  });

  it("14: an edge that is acknowledged under CTPR is lost, and leaves a stale line (M5, M6)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.ctpr(8);
    h.edge(3);
    expect([h.iack(), h.ivpr(3)]).toEqual([SPURIOUS, "0x00080043"]);
    h.ctpr(0);
    expect([h.line(), h.iack()]).toEqual([1, SPURIOUS]);
  });

  it("15: a stale cache at the CTPR write, an EOI that does not ask CTPR (M6, M7)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.set(4, 5, 0x44, 1);
    h.edge(3);
    h.edge(4);
    expect(h.iack()).toBe(0x43);
    h.ctpr(6);
    expect(h.line()).toBe(1);
    h.eoi();
    expect([h.line(), h.iack(), h.iack()]).toEqual([1, SPURIOUS, SPURIOUS]);
  });

  it("16, 17: a masked edge waits for its unmask", () => {
    const h = new MpicHarness();
    h.write(0x10070, 1);
    h.write(0x10060, 0x80080043);
    h.edge(3);
    expect([h.ivpr(3), h.mpic.pending[3], h.line()]).toEqual(["0x80080043", 1, 0]);
    h.write(0x10060, 0x00080043);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080043", 1]);
    h.write(0x10060, 0x80080043);
    expect([h.ivpr(3), h.line(), h.iack()]).toEqual(["0x80080043", 0, SPURIOUS]);
    h.write(0x10060, 0x00080043);
    expect(h.line()).toBe(1);
  });

  it("18, 19: an edge to two CPUs is for the first, a level for both (M13)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 3);
    h.edge(3);
    expect([h.line(0), h.line(1), h.iack(0), h.iack(1)]).toEqual([1, 1, 0x43, SPURIOUS]);
    const level = new MpicHarness();
    level.set(20, 8, 0x50, 3);
    level.drive(20, 1);
    expect([level.iack(0), level.iack(1)]).toEqual([0x50, 0x50]);
    level.drive(20, 0);
    expect([level.eoi(0), level.eoi(1)]).toEqual([[20], [20]]);
  });

  it("20, 21, 22: IPIs to one and to several, and a masked one (M12)", () => {
    const h = new MpicHarness();
    h.write(0x10b0, 0x000a0061);
    h.write(0x20050, 3);
    expect([h.line(0), h.line(1)]).toEqual([1, 1]);
    expect([h.iack(0), h.mpic.destination[257], h.ivpr(257)]).toEqual([0x61, 2, "0x400a0061"]);
    expect([h.iack(1), h.mpic.destination[257], h.ivpr(257)]).toEqual([0x61, 0, "0x000a0061"]);
    expect([h.eoi(0), h.eoi(1)]).toEqual([[257], [257]]);
    h.write(0x10a0, 0x80080060);
    h.write(0x20040, 2);
    expect(h.line(1)).toBe(0);
    h.write(0x10a0, 0x00080060);
    expect([h.line(1), h.iack(1)]).toEqual([1, 0x60]);
  });

  it("23, 24: critical outputs know no mask, no priority and no acknowledge; an edge there is a pulse", () => {
    const h = new MpicHarness();
    h.write(0x10280, 0x80080050);
    h.write(0x10290, 0x40000000);
    h.drive(20, 1);
    expect([h.ivpr(20), h.mpic.cpus[0].active[Output.CINT], h.line()]).toEqual(["0xc0080050", 1, 0]);
    h.drive(20, 0);
    expect(h.mpic.cpus[0].active[Output.CINT]).toBe(0);
    h.write(0x10070, 0x20000000);
    h.write(0x10060, 0x00080043);
    h.edge(3);
    expect([h.mpic.cpus[1].active[Output.CINT], h.ivpr(3)]).toEqual([0, "0x00080043"]);
  });

  it("25, 26: message registers: bits of two messages, one interrupt; an EOI before the read is another (M9, M10)", () => {
    const h = new MpicHarness();
    h.set(225, 9, 0x71, 1);
    h.write(0x1740, 0x25000000);
    h.write(0x1740, 0x20000000);
    expect([h.read(0x1720), h.iack(), h.read(0x1610), h.mpic.pending[225], h.eoi(), h.line()]).toEqual(["0x00000002", 0x71, "0x00000021", 0, [225], 0]);
    h.write(0x1740, 0x20000000);
    expect([h.iack(), h.eoi(), h.line()]).toEqual([0x71, [225], 1]);
  });

  it("27: a target that changes while raised leaves a bit behind (M3)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    expect(h.line(0)).toBe(1);
    h.write(0x10290, 2);
    h.drive(20, 0);
    expect([h.iack(0), h.mpic.cpus[0].raised.has(20), h.iack(0)]).toEqual([SPURIOUS, true, SPURIOUS]);
  });

  it("29, 30, 31: priority 0; an edge while in service; two edges before the acknowledge", () => {
    const h = new MpicHarness();
    h.set(3, 0, 0x43, 1);
    h.edge(3);
    expect([h.line(), h.ivpr(3)]).toEqual([0, "0x40000043"]);
    const again = new MpicHarness();
    again.set(3, 8, 0x43, 1);
    again.edge(3);
    again.iack();
    again.edge(3);
    expect([again.line(), again.ivpr(3)]).toEqual([0, "0x40080043"]);
    expect([again.eoi(), again.line(), again.iack(), again.eoi()]).toEqual([[3], 1, 0x43, [3]]);
    again.edge(3);
    again.edge(3);
    expect([again.iack(), again.iack()]).toEqual([0x43, SPURIOUS]);
  });

  it("32, 33: a reset leaves targets, inputs and lines (M14)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.write(0x1020, 0x80000000);
    expect([h.ivpr(20), h.mpic.pending[20], h.mpic.destination[20], h.read(0x20080), h.line()]).toEqual(["0x80800000", 1, 1, "0x0000000f", 1]);
    h.ctpr(0);
    h.write(0x10280, 0x00080050);
    expect([h.line(), h.iack()]).toEqual([1, 0x50]);
  });

  it("M4: a source that leaves its output while active makes the counter wrap", () => {
    const h = v42();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.write(0x10298, 1);
    h.drive(20, 0);
    expect(h.mpic.cpus[0].active[Output.CINT]).toBe(0xffff_ffff);
  });

  it("M15: a listener lowers and a device raises inside the EOI, and nothing is lost", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.iack();
    h.onAck = (pin) => h.device.drive(pin, false);
    expect([h.eoi(), h.line()]).toEqual([[20], 0]);
    h.drive(20, 1);
    expect(h.iack()).toBe(0x50);
  });

  it("M18, M19, M20: the last driver wins; targets are masked by the CPUs there are; a new priority orders anew", () => {
    const h = new MpicHarness({ cpus: 1 });
    h.set(20, 8, 0x50, 3);
    expect(h.read(0x10290)).toBe("0x00000001");
    h.set(3, 5, 0x43, 1);
    h.drive(20, 1);
    h.edge(3);
    h.write(0x10060, 0x000a0043);
    expect(h.iack()).toBe(0x43);
    h.drive(20, 1);
    h.drive(20, 0);
    expect(h.iack()).toBe(SPURIOUS);
  });
});

/** The device by system calls, on an e500 VM. */
class E500 {
  readonly m: KvmMachine;
  readonly vm: number;

  constructor() {
    this.m = new KvmMachine({ arch: new PpcE500(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    this.vm = this.m.createVm();
  }

  vcpu(id: number): { fd: number; vcpu: PpcVcpu } {
    const fd = this.m.ioctl(this.vm, K.KVM_CREATE_VCPU, id);
    const file = this.m.process.file(fd);
    if (!(file instanceof PpcVcpuFile)) throw new Error("no vCPU");
    return { fd, vcpu: file.vcpu };
  }

  connect(vcpu: number, device: number, cpu: number): number {
    return this.m.ioctlOn(vcpu, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
      K.kvm_enable_cap.cap.set(view, K.KVM_CAP_IRQ_MPIC);
      K.kvm_enable_cap.args[0].setNumber(view, device >>> 0);
      K.kvm_enable_cap.args[1].setNumber(view, cpu);
    });
  }

  set(device: number, group: number, attr: number, ...words: number[]): number {
    return this.m.attr(K.KVM_SET_DEVICE_ATTR, device, group, attr, words);
  }

  /** The value, or a negative errno. */
  get(device: number, group: number, attr: number): number {
    const result = this.m.attr(K.KVM_GET_DEVICE_ATTR, device, group, attr, [0xeeee_eeee]);
    return result < 0 ? result : this.m.process.memory.getU32(0x4f000);
  }
}

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
