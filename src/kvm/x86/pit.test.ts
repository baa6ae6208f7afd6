import { NOT_READ } from "../../irqchip/x86/contract.js";
import { describe, expect, it } from "vitest";
import { vectorsOf } from "../../arch/x86/vector-set.js";
import { explore } from "../../explore/explorer.js";
import type { Program } from "../../explore/trial.js";
import { Context } from "../../sim/context.js";
import { run, type Step, STRAIGHT } from "../../sim/step.js";
import { EEXIST, EFAULT, ENOENT, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { BusKind } from "../io-bus.js";
import { BOTH_PICS_MASKED, entry, LAPIC, LVT0, SPIV, X86Machine } from "../../explore/stages/x86-machine.js";

const MS = 1_000_000;
const VECTOR = 0x30;
/** 11,932 cycles are a little more than 10 ms. */
const TEN_MS = 11_932;
const PERIOD_NS = Math.floor((TEN_MS * 1e9) / 1_193_182);
const NOWHERE = 0x7000_0000;

class Does extends Context {
  constructor(
    name: string,
    kind: "hardirq" | "vcpu",
    private readonly what: () => Step<unknown>,
  ) {
    super(name, kind, 0);
  }
  override *body(): Step<void> {
    yield* this.what();
  }
}

/** A vCPU whose GSI 0 is an edge with vector 0x30, and a PIT. */
class PitMachine extends X86Machine {
  readonly vmFd = this.xf();
  readonly fd = this.vcpu(this.vmFd, 0);

  constructor(flags = 0) {
    super();
    this.guest(this.fd, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }, { store: LVT0, value: 0x1_0000 }, ...entry(0, VECTOR)]);
    if (this.create(this.vmFd, flags) !== 0) throw new Error("no PIT");
    this.enter();
  }

  create(vm: number, flags = 0): number {
    return this.ioctlOn(vm, X.KVM_CREATE_PIT2, X.kvm_pit_config, (view) => X.kvm_pit_config.flags.set(view, flags));
  }

  /** The guest's OUT and IN: without a run to the end, which a periodic timer does not have. */
  out(port: number, ...values: number[]): void {
    const { buses } = this.vm(this.vmFd);
    for (const value of values) if (!run(buses.guestWrite(BusKind.PIO, this.vcpuOf(this.fd), port, 1, value, 0))) throw new Error(`nothing at port ${port}`);
  }

  in(port: number): number {
    const { buses } = this.vm(this.vmFd);
    return run(buses.guestRead(BusKind.PIO, this.vcpuOf(this.fd), port, 1)) ? buses.low : -1;
  }

  /** Channel 0, low and high byte of the count, in a mode. */
  program(mode: number, count = TEN_MS): void {
    this.out(0x43, 0x30 | (mode << 1));
    this.out(0x40, count & 0xff, count >> 8);
  }

  until(ns: number): void {
    run(this.sim.runUntil(ns));
  }

  /** The rescan before an entry. */
  enter(): void {
    run(this.apic(this.fd).handled.rescan());
  }

  get isPending(): boolean {
    return vectorsOf(this.apic(this.fd).irr).includes(VECTOR);
  }

  /** The guest takes the tick and ends it. */
  serve(): void {
    const apic = this.apic(this.fd);
    const vector = run(apic.nextInterrupt());
    if (vector !== VECTOR) throw new Error(`the guest takes ${vector}`);
    run(apic.take(vector));
    run(apic.eoi());
  }

  reinject(isOn: boolean): number {
    this.process.memory.copyOut(0x20000, new Uint8Array(X.kvm_reinject_control.size).fill(isOn ? 1 : 0, 0, 1));
    return run(this.process.ioctl(this.vmFd, X.KVM_REINJECT_CONTROL, 0x20000));
  }

  state(): DataView {
    const result = run(this.process.ioctl(this.vmFd, X.KVM_GET_PIT2, 0x21000));
    if (result !== 0) throw new Error(`KVM_GET_PIT2: ${result}`);
    const bytes = new Uint8Array(X.kvm_pit_state2.size);
    this.process.memory.copyIn(0x21000, bytes);
    return new DataView(bytes.buffer);
  }

  setState(view: DataView): number {
    this.process.memory.copyOut(0x21000, new Uint8Array(view.buffer));
    return run(this.process.ioctl(this.vmFd, X.KVM_SET_PIT2, 0x21000));
  }
}

