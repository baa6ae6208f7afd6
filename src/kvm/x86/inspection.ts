import { hasDense, vectorsOf } from "../../arch/x86/vector-set.js";
import { describeEntry } from "../../irqchip/x86/redirection-entry.js";
import { APIC_REGISTERS, ApicReg } from "../../irqchip/x86/lapic/registers.js";
import type { IoApic } from "../../irqchip/x86/ioapic/ioapic.js";
import type { LineSources } from "../../irqchip/x86/line-sources.js";
import { PIC_PINS, type PicPair } from "../../irqchip/x86/pic.js";
import { reads } from "../../sim/access.js";
import { ContextState } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";
import { KVM_IRQ_ROUTING_MSI } from "../../uapi/kvm.js";
import { KVM_IOAPIC_NUM_PINS } from "../../uapi/x86.js";
import type { Vm } from "../vm.js";
import type { VcpuX86 } from "./vcpu.js";
import type { X86Vm } from "./x86.js";

/** Of one 8259A: its bytes in the order of `struct kvm_pic_state` (x86-irqchip.md 4.2). */
export type PicBytes = readonly number[];

/** The PIC pair: both records, and what they omit. */
export interface PicInspection {
  readonly master: PicBytes;
  readonly slave: PicBytes;
  /** INT to the CPUs. */
  readonly output: boolean;
  /** By line: a bit for each source that holds it high. */
  readonly sources: readonly number[];
}

/** The IOAPIC: its record, and what the record omits. */
export interface IoApicInspection {
  readonly id: number;
  readonly ioregsel: number;
  /** A bit a pin: level requested or edge latched; and edges that were sent. */
  readonly irr: number;
  readonly irrDelivered: number;
  /** By pin: "0x0000000000010000". */
  readonly entries: readonly string[];
  /** By pin: EOIs in a row that found the line high. */
  readonly eoiCounts: readonly number[];
  readonly sources: readonly number[];
  /** EOIs of the last RTC tick that are still to come. */
  readonly rtcPendingEoi: number;
  /** A pin is paused (5.6). */
  readonly isStormPaused: boolean;
}

/** One vCPU's local APIC. */
export interface CpuInspection {
  readonly id: number;
  readonly apicBase: string;
  /** The readable registers but the bitmaps, unsigned, by name. */
  readonly registers: Readonly<Record<string, number>>;
  /** Vectors in IRR, ISR and TMR, ascending. */
  readonly requested: readonly number[];
  readonly inService: readonly number[];
  readonly level: readonly number[];
  /** Vectors whose end somebody hears of (8.3). */
  readonly handled: readonly number[];
  /** The ExtINT of split mode that waits, -1 for none. */
  readonly externalVector: number;
  readonly nmis: number;
  readonly isTimerPending: boolean;
}

/** A route as "gsi 4: chip 2 pin 4" or "gsi 24: message fee00000 41". */
export interface X86Inspection {
  readonly mode: "none" | "full" | "split";
  readonly nowNs: number;
  readonly routes: readonly string[];
  readonly pic: PicInspection | null;
  readonly ioapic: IoApicInspection | null;
  readonly cpus: readonly CpuInspection[];
}

/** Plain data: what the records of KVM's ioctls hold, and what they omit (x86-irqchip.md 14.3). */
export function* inspectIrqchip(vm: Vm, arch: X86Vm): Step<X86Inspection> {
  const { pic, ioapic } = arch;
  const cpus: CpuInspection[] = [];
  for (let i = 0; i < arch.vcpus.length; i++) {
    const cpu = yield* inspectCpu(arch.vcpus[i]);
    if (cpu !== null) cpus.push(cpu);
  }
  yield reads(vm, "routing");
  return {
    mode: arch.irqchipMode,
    nowNs: vm.sim.now(),
    routes: describeRoutes(vm),
    pic: pic === null ? null : yield* inspectPic(pic),
    ioapic: ioapic === null ? null : yield* inspectIoApic(ioapic),
    cpus,
  };
}

function describeRoutes(vm: Vm): string[] {
  const all: string[] = [];
  for (let gsi = 0; gsi < vm.routing.size; gsi++)
    for (const { type, chip, pin, addressLo, data } of vm.routing.routesOf(gsi))
      all.push(type === KVM_IRQ_ROUTING_MSI ? `gsi ${gsi}: message ${addressLo.toString(16)} ${data.toString(16)}` : `gsi ${gsi}: chip ${chip} pin ${pin}`);
  return all;
}

const wordsOf = (sources: LineSources, pins: number): number[] => Array.from({ length: pins }, (_, pin) => sources.word(pin));

function* inspectPic(pic: PicPair): Step<PicInspection> {
  const output = yield* pic.hasOutput();
  yield* pic.lock.lock();
  const found = { master: [...pic.master.regs], slave: [...pic.slave.regs], output, sources: wordsOf(pic.sources, PIC_PINS) };
  yield* pic.lock.unlock();
  return found;
}

function* inspectIoApic(ioapic: IoApic): Step<IoApicInspection> {
  yield* ioapic.lock.lock();
  const { id, ioregsel, irr, irrDelivered, entryLow, entryHigh } = ioapic;
  const found = {
    id,
    ioregsel,
    irr,
    irrDelivered,
    entries: Array.from(entryLow, (low, pin) => describeEntry(low, entryHigh[pin])),
    eoiCounts: [...ioapic.eoiCount],
    sources: wordsOf(ioapic.sources, KVM_IOAPIC_NUM_PINS),
    rtcPendingEoi: ioapic.rtc.pendingEoi,
    isStormPaused: ioapic.storm.state === ContextState.READY,
  };
  yield* ioapic.lock.unlock();
  return found;
}

function* inspectCpu(vcpu: VcpuX86): Step<CpuInspection | null> {
  const { apic } = vcpu;
  if (apic === null) return null;
  const count = yield* apic.timer.currentCount();
  yield reads(apic, "irr");
  const requested = vectorsOf(apic.irr);
  yield reads(apic, "isr");
  const inService = vectorsOf(apic.isr);
  yield reads(apic, "tmr");
  const level = vectorsOf(apic.tmr);
  const bitmap = apic.handled.bitmap();
  yield reads(vcpu, "nmiQueued");
  const nmis = vcpu.nmiPending + vcpu.nmiQueued;
  const isTimerPending = yield* apic.timer.hasPending();
  const registers: Record<string, number> = {};
  for (const { name, offset, xapic, count: words } of APIC_REGISTERS)
    if (words === 1 && xapic.startsWith("R")) registers[name] = (offset === ApicReg.TMCCT ? count : apic.page[offset >> 2]) >>> 0;
  const { low, high } = apic.base;
  return {
    id: vcpu.id,
    apicBase: describeEntry(low, high),
    registers,
    requested,
    inService,
    level,
    handled: Array.from({ length: 256 }, (_, vector) => vector).filter((vector) => hasDense(bitmap, vector)),
    externalVector: vcpu.pendingExternalVector,
    nmis,
    isTimerPending,
  };
}
