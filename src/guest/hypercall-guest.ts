import { PpcExit, type PpcGuestCpu } from "../kvm/powerpc/guest.js";
import type { PpcVcpu } from "../kvm/powerpc/vcpu.js";
import type { Step } from "../sim/step.js";

/** A hypercall that no hypervisor has: it leads back to user space. */
export const H_BACK = 0xfffc;

/** Guest software that makes one hypercall each time it is asked, external interrupts disabled, and goes back to user space. */
export class HypercallGuest implements PpcGuestCpu {
  private stage: "idle" | "asked" | "called" = "idle";
  private number = 0;
  private args: readonly number[] = [];
  /** r3 to r5 as the last call left them, in halves. */
  readonly lo = new Int32Array(3);
  readonly hi = new Int32Array(3);

  /** The next entry makes this call; arguments from r4 on, below 2^53. */
  ask(number: number, args: readonly number[]): void {
    this.stage = "asked";
    this.number = number;
    this.args = args;
  }

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return PpcExit.EXTERNAL;
    if (this.stage === "asked") {
      this.stage = "called";
      vcpu.regs.set(3, this.number);
      for (let i = 0; i < this.args.length; i++) vcpu.regs.set(4 + i, this.args[i]);
      const isServed = yield* vcpu.hypercall();
      if (!isServed) return PpcExit.SYSCALL;
    }
    if (this.stage !== "called") return PpcExit.IDLE;
    this.stage = "idle";
    for (let i = 0; i < 3; i++) {
      this.lo[i] = vcpu.regs.lo[3 + i];
      this.hi[i] = vcpu.regs.hi[3 + i];
    }
    vcpu.regs.set(3, H_BACK);
    return PpcExit.SYSCALL;
  }
}