describe("the in-kernel PIT: requests (as 6.18 answers them, seen through /dev/kvm)", () => {
  it("it stands beside an in-kernel PIC, once; without it its other requests have no device", () => {
    const m = new PitMachine();
    expect([m.create(m.xs()), m.create(m.vmFd), m.ioctl(m.vmFd, X.KVM_CREATE_PIT2, NOWHERE)]).toEqual([-ENOENT, -EEXIST, -EFAULT]);
    const other = m.xf();
    const without = [X.KVM_GET_PIT2, X.KVM_SET_PIT2, X.KVM_REINJECT_CONTROL].map((request) => m.ioctl(other, request, 0x20000));
    expect(without).toEqual([-ENXIO, -ENXIO, -ENXIO]);
    expect([X.KVM_GET_PIT2, X.KVM_SET_PIT2, X.KVM_REINJECT_CONTROL].map((request) => m.ioctl(m.vmFd, request, NOWHERE))).toEqual([-EFAULT, -EFAULT, -EFAULT]);
  });

  it("begins with the largest counts, no mode, and channel 2's gate down", () => {
    const view = new PitMachine().state();
    const of = X.kvm_pit_state2.channels.map((channel) => [channel.count.get(view), channel.mode.get(view), channel.gate.get(view)]);
    expect(of).toEqual([[0x10000, 0xff, 1], [0x10000, 0xff, 1], [0x10000, 0xff, 0]]);
  });

  it("takes every field as given, a count of 0 as the largest", () => {
    const m = new PitMachine();
    const view = m.state();
    const { channels, flags } = X.kvm_pit_state2;
    for (const channel of channels) {
      channel.count.set(view, 0);
      channel.latched_count.set(view, 5);
      channel.count_latched.set(view, 1);
      channel.status.set(view, 0x92);
      channel.rw_mode.set(view, 3);
      channel.mode.set(view, 4);
      channel.bcd.set(view, 1);
    }
    flags.set(view, 1);
    expect(m.setState(view)).toBe(0);
    const after = m.state();
    expect(channels.map((channel) => [channel.count.get(after), channel.latched_count.get(after), channel.status.get(after), channel.mode.get(after), channel.bcd.get(after)])).toEqual(channels.map(() => [0x10000, 5, 0x92, 4, 1]));
    expect([flags.get(after), m.in(0x40)]).toEqual([1, 5]);
  });
});

describe("kvm-irq-core.md 5.5: the PIT as an acknowledge client of GSI 0", () => {
  it("a tick is a pulse of source 2", () => {
    const m = new PitMachine();
    m.program(0);
    m.trace.clear();
    m.until(PERIOD_NS + 1);
    expect([m.isPending, m.lines()]).toEqual([true, ["kvm_set_irq(0,1,2)", "kvm_set_irq(0,0,2)"]]);
    m.serve();
    m.until(10 * PERIOD_NS);
    expect(m.isPending).toBe(false);
  });

  it("a periodic one comes again; ticks that the guest was too slow for are made up for, one an acknowledge", () => {
    const m = new PitMachine();
    m.program(2);
    m.until(3 * PERIOD_NS + 1);
    const pulses = (): number => m.trace.lines("kvm_set_irq").filter((line) => line === "kvm_set_irq(0,1,2)").length;
    expect([m.isPending, pulses()]).toEqual([true, 1]);
    const owed: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      m.serve();
      m.until(3 * PERIOD_NS + 2 + i);
      owed.push(m.isPending);
    }
    expect([owed, pulses()]).toEqual([[true, true, false], 3]);
    m.until(4 * PERIOD_NS + 1);
    expect(m.isPending).toBe(true);
  });

  it("without reinjection every tick is a pulse, and none is made up for", () => {
    const m = new PitMachine();
    expect(m.reinject(false)).toBe(0);
    m.enter();
    m.program(2);
    m.until(3 * PERIOD_NS + 1);
    expect(m.trace.lines("kvm_set_irq").filter((line) => line === "kvm_set_irq(0,1,2)").length).toBe(3);
    m.serve();
    m.until(3 * PERIOD_NS + 2);
    expect(m.isPending).toBe(false);
  });

  it("an unmask of GSI 0 forgets what is owed", () => {
    const m = new PitMachine();
    m.program(2);
    m.until(3 * PERIOD_NS + 1);
    const { ioapic } = m.arch(m.vmFd);
    const vcpu = m.vcpuOf(m.fd);
    if (ioapic === null) throw new Error("no IOAPIC");
    for (const low of [0x1_0000 | VECTOR, VECTOR]) {
      run(ioapic.mmioWrite(vcpu, 0, 4, 0x10, 0));
      run(ioapic.mmioWrite(vcpu, 0x10, 4, low, 0));
    }
    m.enter();
    m.serve();
    m.until(3 * PERIOD_NS + 2);
    expect(m.isPending).toBe(false);
    m.until(4 * PERIOD_NS + 1);
    expect(m.isPending).toBe(true);
  });

  it("reinjection inhibits AVIC, whose edge EOIs nobody sees; posted interrupts it does not (x86-irqchip.md 11)", () => {
    const m = new PitMachine();
    const { apics } = m.arch(m.vmFd);
    const inhibited = (): unknown => ["amd", "intel"].map((vendor) => run(apics?.inhibits.isInhibited(vendor as "amd" | "intel") ?? (false as never)));
    expect(inhibited()).toEqual([true, false]);
    m.reinject(false);
    expect(inhibited()).toEqual([false, false]);
  });

  it("7.8: LINT0 in NMI mode makes the tick an NMI watchdog", () => {
    const m = new PitMachine();
    m.program(0);
    m.until(PERIOD_NS + 1);
    expect(m.vcpuOf(m.fd).nmiQueued).toBe(0);
    m.serve();
    run(m.apic(m.fd).mmioWrite(LVT0 - LAPIC, 4, 0x400));
    m.program(0);
    m.until(3 * PERIOD_NS);
    expect(m.vcpuOf(m.fd).nmiQueued).toBe(1);
  });

  it("H26: a VM that goes stops its PIT before the routing table is freed", () => {
    const m = new PitMachine();
    m.program(2);
    const vm = m.vm(m.vmFd);
    m.until(PERIOD_NS - 1);
    for (const fd of [m.fd, m.vmFd]) run(m.process.close(fd));
    expect(vm.isDestroyed).toBe(true);
    m.until(10 * PERIOD_NS);
    expect(m.sim.isQuiet()).toBe(true);
  });
});

