import { X86Host } from "../../host/x86/x86-host.js";
import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { run, type Step } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import type { Hazards } from "../../sim/hazards.js";
import { KvmMachine } from "./kvm-machine.js";
import { VcpuThread } from "../../kvm/vcpu-thread.js";
import { X86, type X86Options, X86Vm } from "../../kvm/x86/x86.js";
import { X86Exit, type X86GuestCpu } from "../../kvm/x86/guest.js";
import { X86Module } from "../../kvm/x86/module.js";
import { X86VcpuFile } from "../../kvm/x86/vcpu-ioctl.js";
import type { VcpuX86 } from "../../kvm/x86/vcpu.js";

/** What a test's guest does, one instruction each. After the last one it leaves by an OUT that nobody takes. */
export type Action =
  | "sti"
  | "cli"
  | "iret"
  | "hlt"
  | "nop"
  | { readonly store: number; readonly value: number }
  | { readonly load: number }
  | { readonly out: number; readonly value: number }
  | { readonly in: number }
  | { readonly wrmsr: number; readonly value: number }
  | { readonly cr8: number }
  /** Clears bit 0 of the byte at this address of the process; where it was set, leaves the next action out. */
  | { readonly skipIfCleared: number };

const DONE_PORT = 0x3f0;

/**
 * A guest that notes the vectors it takes. A handler of {@link handlers} does its actions and returns; without one, what
 * comes next in the script is done inside the handler.
 */
export class ScriptGuest implements X86GuestCpu {
  readonly taken: number[] = [];
  readonly loaded: number[] = [];
  readonly handlers = new Map<number, readonly Action[]>();
  /** What it does when the script is at its end. */
  idle: "leave" | "spin" | "hlt" = "leave";
  private readonly script: Action[] = [];
  private isReading = false;

  give(actions: readonly Action[]): void {
    this.script.push(...actions);
  }

  entryOf(vcpu: VcpuX86, vector: number): number {
    this.taken.push(vector);
    const handler = this.handlers.get(vector);
    if (handler !== undefined) this.script.unshift(...handler, "iret");
    return vcpu.regs.rip;
  }

  *run(vcpu: VcpuX86): Step<X86Exit> {
    if (this.isReading) this.loaded.push(vcpu.trap.low >>> 0);
    this.isReading = false;
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return X86Exit.EXTERNAL_INTERRUPT;
    for (;;) {
      const window = vcpu.boundary();
      if (window !== X86Exit.IDLE) return window;
      const inShadow = vcpu.regs.shadow !== 0;
      if (this.script.length === 0 && this.idle === "spin") return X86Exit.IDLE;
      const exit = this.execute(vcpu, this.script.shift());
      if (inShadow) vcpu.regs.shadow = 0;
      if (exit !== X86Exit.IDLE) return exit;
    }
  }

  private execute(vcpu: VcpuX86, action: Action | undefined): X86Exit {
    const { regs } = vcpu;
    if (action === undefined && this.idle === "hlt") return X86Exit.HLT;
    if (action === undefined) return access(vcpu, X86Exit.IO_INSTRUCTION, DONE_PORT, true, 1, 0);
    if (typeof action === "object") return this.access(vcpu, action);
    if (action === "hlt") return X86Exit.HLT;
    if (action === "iret") regs.interruptReturn();
    else if (action === "cli") regs.interruptFlag = false;
    else if (action === "sti") {
      regs.interruptFlag = true;
      regs.shadow = X86_SHADOW_STI;
    }
    return X86Exit.IDLE;
  }

  private access(vcpu: VcpuX86, action: Exclude<Action, string>): X86Exit {
    if ("store" in action) return access(vcpu, X86Exit.EPT_MISCONFIG, action.store, true, 4, action.value);
    if ("out" in action) return access(vcpu, X86Exit.IO_INSTRUCTION, action.out, true, 1, action.value);
    if ("wrmsr" in action) return access(vcpu, X86Exit.MSR_WRITE, action.wrmsr, true, 8, action.value);
    if ("skipIfCleared" in action) return this.skipIfCleared(vcpu, action.skipIfCleared);
    if ("cr8" in action) return access(vcpu, X86Exit.CR_ACCESS, 8, true, 8, action.cr8);
    this.isReading = true;
    return "load" in action
      ? access(vcpu, X86Exit.EPT_MISCONFIG, action.load, false, 4, 0)
      : access(vcpu, X86Exit.IO_INSTRUCTION, action.in, false, 1, 0);
  }

  private skipIfCleared(vcpu: VcpuX86, address: number): X86Exit {
    const { memory } = vcpu.vm.process;
    const byte = memory.getU8(address);
    memory.setU8(address, byte & ~1);
    if ((byte & 1) !== 0) this.script.shift();
    return X86Exit.IDLE;
  }
}

const X86_SHADOW_STI = 2;

