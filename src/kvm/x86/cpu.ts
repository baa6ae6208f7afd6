import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { KVM_MP_STATE_RUNNABLE } from "../../uapi/kvm.js";
import { BusKind } from "../io-bus.js";
import type { Vm } from "../vm.js";
import { hasInjectable, processNmi, takeInterrupt } from "./events.js";
import { accessControllers, onBus } from "./io.js";
import { takeRequest } from "./run.js";
import { VcpuX86, X86Request } from "./vcpu.js";
import type { X86Vm } from "./x86.js";

/** What an emulated CPU is told, in the middle of another call: note it, and act when that call has returned. */
export interface X86CpuListener {
  /** Something may have come for it: ask {@link X86Cpu.acknowledge} as soon as it can take an interrupt. */
  attention?(): void;
  /** INIT: back to the state after reset. Another than the boot CPU then waits for a start-up. */
  reset?(): void;
  /** Start-up: runs on at this address, vector * 4096. */
  start?(address: number): void;
  /** Split mode: the guest has ended a level interrupt with this vector, which the embedder's IOAPIC wants to know (8.2). */
  ended?(vector: number): void;
}

/** A vCPU without a guest of virq's: what comes for it is told. */
export class EmbeddedVcpu extends VcpuX86 {
  constructor(
    vm: Vm,
    arch: X86Vm,
    id: number,
    readonly listener: X86CpuListener,
  ) {
    super(vm, arch, id, arch.vcpus.length);
  }

  override *request(bits: number): Step<void> {
    yield* super.request(bits);
    this.listener.attention?.();
  }

  override *reset(): Step<void> {
    yield* super.reset();
    this.listener.reset?.();
  }

  override *startAt(vector: number): Step<void> {
    yield* super.startAt(vector);
    this.listener.start?.(this.regs.rip);
  }
}

/**
 * One emulated CPU before its interrupt controllers (x86-irqchip.md 14.3): its loads, stores, IN and OUT as far as they
 * reach one, and the interrupts that it takes. Each call is what lies between two of KVM's guest entries.
 */
export class X86Cpu {
  constructor(
    private readonly vcpu: EmbeddedVcpu,
    /** Its local APIC, for what has no method here: MSRs, IA32_APIC_BASE, CR8, the record of KVM_GET_LAPIC. */
    readonly lapic: Lapic,
  ) {}

  get id(): number {
    return this.vcpu.id;
  }

  /** False while it waits for a start-up. */
  get isRunning(): boolean {
    return this.vcpu.mpState === KVM_MP_STATE_RUNNABLE;
  }

  /** It was running when its machine was saved (KVM_SET_MP_STATE): runs, without a start-up. */
  *resume(): Step<void> {
    yield* this.vcpu.become(KVM_MP_STATE_RUNNABLE);
  }

  /**
   * Loads from a guest physical address.
   * @param size 1, 2, 4 or 8 bytes
   * @returns the low 32 bits, as int32; null: no controller is there
   */
  *load(address: number, size = 4): Step<number | null> {
    const isTaken = yield* this.access(address, size, false, 0);
    return isTaken ? this.vcpu.trap.low : null;
  }

  /** Stores `size` bytes (1, 2, 4 or 8) of `value` at a guest physical address. False: no controller is there. */
  *store(address: number, value: number, size = 4): Step<boolean> {
    return yield* this.access(address, size, true, value);
  }

  private *access(address: number, size: number, isWrite: boolean, value: number): Step<boolean> {
    yield* this.enter();
    this.setTrap(address, size, isWrite, value);
    return yield* accessControllers(this.vcpu);
  }

  /** IN of `size` bytes (1, 2 or 4): the value; null: no controller has the port. */
  *in(port: number, size = 1): Step<number | null> {
    yield* this.enter();
    this.setTrap(port, size, false, 0);
    const isTaken = yield* onBus(this.vcpu, BusKind.PIO);
    return isTaken ? this.vcpu.trap.low : null;
  }

  /** OUT of `size` bytes (1, 2 or 4). False: no controller has the port. */
  *out(port: number, value: number, size = 1): Step<boolean> {
    yield* this.enter();
    this.setTrap(port, size, true, value);
    return yield* onBus(this.vcpu, BusKind.PIO);
  }

  private setTrap(address: number, size: number, isWrite: boolean, value: number): void {
    const { trap } = this.vcpu;
    trap.address = address;
    trap.size = size;
    trap.isWrite = isWrite;
    trap.low = value | 0;
    trap.high = 0;
  }

  /** Would it take an interrupt now, if its interrupt flag allows? Ends a HLT. */
  *isPending(): Step<boolean> {
    yield* this.enter();
    return yield* hasInjectable(this.vcpu);
  }

  /** The CPU takes an interrupt (7.4): the PIC's before the local APIC's. Its vector, 0 to 255; -1: there is none. */
  *acknowledge(): Step<number> {
    yield* this.enter();
    return yield* takeInterrupt(this.vcpu);
  }

  /** The CPU takes an NMI, of which at most two wait (6.4). False: there is none. */
  *takeNmi(): Step<boolean> {
    yield* this.enter();
    if (this.vcpu.nmiPending === 0) return false;
    this.vcpu.nmiPending--;
    return true;
  }

  /** Split mode: the vector of an ExtINT, as by KVM_INTERRUPT. False: one waits already (X27). */
  *interrupt(vector: number): Step<boolean> {
    if (this.vcpu.pendingExternalVector >= 0) return false;
    this.vcpu.pendingExternalVector = vector;
    yield* this.vcpu.request(X86Request.EVENT);
    return true;
  }

  /** What KVM does before it enters a guest: an expired timer, NMIs, an end to be told, handled vectors, INIT and start-up. */
  private *enter(): Step<void> {
    const { vcpu, lapic } = this;
    yield* lapic.timer.inject();
    yield* lapic.syncCr8();
    yield reads(vcpu, "requests");
    if (vcpu.requests === 0) return;
    yield* takeRequest(vcpu, X86Request.UNBLOCK);
    const hasNmi = yield* takeRequest(vcpu, X86Request.NMI);
    if (hasNmi) yield* processNmi(vcpu);
    const hasEnded = yield* takeRequest(vcpu, X86Request.IOAPIC_EOI_EXIT);
    if (hasEnded && lapic.handled.exits(vcpu.pendingIoapicEoi)) vcpu.listener.ended?.(vcpu.pendingIoapicEoi);
    const mustScan = yield* takeRequest(vcpu, X86Request.SCAN_IOAPIC);
    if (mustScan) yield* lapic.handled.rescan();
    const mustLook = yield* takeRequest(vcpu, X86Request.EVENT);
    if (mustLook) yield* vcpu.acceptInitEvents();
  }
}
