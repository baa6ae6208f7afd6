import type { Step } from "../../sim/step.js";
import type { GuestAccess } from "../memslots.js";
import type { VcpuX86 } from "./vcpu.js";

/** Why an x86 guest stopped running, in the classes of VMX. */
export const enum X86Exit {
  /** Not an exit: it spins with nothing to do until something changes, still in guest mode. */
  IDLE,
  /** A host interrupt is pending on the physical CPU. */
  EXTERNAL_INTERRUPT,
  /** The guest can take an interrupt, and KVM asked to be told. */
  INTERRUPT_WINDOW,
  NMI_WINDOW,
  /** IN or OUT: the `trap` of the vCPU describes it. */
  IO_INSTRUCTION,
  /** An access to an address that is no memory. */
  EPT_MISCONFIG,
  MSR_READ,
  MSR_WRITE,
  /** MOV to or from CR8. */
  CR_ACCESS,
  HLT,
  CPUID,
  /** An EOI of a vector in the EOI-exit bitmap; with APIC virtualisation only. */
  EOI_INDUCED,
  /** An access to an address of a memory slot whose page cannot be had: the instruction is to be done again. */
  EPT_VIOLATION,
  /** RIP points where there is no memory to fetch from: the processor asks KVM, whose emulation gives up. */
  NO_CODE,
}

/** The names of KVM's tracepoint, by {@link X86Exit}. */
export const X86_EXIT_NAMES: readonly string[] = [
  "",
  "EXTERNAL_INTERRUPT",
  "INTERRUPT_WINDOW",
  "NMI_WINDOW",
  "IO_INSTRUCTION",
  "EPT_MISCONFIG",
  "MSR_READ",
  "MSR_WRITE",
  "CR_ACCESS",
  "HLT",
  "CPUID",
  "EOI_INDUCED",
  "EPT_VIOLATION",
  "EPT_MISCONFIG",
];

/** What a guest instruction accesses, and wants where it exited; one per vCPU, reused. */
export class X86Trap implements GuestAccess {
  /** Guest physical address, port or MSR number. */
  address = 0;
  isWrite = false;
  /** Bytes: 1, 2, 4 or 8. */
  size = 4;
  /** Where memory answers: in the process. */
  hva = 0;
  /** The value written; after a read, the value read. */
  low = 0;
  high = 0;
}

/**
 * The software inside an x86 VM. `run` executes guest code of one vCPU from its registers' `rip` until it exits. Before
 * each instruction it calls `vcpu.boundary()`, and exits with what that answers unless it is IDLE. It looks for a host
 * interrupt when it begins.
 */
export interface X86GuestCpu {
  run(vcpu: VcpuX86): Step<X86Exit>;
  /** Where the handler of a vector begins: the processor is delivering it. */
  entryOf(vcpu: VcpuX86, vector: number): number;
}

const MOST_NESTED = 256;
/** IP after reset. */
export const RESET_VECTOR = 0xfff0;

/** The registers of one vCPU, as far as interrupts and user space need them. */
export class X86Registers {
  /** rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15: low and high halves. */
  readonly lo = new Int32Array(16);
  readonly hi = new Int32Array(16);
  rip = 0;
  interruptFlag = false;
  /** The one instruction after STI or MOV SS, before which no interrupt is taken. */
  shadow = 0;
  /** Between the delivery of an NMI and the next IRET. */
  isNmiBlocked = false;
  /** What the handlers interrupted, innermost last: return address, and the interrupt flag in bit 0 of the second word. */
  private readonly returns = new Float64Array(MOST_NESTED);
  private readonly flags = new Uint8Array(MOST_NESTED);
  depth = 0;

  reset(): void {
    this.lo.fill(0);
    this.hi.fill(0);
    this.rip = RESET_VECTOR;
    this.interruptFlag = false;
    this.shadow = 0;
    this.isNmiBlocked = false;
    this.depth = 0;
  }

  /** The processor delivers an interrupt or exception through a gate that clears the interrupt flag. */
  deliver(entry: number): void {
    if (this.depth === MOST_NESTED) throw new Error("guest software nests interrupts without end");
    this.returns[this.depth] = this.rip;
    this.flags[this.depth++] = this.interruptFlag ? 1 : 0;
    this.rip = entry;
    this.interruptFlag = false;
    this.shadow = 0;
  }

  /** IRET: to where the innermost handler came from. An IRET outside of any handler only ends the blocking of NMIs. */
  interruptReturn(): void {
    this.isNmiBlocked = false;
    this.shadow = 0;
    if (this.depth === 0) return;
    this.rip = this.returns[--this.depth];
    this.interruptFlag = this.flags[this.depth] === 1;
  }
}