function access(vcpu: VcpuX86, exit: X86Exit, address: number, isWrite: boolean, size: number, value: number): X86Exit {
  const { trap } = vcpu;
  trap.address = address;
  trap.isWrite = isWrite;
  trap.size = size;
  trap.low = value | 0;
  trap.high = 0;
  return exit;
}

export const LAPIC = 0xfee0_0000;
export const EOI: Action = { store: LAPIC + 0xb0, value: 0 };
export const SPIV = LAPIC + 0xf0;
export const LVT0 = LAPIC + 0x350;
export const IOAPIC = 0xfec0_0000;

/** Writes both halves of a redirection entry, the low one last. */
export function entry(pin: number, low: number, destination = 0): Action[] {
  const write = (register: number, value: number): Action[] => [
    { store: IOAPIC, value: register },
    { store: IOAPIC + 0x10, value },
  ];
  return [...write(0x11 + 2 * pin, destination << 24), ...write(0x10 + 2 * pin, low)];
}

export const BOTH_PICS_MASKED: readonly Action[] = [
  { out: 0x21, value: 0xff },
  { out: 0xa1, value: 0xff },
];

/** A vCPU's thread: it goes on after exits to user space, and ends at an error. */
export class RunThread extends VcpuThread {
  /** Of every KVM_RUN that returned: its exit reason, or its negative errno. */
  readonly returns: number[] = [];
  /** User space's part of an access that nobody in the kernel took. */
  onExit: (() => void) | null = null;

  override *userspace(result: number): Step<boolean> {
    this.returns.push(result < 0 ? result : this.process.memory.getU32(this.vcpu.runAddress + K.kvm_run.exit_reason.offset));
    if (result >= 0) this.onExit?.();
    return result >= 0;
  }
}

/** An x86 host, and the set-ups XN, XF, XS and XL of kvm-irq-core.md 11. */
export class X86Machine extends KvmMachine {
  private readonly guests = new Map<number, ScriptGuest>();

  constructor(hazards: Partial<Hazards> = {}, options: X86Options = {}) {
    super({ arch: new X86(2, options), hazards, host: (sim) => new X86Module(new X86Host(sim, [0, 1])) });
  }

  /** Mode full, no vCPU. */
  xf(): number {
    const vm = this.createVm();
    this.expect0(this.ioctl(vm, K.KVM_CREATE_IRQCHIP, 0));
    return vm;
  }

  xs(reservedPins = 24): number {
    const vm = this.createVm();
    this.expect0(this.enableCap(vm, K.KVM_CAP_SPLIT_IRQCHIP, reservedPins));
    return vm;
  }

