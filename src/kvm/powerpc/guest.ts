import type { HypercallRegisters } from "../../irqchip/xics/contract.js";
import type { Step } from "../../sim/step.js";
import type { PpcVcpu } from "./vcpu.js";

/** Why a guest on POWER stopped running. */
export const enum PpcExit {
  /** Not an exit: it spins with nothing to do until something changes, still in guest mode. */
  IDLE,
  /** A host interrupt is pending on the physical CPU. */
  EXTERNAL,
  /** A hypercall (sc 1), by its number in r3, that real mode did not finish. */
  SYSCALL,
  /** A load or store of an address that is no memory: the `trap` of the vCPU describes it. */
  DATA_STORAGE,
}

/** What a guest's load or store accesses; one per vCPU, reused. */
export class PpcTrap {
  /** Guest physical. */
  address = 0;
  isWrite = false;
  /** Bytes: 1, 2 or 4. */
  size = 4;
  /** What is stored; after a load, what was loaded, as int32. */
  value = 0;
}

/** The names of KVM's tracepoint, by {@link PpcExit}. */
export const PPC_EXIT_NAMES: readonly string[] = ["", "EXTERNAL", "SYSCALL", "H_DATA_STORAGE"];

/** Where the processor goes to take an external interrupt. */
export const EXTERNAL_VECTOR = 0x500;

/** The registers of one vCPU, as far as interrupts and hypercalls need them. */
export class PpcRegisters implements HypercallRegisters {
  /** r0 to r31 in halves. */
  readonly lo = new Int32Array(32);
  readonly hi = new Int32Array(32);
  pc = 0;
  /** The vector of an external proxy (mpic.md 5.9). */
  epr = 0;
  /** MSR[EE]: external interrupts are taken. */
  isEnabled = false;
  /** SRR0, and of SRR1 the bit EE: what the handler interrupted. Software that enables interrupts in it saves them first. */
  srr0 = 0;
  wasEnabled = false;

  set(register: number, value: number): void {
    this.lo[register] = value | 0;
    this.hi[register] = Math.floor(value / 0x1_0000_0000) | 0;
  }

  /** The processor takes an interrupt. */
  deliver(vector: number): void {
    this.srr0 = this.pc;
    this.wasEnabled = this.isEnabled;
    this.pc = vector;
    this.isEnabled = false;
  }

  /** rfid: back to what was interrupted. */
  interruptReturn(): void {
    this.pc = this.srr0;
    this.isEnabled = this.wasEnabled;
  }
}

/**
 * The software inside a VM on POWER. `run` executes guest code of one vCPU from its registers' `pc` until it exits. It looks
 * for a host interrupt when it begins, before each instruction it calls `vcpu.takeExternal()`, and makes hypercalls by
 * `vcpu.hypercall()`.
 */
export interface PpcGuestCpu {
  run(vcpu: PpcVcpu): Step<PpcExit>;
}
