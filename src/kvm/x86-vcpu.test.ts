import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EAGAIN } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import * as X from "../uapi/x86.js";
import { type Action, BOTH_PICS_MASKED, entry, EOI, IOAPIC, LAPIC, SPIV, X86Machine } from "./x86.fixture.js";
import { X86_EXIT_NAMES } from "./x86-guest.js";

const MSI_VECTOR = 0x41;
const LEVEL_VECTOR = 0x31;
const MSI_GSI = 30;
const PIN = 11;
const DEVICE_PORT = 0x500;
const PIC_EOI: Action = { out: 0x20, value: 0x20 };
const PIC_INIT: readonly Action[] = [
  { out: 0x20, value: 0x11 },
  { out: 0x21, value: 0x20 },
  { out: 0x21, value: 0x04 },
  { out: 0x21, value: 0x01 },
  { out: 0x21, value: 0xdf },
  { out: 0xa1, value: 0xff },
];

interface Scene {
  readonly idle: "spin" | "hlt";
  readonly handler?: readonly Action[];
  readonly setUp?: readonly Action[];
}

/** A VM whose vCPU runs on its own CPU and ends the interrupts that it gets. */
function running({ idle, handler = [EOI], setUp = BOTH_PICS_MASKED }: Scene) {
  const m = new X86Machine();
  const vm = m.xf();
  const fd = m.vcpu(vm, 0);
  const guest = m.scriptOf(fd);
  for (const vector of [MSI_VECTOR, LEVEL_VECTOR, 0x25]) guest.handlers.set(vector, handler);
  m.guest(fd, [...setUp, { store: SPIV, value: 0x1ff }, ...entry(PIN, 0x8000 | LEVEL_VECTOR), "sti", "nop"]);
  m.route(vm, [
    { gsi: MSI_GSI, type: K.KVM_IRQ_ROUTING_MSI, words: [LAPIC, 0, MSI_VECTOR] },
    { gsi: PIN, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [X.KVM_IRQCHIP_IOAPIC, PIN] },
    { gsi: 5, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [X.KVM_IRQCHIP_PIC_MASTER, 5] },
  ]);
  guest.idle = idle;
  const thread = m.start(fd);
  const vcpu = m.vcpuOf(fd);
  const count = (): Record<string, number> => {
    const found: Record<string, number> = {};
    vcpu.stat.exitsByReason.forEach((n, reason) => n > 0 && (found[X86_EXIT_NAMES[reason]] = n));
    vcpu.stat.exitsByReason.fill(0);
    return found;
  };
  count();
  return { m, vm, fd, vcpu, guest, thread, count };
}

describe("exits per interrupt, as KVM's tracepoint counted them (exits-per-interrupt.json)", () => {
  it("a message costs a running guest two: the kick and its EOI; a halted one HLT and EOI", () => {
    const spin = running({ idle: "spin" });
    expect(spin.m.msi(spin.vm, LAPIC, MSI_VECTOR)).toBe(1);
    expect([spin.guest.taken, spin.count()]).toEqual([[MSI_VECTOR], { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }]);
    const hlt = running({ idle: "hlt" });
    expect(hlt.m.msi(hlt.vm, LAPIC, MSI_VECTOR)).toBe(1);
    expect([hlt.guest.taken, hlt.count(), hlt.vcpu.stat.haltWakeup]).toEqual([[MSI_VECTOR], { EPT_MISCONFIG: 1, HLT: 1 }, 1]);
  });

  it("an eventfd on a message route and one on an edge pin cost two", () => {
    for (const gsi of [MSI_GSI, PIN]) {
      const { m, vm, guest, count } = running({ idle: "spin", setUp: [...BOTH_PICS_MASKED] });
      if (gsi === PIN) run(m.vm(vm).buses.guestWrite(0, m.arch(vm).vcpus[0], IOAPIC + 0x10, 4, LEVEL_VECTOR, 0));
      const e = m.eventfd();
      expect(m.irqfd(vm, e, gsi)).toBe(0);
      count();
      m.write(e, 1);
      expect([guest.taken, count()]).toEqual([[gsi === PIN ? LEVEL_VECTOR : MSI_VECTOR], { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }]);
    }
  });

  it("a level line with resampling costs two: the resample is in the EOI", () => {
    const { m, vm, guest, count } = running({ idle: "spin" });
    const [e, r] = [m.eventfd(), m.eventfd()];
    expect(m.irqfd(vm, e, PIN, K.KVM_IRQFD_FLAG_RESAMPLE, r)).toBe(0);
    count();
    m.write(e, 1);
    expect([guest.taken, count(), m.count(r)]).toEqual([[LEVEL_VECTOR], { EXTERNAL_INTERRUPT: 1, EPT_MISCONFIG: 1 }, 1]);
    expect(m.ioapic(vm, PIN)).toEqual({ irr: 0, entry: 0x8000 | LEVEL_VECTOR });
  });

  it("a level line of user space's device costs three: it is lowered by an access that leaves KVM_RUN", () => {
    const { m, vm, guest, thread, count } = running({ idle: "spin", handler: [{ out: DEVICE_PORT, value: 0 }, EOI] });
    thread.onExit = () => m.irqLine(vm, PIN, 0);
    m.irqLine(vm, PIN, 1);
    expect([guest.taken, count()]).toEqual([[LEVEL_VECTOR], { EXTERNAL_INTERRUPT: 1, IO_INSTRUCTION: 1, EPT_MISCONFIG: 1 }]);
    expect(thread.returns).toEqual([K.KVM_EXIT_IO]);
  });

  it("an interrupt of the PIC costs two: the kick and the EOI port", () => {
    const { m, vm, guest, count } = running({ idle: "spin", handler: [PIC_EOI], setUp: PIC_INIT });
    m.irqLine(vm, 5, 1);
    expect([guest.taken, count()]).toEqual([[0x25], { EXTERNAL_INTERRUPT: 1, IO_INSTRUCTION: 1 }]);
  });

  it("in x2APIC mode the EOI is a write to a register", () => {
    const { m, vm, fd, guest, count } = running({ idle: "spin", handler: [{ wrmsr: 0x80b, value: 0 }] });
    m.x2apic(fd);
    expect(m.msi(vm, LAPIC, MSI_VECTOR)).toBe(1);
    expect([guest.taken, count()]).toEqual([[MSI_VECTOR], { EXTERNAL_INTERRUPT: 1, MSR_WRITE: 1 }]);
  });
});

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

  it("of three NMIs one is taken, one waits for the IRET, and one is lost", () => {
    const m = new X86Machine();
    const fd = m.vcpu(m.xf(), 0);
    for (let i = 0; i < 3; i++) m.ioctl(fd, X.KVM_NMI, 0);
    expect(m.guest(fd, ["nop", "nop"])).toEqual([2]);
    expect(m.guest(fd, ["iret", "nop", "nop"])).toEqual([2]);
    expect(m.guest(fd, ["iret", "nop", "iret", "nop"])).toEqual([]);
    expect(m.vcpuOf(fd).stat.nmiWindowExits).toBe(1);
  });

  it("an NMI ends a halt with interrupts disabled; a message does not", () => {
    const { m, vm, vcpu, guest } = running({ idle: "hlt", setUp: [...BOTH_PICS_MASKED] });
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
