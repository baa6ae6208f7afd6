import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EAGAIN } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { BOTH_PICS_MASKED, EOI, LAPIC, LVT0, SPIV, X86Machine } from "../../explore/stages/x86-machine.js";

const MSI_VECTOR = 0x41;

describe("events on their way into an x86 vCPU", () => {
  it("an interrupt that IF holds back is taken at the window that KVM asks for", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const fd = m.vcpu(vm, 0);
    m.guest(fd, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }]);
    m.msi(vm, LAPIC, MSI_VECTOR);
    expect(m.guest(fd, ["nop", "nop"])).toEqual([]);
    expect(m.guest(fd, ["sti", "nop", "nop"])).toEqual([MSI_VECTOR]);
    expect(m.vcpuOf(fd).stat.irqWindowExits).toBe(1);
  });

  it("two messages enter in the order of their vectors, each after the EOI of the one before", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const fd = m.vcpu(vm, 0);
    m.guest(fd, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }]);
    for (const vector of [0x41, 0x61, 0x51]) m.msi(vm, LAPIC, vector);
    expect(m.guest(fd, ["sti", "nop", "sti", "nop"])).toEqual([0x61]);
    expect(m.guest(fd, [EOI, "nop"])).toEqual([0x51]);
    expect(m.guest(fd, [EOI, "iret", "nop"])).toEqual([0x41]);
  });

  it("KVM_SET_REGS makes the vCPU look: the PIC's interrupt that an unmasked LINT0 alone does not bring in (7.9)", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const fd = m.vcpu(vm, 0);
    m.guest(fd, [{ store: SPIV, value: 0x1ff }, { store: LVT0, value: 0x1_0700 }, { out: 0x20, value: 0x11 }, { out: 0x21, value: 0x20 }, { out: 0x21, value: 4 }, { out: 0x21, value: 1 }]);
    m.irqLine(vm, 5, 1);
    expect(m.guest(fd, ["sti", "nop", { store: LVT0, value: 0x700 }, "nop"])).toEqual([]);
    expect(m.guest(fd, ["nop"])).toEqual([]);
    const regs = new Uint8Array(X.kvm_regs.size);
    m.ioctlBytes(fd, X.KVM_GET_REGS, regs);
    expect(m.ioctlBytes(fd, X.KVM_SET_REGS, regs)).toBe(0);
    expect(m.guest(fd, ["nop"])).toEqual([0x25]);
  });

  it("8.1 step 5: an EOI makes the vCPU look, for the PIC's interrupt too", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const fd = m.vcpu(vm, 0);
    m.guest(fd, [{ store: SPIV, value: 0x1ff }, { store: LVT0, value: 0x1_0700 }, { out: 0x20, value: 0x11 }, { out: 0x21, value: 0x20 }, { out: 0x21, value: 4 }, { out: 0x21, value: 1 }]);
    m.msi(vm, LAPIC, MSI_VECTOR);
    expect(m.guest(fd, ["sti", "nop"])).toEqual([MSI_VECTOR]);
    m.irqLine(vm, 5, 1);
    expect(m.guest(fd, ["sti", "nop", { store: LVT0, value: 0x700 }, "nop"])).toEqual([]);
    expect(m.guest(fd, [EOI, "nop"])).toEqual([0x25]);
  });

  it("of three NMIs one is taken, one waits for the IRET, and one is lost", () => {
    const m = new X86Machine();
    const fd = m.vcpu(m.xf(), 0);
    for (let i = 0; i < 3; i++) m.ioctl(fd, X.KVM_NMI, 0);
    expect(m.guest(fd, ["nop", "nop"])).toEqual([2]);
    expect(m.guest(fd, ["iret", "nop", "nop"])).toEqual([2]);
    expect(m.guest(fd, ["iret", "nop", "iret", "nop"])).toEqual([]);
    expect(m.vcpuOf(fd).stat.nmiWindowExits).toBe(1);
    expect(m.trace.lines("apic_dropped")).toEqual(["apic_dropped(0,2,NMIs wait already)"]);
  });

  it("an NMI ends a halt with interrupts disabled; a message does not", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const fd = m.vcpu(vm, 0);
    const [vcpu, guest] = [m.vcpuOf(fd), m.scriptOf(fd)];
    m.guest(fd, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }]);
    guest.handlers.set(MSI_VECTOR, [EOI]);
    guest.idle = "hlt";
    m.start(fd);
    vcpu.regs.interruptFlag = false;
    m.msi(vm, LAPIC, MSI_VECTOR);
    expect([guest.taken, vcpu.mpState]).toEqual([[], K.KVM_MP_STATE_HALTED]);
    run(vcpu.pendNmi());
    m.settle();
    expect(guest.taken).toEqual([2]);
  });

  it("INIT and start-up from the boot CPU start another, whose KVM_RUN ends with EAGAIN once", () => {
    const m = new X86Machine();
    const vm = m.xf();
    const boot = m.vcpu(vm, 0);
    const other = m.vcpu(vm, 1);
    m.scriptOf(other).idle = "spin";
    m.guest(boot, [{ store: SPIV, value: 0x1ff }]);
    const thread = m.start(other);
    const send = (icr: number): unknown => m.guest(boot, [{ store: LAPIC + 0x310, value: 1 << 24 }, { store: LAPIC + 0x300, value: icr }]);
    // The map has no vCPU that came last before something rebuilds it (6.2): its software enable.
    run(m.apic(other).mmioWrite(0xf0, 4, 0x1ff));
    send(0x4500);
    expect([thread.returns, m.vcpuOf(other).mpState]).toEqual([[-EAGAIN], K.KVM_MP_STATE_INIT_RECEIVED]);
    m.sim.wake(thread, 0);
    m.settle();
    send(0x4612);
    expect([thread.returns, m.vcpuOf(other).mpState, m.vcpuOf(other).regs.rip]).toEqual([[-EAGAIN], K.KVM_MP_STATE_RUNNABLE, 0x12000]);
  });

  it("a refused register write is a general protection fault", () => {
    const m = new X86Machine();
    const fd = m.vcpu(m.xf(), 0);
    expect(m.guest(fd, [{ wrmsr: 0x80b, value: 0 }, "nop"])).toEqual([13]);
  });
});