  /** XF, a vCPU whose local APIC is enabled, both PICs masked, pin 11 level to vector 0x31. */
  xl(): { vm: number; vcpu: number } {
    const vm = this.xf();
    const vcpu = this.vcpu(vm, 0);
    this.guest(vcpu, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }, ...entry(11, 0x8031)]);
    return { vm, vcpu };
  }

  private expect0(result: number): void {
    if (result !== 0) throw new Error(`set-up failed: ${result}`);
  }

  /** KVM_CREATE_VCPU with a guest that does what it is given. */
  vcpu(vm: number, id: number): number {
    const fd = this.ioctl(vm, K.KVM_CREATE_VCPU, id);
    if (fd < 0) throw new Error(`KVM_CREATE_VCPU: ${fd}`);
    const guest = new ScriptGuest();
    this.vcpuOf(fd).guest = guest;
    this.guests.set(fd, guest);
    return fd;
  }

  /** The guest of a vCPU. */
  scriptOf(vcpu: number): ScriptGuest {
    const guest = this.guests.get(vcpu);
    if (guest === undefined) throw new Error("no guest");
    return guest;
  }

  /** Runs a vCPU on physical CPU 1 from now on, as a thread that calls KVM_RUN again and again. */
  start(vcpu: number): RunThread {
    const thread = new RunThread(this.vcpuOf(vcpu), this.process, vcpu, 1);
    this.sim.wake(thread, 0);
    this.settle();
    return thread;
  }

  vcpuOf(fd: number): VcpuX86 {
    const file = this.process.file(fd);
    if (!(file instanceof X86VcpuFile)) throw new Error(`descriptor ${fd} is no vCPU`);
    return file.vcpu;
  }

  /** The local APIC of a vCPU. */
  apic(vcpu: number): Lapic {
    const { apic } = this.vcpuOf(vcpu);
    if (apic === null) throw new Error("no local APIC");
    return apic;
  }

  /** The vCPU's local APIC in x2APIC mode. */
  x2apic(vcpu: number): void {
    const apic = this.apic(vcpu);
    run(apic.setCpuid({ hasX2apic: true, hasTscDeadline: false, physicalBits: 46 }));
    if (!run(apic.base.write(0xfee00d00 | 0, 0, true))) throw new Error("no x2APIC mode");
  }

  arch(vm: number): X86Vm {
    const { arch } = this.vm(vm);
    if (!(arch instanceof X86Vm)) throw new Error("no x86 VM");
    return arch;
  }

  /** The guest does `actions`, then leaves: the vectors that it took meanwhile. Other exits are returned to at once. */
  guest(vcpu: number, actions: readonly Action[]): number[] {
    const guest = this.scriptOf(vcpu);
    const before = guest.taken.length;
    guest.give(actions);
    while (this.runOnce(vcpu) !== K.KVM_EXIT_IO || this.port(vcpu) !== DONE_PORT);
    return guest.taken.slice(before);
  }

  loaded(vcpu: number): readonly number[] {
    return this.guests.get(vcpu)?.loaded ?? [];
  }

  /** One KVM_RUN, its other instructions first: the exit reason. */
  runOnce(vcpu: number, actions: readonly Action[] = []): number {
    this.guests.get(vcpu)?.give(actions);
    const result = this.ioctl(vcpu, K.KVM_RUN, 0);
    if (result !== 0) throw new Error(`KVM_RUN: ${result}`);
    return this.page(vcpu, K.kvm_run.exit_reason.offset, 4);
  }

  private port(vcpu: number): number {
    return this.page(vcpu, K.kvm_run.io.port.offset, 2);
  }

  /** A field of kvm_run. */
  page(vcpu: number, offset: number, size = 1): number {
    const { runAddress } = this.vcpuOf(vcpu);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.process.memory.getU8(runAddress + offset + i);
    return value;
  }

  setPage(vcpu: number, offset: number, value: number): void {
    this.process.memory.setU8(this.vcpuOf(vcpu).runAddress + offset, value);
  }

  enableCap(vm: number, capability: number, arg0: number, flags = 0): number {
    return this.ioctlOn(vm, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
      K.kvm_enable_cap.cap.set(view, capability);
      K.kvm_enable_cap.flags.set(view, flags);
      K.kvm_enable_cap.args[0].setNumber(view, arg0);
    });
  }

  /** KVM_IRQ_LINE_STATUS: the status, or a negative errno below -1000. */
  lineStatus(vm: number, gsi: number, level: number): number {
    let status = 0;
    const result = this.ioctlOn(
      vm,
      K.KVM_IRQ_LINE_STATUS,
      K.kvm_irq_level,
      (view) => {
        K.kvm_irq_level.irq.set(view, gsi);
        K.kvm_irq_level.level.set(view, level);
      },
      (view) => (status = K.kvm_irq_level.status.get(view)),
    );
    return result === 0 ? status : result - ERRNO;
  }

  msi(vm: number, addressLo: number, data: number, addressHi = 0, flags = 0): number {
    return this.ioctlOn(vm, K.KVM_SIGNAL_MSI, K.kvm_msi, (view) => {
      K.kvm_msi.address_lo.set(view, addressLo);
      K.kvm_msi.address_hi.set(view, addressHi);
      K.kvm_msi.data.set(view, data);
      K.kvm_msi.flags.set(view, flags);
    });
  }

  /** KVM_INTERRUPT */
  interrupt(vcpu: number, vector: number): number {
    return this.ioctlOn(vcpu, K.KVM_INTERRUPT, K.kvm_interrupt, (view) => K.kvm_interrupt.irq.set(view, vector));
  }

  /** KVM_GET_IRQCHIP of the IOAPIC: irr and the low half of an entry. */
  ioapic(vm: number, pin: number): { irr: number; entry: number } {
    let [irr, low] = [0, 0];
    const base = K.kvm_irqchip.chip.offset;
    this.ioctlOn(
      vm,
      K.KVM_GET_IRQCHIP,
      K.kvm_irqchip,
      (view) => K.kvm_irqchip.chip_id.set(view, X.KVM_IRQCHIP_IOAPIC),
      (view) => {
        irr = X.kvm_ioapic_state.irr.get(view, base);
        low = X.kvm_ioapic_state.redirtbl[pin].lo(view, base);
      },
    );
    return { irr, entry: low };
  }

  /** The sources that hold an IOAPIC pin high, one bit each. */
  sources(vm: number, pin: number): number {
    const { ioapic } = this.arch(vm);
    if (ioapic === null) return -1;
    run(ioapic.lock.lock());
    const word = ioapic.sources.word(pin);
    run(ioapic.lock.unlock());
    return word;
  }

  /** kvm_set_irq(gsi,level,source), kvm_ack_irq(chip,pin) since the last {@link clearTrace}. */
  lines(): string[] {
    return this.trace.lines("kvm_set_irq", "kvm_ack_irq");
  }
}

/** Keeps an errno apart from a status of KVM_IRQ_LINE_STATUS. */
export const ERRNO = 1000;