/** One tick is in service, and nothing is owed: the next comes while the guest ends it. */
function tickAgainstEnd(): Program {
  const m = new PitMachine();
  const { pit } = m.arch(m.vmFd);
  if (pit === null) throw new Error("no PIT");
  run(pit.tick());
  run(m.sim.settle());
  const apic = m.apic(m.fd);
  run(apic.take(VECTOR));
  m.sim.traceTo(null);
  return {
    sim: m.sim,
    contexts: [new Does("tick", "hardirq", () => pit.tick()), new Does("EOI", "vcpu", () => apic.eoi())],
    check: () => null,
    end: () => (m.isPending ? null : "a tick waits for the next one although the one before was ended"),
  };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("5.5: the acknowledge is noted before the owed ticks are counted", () => {
  it("so no tick that comes meanwhile waits, in every interleaving with one preemption", () => {
    expect(explore(tickAgainstEnd, { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  });
});

describe("the i8254's ports", () => {
  it("a latched count stays while counting goes on; then the running one is read, low byte first", () => {
    const m = new PitMachine();
    m.out(0x43, 0xb4);
    m.out(0x42, 0x00, 0x40);
    m.until(MS);
    m.out(0x43, 0x80);
    m.until(2 * MS);
    const read = (): number => m.in(0x42) | (m.in(0x42) << 8);
    expect([read(), read(), m.in(0x43)]).toEqual([0x4000 - 1193, 0x4000 - 2386, NOT_READ]);
  });

  it("a read-back latches count and status; OUT is bit 7 of the status", () => {
    const m = new PitMachine();
    m.out(0x43, 0x70);
    m.out(0x41, 100, 0);
    m.out(0x43, 0xe4);
    expect(m.in(0x41)).toBe(0x30);
    m.until(MS);
    m.out(0x43, 0xc4);
    expect([m.in(0x41), m.in(0x41), m.in(0x41)]).toEqual([0xb0, (100 - 1193) & 0xff, ((100 - 1193) >> 8) & 0xff]);
  });

  it("the status of every mode and transfer, soon after the load, is what 6.18 gives for each channel", () => {
    const seen = [0, 1, 2].map((channel) => {
      const statuses: string[] = [];
      for (let mode = 0; mode < 8; mode++)
        for (const transfer of [1, 2, 3]) {
          const m = new PitMachine();
          m.out(0x43, (channel << 6) | (transfer << 4) | (mode << 1) | (mode & 1));
          m.out(0x40 + channel, 0xff, ...(transfer === 3 ? [0xff] : []));
          m.until(MS / 50);
          m.out(0x43, 0xe0 | (2 << channel));
          statuses.push(m.in(0x40 + channel).toString(16));
        }
      return statuses.join(" ");
    });
    expect(seen).toEqual(Array(3).fill("10 20 30 93 a3 b3 14 24 34 97 a7 b7 18 28 38 1b 2b 3b 14 24 34 97 a7 b7"));
  });

  it("a short period is lengthened to 200 microseconds", () => {
    const m = new PitMachine();
    m.reinject(false);
    m.program(2, 12);
    m.until(MS + 1);
    expect(m.trace.lines("kvm_set_irq").filter((line) => line === "kvm_set_irq(0,1,2)").length).toBe(5);
  });

  it("while the HPET has its interrupt the timer does not run", () => {
    const m = new PitMachine();
    m.program(2);
    const view = m.state();
    X.kvm_pit_state2.flags.set(view, 1);
    expect(m.setState(view)).toBe(0);
    m.until(5 * PERIOD_NS);
    expect([m.isPending, m.sim.isQuiet()]).toEqual([false, true]);
  });

  it("port 0x61 is there where a speaker is asked for: gate and output of channel 2", () => {
    expect(new PitMachine().in(0x61)).toBe(-1);
    const m = new PitMachine(X.KVM_PIT_SPEAKER_DUMMY);
    expect(m.in(0x61) & 0x03).toBe(0);
    m.out(0x43, 0xb0);
    m.out(0x61, 0x03);
    m.out(0x42, 100, 0);
    expect(m.in(0x61) & 0x23).toBe(0x03);
    m.until(MS);
    expect(m.in(0x61) & 0x23).toBe(0x23);
  });

  it("without a PIT the ports are user space's", () => {
    const m = new X86Machine();
    const vcpu = m.vcpu(m.xf(), 0);
    expect(m.runOnce(vcpu, [{ out: 0x43, value: 0x34 }])).toBe(K.KVM_EXIT_IO);
  });
});
