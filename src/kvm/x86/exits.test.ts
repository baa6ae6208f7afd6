import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { run as step } from "../../sim/step.js";
import type { X86Compat } from "../../irqchip/x86/chip-rules.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import { X86_EXIT_NAMES } from "./guest.js";
import { type Action, BOTH_PICS_MASKED, entry, EOI, LAPIC, LVT0, SPIV, X86Machine } from "../../explore/stages/x86-machine.js";

// What one interrupt costs, as Linux 6.1's KVM counted it on an AMD CPU without AVIC, row by row.

/** Counters of KVM per interrupt: what is absent was 0. */
interface Row {
  readonly mode: string;
  readonly wait: "spin" | "hlt";
  readonly n: number;
  readonly kvm_exit: Readonly<Record<string, number>>;
  readonly io_exits?: number;
  readonly halt_exits?: number;
  readonly halt_wakeup?: number;
  readonly irq_injections?: number;
}
interface Run {
  readonly host: string;
  readonly rows: readonly Row[];
}

const file = new URL("../../../../test/conformance/exits-per-interrupt.json.gz", import.meta.url);
const runs: readonly Run[] = JSON.parse(gunzipSync(readFileSync(file)).toString()).runs;
const rows = runs.filter(({ host }) => host.startsWith("x86-64")).flatMap((each) => each.rows);

/** SVM's exits by the names that VMX has for them. */
const VMX: Readonly<Record<string, string>> = { INTR: "EXTERNAL_INTERRUPT", NPF: "EPT_MISCONFIG", IOIO: "IO_INSTRUCTION", MSR: "MSR_WRITE", HLT: "HLT" };

/** The host's ticks, and a rare interrupt that came together with one, are fractions. */
const perInterrupt = (count: number | undefined): number => Math.round(count ?? 0);

/** What the row says of one interrupt. */
function counted(row: Row) {
  const exits: Record<string, number> = {};
  for (const [reason, count] of Object.entries(row.kvm_exit)) if (perInterrupt(count) > 0) exits[VMX[reason]] = perInterrupt(count);
  return {
    exits,
    ioExits: perInterrupt(row.io_exits),
    haltExits: perInterrupt(row.halt_exits),
    haltWakeup: perInterrupt(row.halt_wakeup),
    irqInjections: perInterrupt(row.irq_injections),
  };
}

const VECTOR = 0x41;
const MSI_GSI = 30;
const PIN = 11;
const PIC_LINE = 5;
const PIC_BASE = 0x20;
const DEVICE_PORT = 0x500;
const RAM = 0x10_0000;
/** Arguments in the process, where the machine has memory for them. */
const LEVELS = 0x4e000;
const RAM_SIZE = 0x1_0000;
const LEVEL = 1 << 15;
const INTERRUPTS = 10;

type Ending = "xAPIC" | "x2APIC" | "PV" | "PIC";

/** Both PICs initialised, edge-triggered, the one line unmasked. */
const PIC_SETUP: readonly Action[] = [
  ...[0x11, PIC_BASE, 4, 1].map((value, i) => ({ out: i === 0 ? 0x20 : 0x21, value })),
  { out: 0x21, value: ~(1 << PIC_LINE) & 0xff },
  { out: 0xa1, value: 0xff },
];

/** The guest of the recording: counts, and ends what it gets in one of four ways. */
class CountingMachine extends X86Machine {
  readonly fd = this.xf();
  readonly cpu = this.vcpu(this.fd, 0);

  /** Ends the interrupt; the paravirtual way falls back on the register where it is not offered. */
  private ending(ending: Ending): Action[] {
    if (ending === "PIC") return [{ out: 0x20, value: 0x20 }];
    if (ending === "x2APIC") return [{ wrmsr: 0x80b, value: 0 }];
    return ending === "PV" ? [{ skipIfCleared: RAM }, EOI] : [EOI];
  }

  boot(ending: Ending, wait: "spin" | "hlt", service: readonly Action[], pinEntry: number): void {
    expect(this.process.memory.map(RAM, RAM_SIZE)).toBe(true);
    const slot = this.ioctlOn(this.fd, K.KVM_SET_USER_MEMORY_REGION, K.kvm_userspace_memory_region, (view) => {
      K.kvm_userspace_memory_region.memory_size.setNumber(view, RAM_SIZE);
      K.kvm_userspace_memory_region.userspace_addr.setNumber(view, RAM);
    });
    expect(slot).toBe(0);
    const guest = this.scriptOf(this.cpu);
    for (const vector of [VECTOR, PIC_BASE + PIC_LINE]) guest.handlers.set(vector, [...service, ...this.ending(ending)]);
    const pics = ending === "PIC" ? PIC_SETUP : [...BOTH_PICS_MASKED, { store: LVT0, value: 1 << 16 }];
    const pv = ending === "PV" ? [{ wrmsr: X.MSR_KVM_PV_EOI_EN, value: 1 }] : [];
    this.guest(this.cpu, [{ store: SPIV, value: 0x1ff }, ...pics, ...entry(PIN, pinEntry), ...pv, "sti", "nop"]);
    if (ending === "x2APIC") this.x2apic(this.cpu);
    this.route(this.fd, [
      { gsi: MSI_GSI, type: K.KVM_IRQ_ROUTING_MSI, words: [LAPIC, 0, VECTOR] },
      { gsi: PIN, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [X.KVM_IRQCHIP_IOAPIC, PIN] },
      { gsi: PIC_LINE, type: K.KVM_IRQ_ROUTING_IRQCHIP, words: [X.KVM_IRQCHIP_PIC_MASTER, PIC_LINE] },
    ]);
    guest.idle = wait;
  }
}

