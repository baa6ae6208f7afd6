import { X86Calls } from "../../conform/x86/calls.js";
import { ModelSystem } from "../../conform/x86/model.js";
import type { X86Answer, X86Call } from "../../conform/x86/vector.js";
import { TraceBuffer, type EventName } from "../../sim/event.js";
import { run } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { X86 } from "./x86.js";

export type Mode = "none" | "full" | "split";

const SPLIT_PINS = 24;

export function enableCap(m: KvmMachine, vm: number, cap: number, ...args: readonly number[]): number {
  return m.ioctlOn(vm, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
    K.kvm_enable_cap.cap.set(view, cap);
    for (const [i, value] of args.entries()) K.kvm_enable_cap.args[i].setNumber(view, value);
  });
}

export const splitIrqchip = (m: KvmMachine, vm: number, pins = SPLIT_PINS): number => enableCap(m, vm, K.KVM_CAP_SPLIT_IRQCHIP, pins);

/** A VM of kvm-irq-core.md 11 without vCPU: XN, XF or XS. Its trace begins after the set-up. */
export function x86Vm(mode: Mode): { m: KvmMachine; vm: number } {
  const m = new KvmMachine({ arch: new X86() });
  const vm = m.createVm();
  if (mode === "full") m.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0);
  if (mode === "split") splitIrqchip(m, vm);
  m.trace.clear();
  return { m, vm };
}

/** KVM_IRQ_LINE_STATUS: the status written back, or the errno. */
export function lineStatus(m: KvmMachine, vm: number, gsi: number, level: number): number {
  let status = 0;
  const result = m.ioctlOn(
    vm,
    K.KVM_IRQ_LINE_STATUS,
    K.kvm_irq_level,
    (view) => {
      K.kvm_irq_level.irq.set(view, gsi);
      K.kvm_irq_level.level.set(view, level);
    },
    (view) => (status = K.kvm_irq_level.status.get(view)),
  );
  return result < 0 ? result : status;
}

/** KVM_SIGNAL_MSI. */
export function signalMsi(m: KvmMachine, vm: number, addressLo: number, data: number, flags = 0): number {
  return m.ioctlOn(vm, K.KVM_SIGNAL_MSI, K.kvm_msi, (view) => {
    K.kvm_msi.address_lo.set(view, addressLo);
    K.kvm_msi.data.set(view, data);
    K.kvm_msi.flags.set(view, flags);
  });
}

const IOAPIC = 0xfec00000;
const EOI = 0xfee000b0;
export const PIN = 11;
export const VECTOR = 0x31;

/** XL: full irqchip, one vCPU with its guest, both PICs masked, IOAPIC pin 11 level with vector 0x31 to it. */
export class LapicMachine {
  private readonly system = new ModelSystem({ endsAtAcceptance: false });
  private readonly calls = new X86Calls(this.system);
  readonly trace = new TraceBuffer();

  constructor() {
    this.do({ op: "createVm", args: {} });
    this.do({ op: "createIrqchip", args: {} });
    this.do({ op: "createVcpu", args: { id: 0 } });
    this.do({ op: "guestInit", args: {} });
    this.do({ op: "setIrqchip", args: { chip: "picMaster", state: { imr: 0xff } } });
    this.do({ op: "setIrqchip", args: { chip: "picSlave", state: { imr: 0xff } } });
    this.do({ op: "setLapic", args: { state: { svr: 0x1ff } } });
    this.setPin(PIN);
    this.system.sim.traceTo(this.trace);
  }

  do(call: X86Call): X86Answer {
    return run(this.calls.perform(call));
  }

  /** 0 or more, or the name of the errno. */
  result(call: X86Call): number | string | undefined {
    const { ret, errno } = this.do(call);
    return errno ?? ret;
  }

  /** The pin level, unmasked, vector 0x31 to the vCPU. */
  setPin(pin: number): void {
    this.do({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { [pin]: { vector: VECTOR, trigMode: 1, mask: 0 } } } } });
  }

  eventfds(...names: readonly string[]): void {
    for (const as of names) this.do({ op: "eventfd", args: { as, flags: ["EFD_NONBLOCK"] } });
  }

  irqfd(fd: string, gsi: number, resamplefd?: string): number | string | undefined {
    return this.result({ op: "irqfd", args: resamplefd === undefined ? { fd, gsi } : { fd, gsi, flags: ["RESAMPLE"], resamplefd } });
  }

  deassign(fd: string, gsi: number): number | string | undefined {
    return this.result({ op: "irqfd", args: { fd, gsi, flags: ["DEASSIGN"] } });
  }

  signal(fd: string): void {
    this.do({ op: "writeEventfd", args: { fd } });
  }

  /** The count, which this takes. */
  count(fd: string): number {
    return Number(this.do({ op: "readEventfd", args: { fd } }).value ?? 0);
  }

  line(gsi: number, level: number): void {
    this.do({ op: "irqLine", args: { gsi, level } });
  }

  /** The vector that the guest takes after STI, -1 for none. */
  take(): number {
    return this.taken("sti");
  }

  /** In the handler: EOI, flag still off. */
  eoi(): void {
    this.do({ op: "guest", args: { do: "mmioWrite32", addr: EOI, value: 0 } });
  }

  /** Out of the handler, which opens the interrupt flag again: the vector taken then, -1 for none. */
  leave(): number {
    return this.taken("iret");
  }

  private taken(action: "sti" | "iret"): number {
    for (const event of this.do({ op: "guest", args: { do: action } }).events ?? []) if (event.type === "intr") return event.vector;
    return -1;
  }

  /** The guest writes the low half of a redirection entry. */
  writeEntry(pin: number, low: number): void {
    this.do({ op: "guest", args: { do: "mmioWrite32", addr: IOAPIC, value: 0x10 + 2 * pin } });
    this.do({ op: "guest", args: { do: "mmioWrite32", addr: IOAPIC + 0x10, value: low } });
  }

  private ioapic(): { irr: number; redirtbl: Readonly<Record<string, { remoteIrr: number }>> } {
    const { state } = this.do({ op: "getIrqchip", args: { chip: "ioapic" } });
    if (typeof state !== "object" || !("redirtbl" in state)) throw new Error("no IOAPIC");
    return state;
  }

  remoteIrr(pin = PIN): number {
    return this.ioapic().redirtbl[pin].remoteIrr;
  }

  isRequested(pin = PIN): boolean {
    return (this.ioapic().irr & (1 << pin)) !== 0;
  }

  /** Vectors pending in the local APIC. */
  pending(): readonly number[] {
    const { state } = this.do({ op: "getLapic", args: {} });
    if (typeof state !== "object" || !("isr" in state) || typeof state.irr === "number") throw new Error("no local APIC");
    return state.irr;
  }

  lines(...names: EventName[]): string[] {
    return this.trace.lines(...names);
  }
}
