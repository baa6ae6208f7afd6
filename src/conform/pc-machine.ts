import type { Step } from "../sim/step.js";
import type { PcStep } from "./pc-vector.js";
import type { Observation } from "./target.js";
import type { GuestAction, RoutingEntryArgs } from "./x86/op.js";
import type { X86Answer, X86Call, X86Target } from "./x86/vector.js";

const IOAPIC = 0xfec00000;
const IOWIN = 0x10;
const LAPIC = 0xfee00000;
const PIC_LINES = 16;
const LINES_OF_ONE_PIC = 8;
const IOAPIC_PINS = 24;
/** A line that nobody lowers would be taken for ever. */
const MAX_TAKEN = 64;

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** GSIs 0 to 15 are the PIC pair's lines, 16 to 39 the IOAPIC's pins: each drives one input of one chip. */
function routing(): RoutingEntryArgs[] {
  const entries: RoutingEntryArgs[] = [];
  for (let line = 0; line < PIC_LINES; line++)
    entries.push({ gsi: line, type: "irqchip", irqchip: line < LINES_OF_ONE_PIC ? "picMaster" : "picSlave", pin: line % LINES_OF_ONE_PIC });
  for (let pin = 0; pin < IOAPIC_PINS; pin++) entries.push({ gsi: PIC_LINES + pin, type: "irqchip", irqchip: "ioapic", pin });
  return entries;
}

/** A PC made of calls to /dev/kvm, of the model's or of the running kernel's: steps of QEMU's vectors become such calls. */
export class PcMachine {
  constructor(private readonly kvm: X86Target) {}

  /** Every CPU runs, its interrupt flag off. */
  *start(cpus: number): Step<void> {
    yield* this.call({ op: "createVm", args: {} });
    yield* this.call({ op: "createIrqchip", args: {} });
    yield* this.call({ op: "setGsiRouting", args: { entries: routing() } });
    for (let id = 0; id < cpus; id++) yield* this.call({ op: "createVcpu", args: { id } });
    for (let id = 0; id < cpus; id++) {
      yield* this.call({ op: "setMpState", args: { vcpu: `vcpu${id}`, state: "runnable" } });
      yield* this.call({ op: "guestInit", args: { vcpu: `vcpu${id}` } });
    }
  }

  private *call(call: X86Call): Step<X86Answer> {
    const answer = yield* this.kvm.perform(call);
    if (answer.errno !== undefined) throw new Error(`${call.op}: ${answer.errno}`);
    return answer;
  }

  private *guest(cpu: number, action: GuestAction, operands: { addr?: number; port?: number; value?: number }): Step<X86Answer> {
    return yield* this.call({ op: "guest", args: { vcpu: `vcpu${cpu}`, do: action, ...operands } });
  }

  private *read(cpu: number, action: GuestAction, operands: { addr?: number; port?: number }): Step<string> {
    const { value } = yield* this.guest(cpu, action, operands);
    return hex(Number(value));
  }

  *perform(step: PcStep): Step<Observation> {
    switch (step.op) {
      case "picRead":
        return yield* this.read(0, "in8", { port: Number(step.port) });
      case "picWrite":
        yield* this.guest(0, "out8", { port: Number(step.port), value: Number(step.value) });
        return null;
      case "ioapicRead":
        yield* this.guest(0, "mmioWrite32", { addr: IOAPIC, value: Number(step.index) });
        return yield* this.read(0, "mmioRead32", { addr: IOAPIC + IOWIN });
      case "ioapicWrite":
        yield* this.guest(0, "mmioWrite32", { addr: IOAPIC, value: Number(step.index) });
        yield* this.guest(0, "mmioWrite32", { addr: IOAPIC + IOWIN, value: Number(step.value) });
        return null;
      case "lapicRead":
        return yield* this.read(step.cpu, "mmioRead32", { addr: LAPIC + Number(step.off) });
      case "lapicWrite":
        yield* this.guest(step.cpu, "mmioWrite32", { addr: LAPIC + Number(step.off), value: Number(step.value) });
        return null;
      case "mmioRead":
        return yield* this.read(0, READS[step.size], { addr: Number(step.addr) });
      case "mmioWrite":
        yield* this.guest(0, WRITES[step.size], { addr: Number(step.addr), value: Number(step.value) });
        return null;
      case "setIrq":
        yield* this.call({ op: "irqLine", args: { gsi: step.chip === "pic" ? step.pin : PIC_LINES + step.pin, level: step.level } });
        return null;
      case "msi":
        yield* this.call({ op: "signalMsi", args: { addressLo: Number(step.addr), data: Number(step.data) } });
        return null;
      case "window":
        return yield* this.window(step.cpu);
    }
  }

  /** What is taken between STI and CLI; each handler returns at once. */
  private *window(cpu: number): Step<readonly number[]> {
    const taken: number[] = [];
    let answer = yield* this.guest(cpu, "sti", {});
    for (;;) {
      const before = taken.length;
      for (const event of answer.events ?? []) if (event.type === "intr") taken.push(event.vector);
      if (taken.length === before || taken.length >= MAX_TAKEN) break;
      answer = yield* this.guest(cpu, "iret", {});
    }
    yield* this.guest(cpu, "cli", {});
    return taken;
  }

  *close(): Step<void> {
    yield* this.kvm.close();
  }
}

const READS = { 1: "mmioRead8", 2: "mmioRead16", 4: "mmioRead32" } as const;
const WRITES = { 1: "mmioWrite8", 2: "mmioWrite16", 4: "mmioWrite32" } as const;
