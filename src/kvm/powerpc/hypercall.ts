import { H_HARDWARE } from "../../irqchip/xics/constants.js";
import type { HypercallRegisters } from "../../irqchip/xics/contract.js";
import { isXicsHypercall, virtualHypercall } from "../../irqchip/xics/hypercalls.js";
import { RTAS_ARGS, RTAS_MAX_ARGS, RTAS_WORDS } from "../../irqchip/xics/rtas.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import { KVM_EXIT_PAPR_HCALL, kvm_run } from "../../uapi/kvm.js";
import type { PpcVcpu } from "./vcpu.js";
import { setExitReason } from "../run-page.js";
import { CONTINUE, TO_USER } from "../run-result.js";

// Hypercalls that left the guest (xics.md 9): XICS's, RTAS by token, H_CEDE; everything else is user space's.

const H_SUCCESS = 0;
export const H_CEDE = 0xe0;
export const H_RTAS = 0xf000;

/** r4 of H_RTAS is a real address: its top four bits are not part of it. */
const REAL_ADDRESS_HI = 0x0fff_ffff;
const TWO32 = 0x1_0000_0000;
const PAPR_ARGS = 9;

/** r3 as a number, -1 where it has bits above 31: no hypercall that the kernel knows has. */
export const hypercallNumber = ({ lo, hi }: HypercallRegisters): number => (hi[3] === 0 ? lo[3] >>> 0 : -1);

export function* handleHypercall(vcpu: PpcVcpu): Step<number> {
  const { regs, vm } = vcpu;
  const number = hypercallNumber(regs);
  vcpu.stat.hypercallExits++;
  if (number === H_CEDE) return cede(vcpu);
  if (number === H_RTAS) return yield* handleRtas(vcpu);
  if (!isXicsHypercall(number) || vcpu.irqType !== "xics") return toUserSpace(vcpu);
  const status = yield* xicsHypercall(vcpu, number);
  if (vm.sim.tracing) vm.sim.emit(Ev.kvm_hcall, vcpu.id, number, status, "virtual");
  regs.set(3, status);
  return CONTINUE;
}

/** What real mode began is only completed, never done again. */
function* xicsHypercall(vcpu: PpcVcpu, number: number): Step<number> {
  const { icp, realMode, arch } = vcpu;
  if (icp === null || arch.xics === null) return H_HARDWARE;
  if (vcpu.isTooHard && realMode !== null) {
    vcpu.isTooHard = false;
    return yield* realMode.complete();
  }
  return yield* virtualHypercall(arch.xics, icp, number, vcpu.regs);
}

/** Waits for an interrupt, with external interrupts enabled. */
function cede(vcpu: PpcVcpu): number {
  vcpu.stat.cedes++;
  vcpu.regs.isEnabled = true;
  vcpu.regs.set(3, H_SUCCESS);
  vcpu.hasCeded = true;
  return CONTINUE;
}

/** 9.2: a token that is defined is served here. A block that cannot be reached ends KVM_RUN. */
function* handleRtas(vcpu: PpcVcpu): Step<number> {
  const { arch, regs, vm } = vcpu;
  if (!arch.rtas.hasTokens) return toUserSpace(vcpu);
  const address = (regs.hi[4] & REAL_ADDRESS_HI) * TWO32 + (regs.lo[4] >>> 0);
  const words = vcpu.rtasWords;
  const isRead = yield* vm.ram.readWords(address, words, RTAS_WORDS);
  if (!isRead) return -EFAULT;
  swapBytes(words);
  if (words[1] >>> 0 >= RTAS_MAX_ARGS) return -EINVAL;
  const isServed = yield* arch.rtas.call(arch, words);
  if (!isServed) return toUserSpace(vcpu);
  if (vm.sim.tracing) vm.sim.emit(Ev.kvm_hcall, vcpu.id, H_RTAS, words[RTAS_ARGS + words[1]], "virtual");
  swapBytes(words);
  const isWritten = yield* vm.ram.writeWords(address, words, RTAS_WORDS);
  if (!isWritten) return -EFAULT;
  regs.set(3, H_SUCCESS);
  return CONTINUE;
}

/** The block is big-endian, memory's words are little-endian. */
function swapBytes(words: Int32Array): void {
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    words[i] = (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
  }
}

/** KVM_EXIT_PAPR_HCALL; the next KVM_RUN takes the answer. */
function toUserSpace(vcpu: PpcVcpu): number {
  const { regs, runAddress } = vcpu;
  const { memory } = vcpu.vm.process;
  const { nr, args } = kvm_run.papr_hcall;
  const put = (offset: number, register: number): void => {
    memory.setU32(runAddress + offset, regs.lo[register] >>> 0);
    memory.setU32(runAddress + offset + 4, regs.hi[register] >>> 0);
  };
  setExitReason(vcpu, KVM_EXIT_PAPR_HCALL);
  put(nr.offset, 3);
  for (let i = 0; i < PAPR_ARGS; i++) put(args[i].offset, 4 + i);
  vcpu.stat.paprExits++;
  vcpu.isHypercallNeeded = true;
  return TO_USER;
}

/** User space's answer into r3 and r4 to r12. */
export function completeHypercall(vcpu: PpcVcpu): void {
  if (!vcpu.isHypercallNeeded) return;
  vcpu.isHypercallNeeded = false;
  const { regs, runAddress } = vcpu;
  const { memory } = vcpu.vm.process;
  const { ret, args } = kvm_run.papr_hcall;
  const take = (offset: number, register: number): void => {
    regs.lo[register] = memory.getU32(runAddress + offset) | 0;
    regs.hi[register] = memory.getU32(runAddress + offset + 4) | 0;
  };
  take(ret.offset, 3);
  for (let i = 0; i < PAPR_ARGS; i++) take(args[i].offset, 4 + i);
}
