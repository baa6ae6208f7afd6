import type { Step } from "../../sim/step.js";
import type { GuestAction } from "./op.js";
import type { GuestEvent } from "./state.js";

/** One action of the guest on a vCPU, operands filled in (conformance/README.md, "The guest"). */
export interface GuestCommand {
  readonly action: GuestAction;
  /** Physical address, MSR or CPUID leaf. */
  readonly address: number;
  readonly port: number;
  /** What is written, unsigned. */
  readonly value: number;
  /** Bits 63:32 of what wrmsr writes. */
  readonly high: number;
}

/** What one action of the guest showed. */
export interface GuestOutcome {
  /** 0, or the negative errno of KVM_RUN. */
  readonly ret: number;
  readonly events: readonly GuestEvent[];
  /** What a read gave, unsigned; undefined when the action was not a read or did not finish. */
  readonly value?: number | string | undefined;
  /** cpuid only. */
  readonly ecx?: number | undefined;
  readonly edx?: number | undefined;
}

/**
 * A process on a machine with /dev/kvm: the system calls that conformance vectors are made of. The model and the running
 * kernel each are one; {@link X86Calls} makes the calls. All results are 0 or more, or a negative errno.
 */
export interface X86System {
  /** The descriptor of /dev/kvm. */
  readonly kvm: number;
  /** `argument`: a number, or a structure, which is copied in, and back out when the call returns. */
  ioctl(fd: number, request: number, argument: number | Uint8Array): Step<number>;
  /** Puts bytes where a pointer in a structure can name them, until the next call of this. @returns their address */
  place(bytes: Uint8Array): number;
  /** `flags` of eventfd2(2). */
  eventfd(initial: number, flags: number): Step<number>;
  read(fd: number, into: Uint8Array): Step<number>;
  /** Returns when what it set off in the kernel's workers is done. */
  write(fd: number, bytes: Uint8Array): Step<number>;
  dup(fd: number): Step<number>;
  /** Returns when what it set off in the kernel's workers is done. */
  close(fd: number): Step<number>;
  /** An open /dev/null. */
  openNull(): Step<number>;
  /** Both ends, the reading one first; or a negative errno. */
  pipe(): Step<readonly [number, number] | number>;
  /** Lets workers that other workers set off finish. */
  sleep(ms: number): Step<void>;
  /**
   * The VM gets 1 MiB of memory, the vCPU a command loop in real mode with the interrupt flag off.
   * @returns 0 or the negative errno of the first call that fails
   */
  guestInit(vm: number, vcpu: number): Step<number>;
  /**
   * One action and one no-op. An interrupt that can be taken already is taken first, and its handler performs the action. While an earlier action has not finished (the vCPU is halted, or left KVM_RUN by HLT), the
   * guest only goes on with that one, whatever is asked. An `iret` outside any interrupt does nothing. At most one
   * interrupt is taken.
   */
  guest(vcpu: number, command: GuestCommand): Step<GuestOutcome>;
  /** Closes what is still open, in this order, and gives back the rest. */
  end(open: readonly number[]): Step<void>;
}
