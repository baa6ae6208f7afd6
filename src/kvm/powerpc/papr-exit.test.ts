import { expect, it } from "vitest";
import { PaprMachine } from "../../conform/papr-machine.js";
import { run, type Step } from "../../sim/step.js";
import { KVM_EXIT_PAPR_HCALL, kvm_run } from "../../uapi/kvm.js";
import { PpcExit, type PpcGuestCpu } from "./guest.js";
import type { PpcVcpu } from "./vcpu.js";

const H_PUT_TCE = 0x20;
const REGISTERS = [4, 5, 6, 7, 8, 9, 10, 11, 12];
const halves = (i: number): [lo: number, hi: number] => [(0x8000_0000 + i) | 0, (0xf000_0000 + 16 * i) | 0];

/** Makes one hypercall with nine arguments of 64 bits, and looks at what it has then. */
class Caller implements PpcGuestCpu {
  private hasCalled = false;
  /** r3 to r12, high halves first. */
  found: number[][] = [];

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return PpcExit.EXTERNAL;
    const { regs } = vcpu;
    if (this.hasCalled) {
      this.found = [3, ...REGISTERS].map((r) => [regs.hi[r], regs.lo[r]]);
      return PpcExit.IDLE;
    }
    this.hasCalled = true;
    regs.set(3, H_PUT_TCE);
    for (const r of REGISTERS) [regs.lo[r], regs.hi[r]] = halves(r);
    return PpcExit.SYSCALL;
  }
}

it("a hypercall that the kernel does not serve exits with 19, number and nine arguments whole, and the answer is in r3 and r4 to r12 (xics.md 9.1)", () => {
  const m = new PaprMachine({ servers: [0] });
  run(m.start());
  const { vcpu } = m.cpus[0];
  const caller = new Caller();
  vcpu.guest = caller;
  const { memory } = m.process;
  const at = (offset: number): number => vcpu.runAddress + offset;
  const { nr, args, ret } = kvm_run.papr_hcall;
  expect([run(m.run(0)), memory.getU32(at(kvm_run.exit_reason.offset)), memory.getU64(at(nr.offset))]).toEqual([0, KVM_EXIT_PAPR_HCALL, H_PUT_TCE]);
  expect(KVM_EXIT_PAPR_HCALL).toBe(19);
  expect(args.map(({ offset }) => [memory.getU32(at(offset)) | 0, memory.getU32(at(offset + 4)) | 0])).toEqual(REGISTERS.map(halves));
  [ret, ...args].forEach(({ offset }, i) => {
    memory.setU32(at(offset), 0x100 + i);
    memory.setU32(at(offset + 4), 0xffff_ff00 + i);
  });
  run(m.run(0));
  expect(caller.found).toEqual([3, ...REGISTERS].map((_, i) => [(0xffff_ff00 + i) | 0, 0x100 + i]));
});