/** One way to deliver: the entry of the IOAPIC's pin, what the handler does beside the end, and the calls of one interrupt. */
interface Delivery {
  readonly entry?: number;
  readonly service?: readonly Action[];
  wire?(m: CountingMachine): () => void;
}

/** Up and down before the vCPU's thread on the other CPU gets to run: a guest that took it in between would be kicked by the PIC twice. */
function pulse(m: CountingMachine, gsi: number): () => void {
  const { kvm_irq_level: line } = K;
  const levels = new DataView(new ArrayBuffer(2 * line.size));
  for (const [i, level] of [1, 0].entries()) {
    line.irq.set(levels, gsi, i * line.size);
    line.level.set(levels, level, i * line.size);
  }
  return () => {
    m.process.memory.copyOut(LEVELS, new Uint8Array(levels.buffer));
    for (const at of [0, line.size]) expect(step(m.process.ioctl(m.fd, K.KVM_IRQ_LINE, LEVELS + at))).toBe(0);
  };
}

function irqfd(m: CountingMachine, gsi: number, resamplefd = -1): () => void {
  const e = m.eventfd();
  expect(resamplefd < 0 ? m.irqfd(m.fd, e, gsi) : m.irqfd(m.fd, e, gsi, K.KVM_IRQFD_FLAG_RESAMPLE, resamplefd)).toBe(0);
  return () => expect(m.write(e, 1)).toBe(8);
}

const DELIVERIES: Readonly<Record<string, Delivery & Required<Pick<Delivery, "wire">>>> = {
  KVM_SIGNAL_MSI: { wire: (m) => () => expect(m.msi(m.fd, LAPIC, VECTOR)).toBe(1) },
  "KVM_IRQ_LINE, IOAPIC edge": { entry: VECTOR, wire: (m) => pulse(m, PIN) },
  "KVM_IRQ_LINE, IOAPIC level, device emulated in user space (ack by port)": {
    entry: LEVEL | VECTOR,
    service: [{ out: DEVICE_PORT, value: 1 }],
    wire: (m) => () => m.irqLine(m.fd, PIN, 1),
  },
  "irqfd, MSI route": { wire: (m) => irqfd(m, MSI_GSI) },
  "irqfd + resamplefd, IOAPIC level": { entry: LEVEL | VECTOR, wire: (m) => irqfd(m, PIN, m.eventfd()) },
  "KVM_IRQ_LINE, PIC edge": { wire: (m) => pulse(m, PIC_LINE) },
  "irqfd, PIC edge": { wire: (m) => irqfd(m, PIC_LINE) },
};

/** Runs the row's scenario: what each of its interrupts cost. */
function run(row: Row, compat: X86Compat = "linux-6.1"): ReturnType<typeof counted> {
  const [, what, ending] = /^(.*), (\w+) EOI$/.exec(row.mode) ?? [];
  const { entry: pinEntry = 1 << 16, service = [], wire } = DELIVERIES[what];
  const m = new CountingMachine({}, { compat });
  m.boot(ending as Ending, row.wait, service, pinEntry);
  const deliver = wire(m);
  const thread = m.start(m.cpu);
  thread.onExit = () => m.irqLine(m.fd, PIN, 0);
  const { stat } = m.vcpuOf(m.cpu);
  const { taken } = m.scriptOf(m.cpu);
  const before = { exits: stat.exitsByReason.slice(), io: stat.ioExits, halts: stat.haltExits, wakeups: stat.haltWakeup, injections: stat.irqInjections, taken: taken.length };
  for (let i = 0; i < INTERRUPTS; i++) {
    deliver();
    m.settle();
  }
  expect(taken.length - before.taken).toBe(INTERRUPTS);
  const exits: Record<string, number> = {};
  stat.exitsByReason.forEach((count, reason) => {
    if (count > before.exits[reason]) exits[X86_EXIT_NAMES[reason]] = (count - before.exits[reason]) / INTERRUPTS;
  });
  return {
    exits,
    ioExits: (stat.ioExits - before.io) / INTERRUPTS,
    haltExits: (stat.haltExits - before.halts) / INTERRUPTS,
    haltWakeup: (stat.haltWakeup - before.wakeups) / INTERRUPTS,
    irqInjections: (stat.irqInjections - before.injections) / INTERRUPTS,
  };
}

/** What a recording has that virq has not, by the beginning of its row's name. */
const WITHOUT: ReadonlyMap<string, string> = new Map([["baseline", "the ticks of an idle host: virq's host has no timer tick"]]);

describe("the PIC's interrupts", () => {
  // Until 6.15 the acknowledge itself asked for an event (x86-irqchip.md 4.4): it turned the entry back, and what was on its way in was injected anew.
  it.each([["linux-6.14", 2], ["linux-6.15", 1]] as const)("are injected by %s %i times each", (compat, times) => {
    const row: Row = { mode: "KVM_IRQ_LINE, PIC edge, PIC EOI", wait: "spin", n: 1, kvm_exit: {} };
    expect(run(row, compat).irqInjections).toBe(times);
  });
});

describe("exits per interrupt are those that a real kernel counted (exits-per-interrupt.json)", () => {
  const isLeftOut = (row: Row): boolean => [...WITHOUT.keys()].some((name) => row.mode.startsWith(name));

  it("every row of the x86 host is run but those that are left out, with a reason each", () => {
    expect([rows.length, rows.filter(isLeftOut).length]).toEqual([35, 1]);
  });

  it.each(rows.filter((row) => !isLeftOut(row)).map((row) => [row.mode, row.wait, row] as const))("%s, guest in %s", (_mode, _wait, row) => {
    expect(run(row)).toEqual(counted(row));
  });
});
