import type { Step } from "../../sim/step.js";
import {
  armSysReg,
  KVM_REG_ARM64_SYSREG,
  KVM_REG_ARM64_U64_HI,
  KVM_REG_ARM_CORE,
  KVM_REG_ARM_CORE_PC,
  KVM_REG_ARM_CORE_PSTATE,
  KVM_REG_ARM_CORE_SP,
  KVM_REG_ARM_TIMER_CNT_LO,
  KVM_REG_ARM_TIMER_CVAL_LO,
} from "../../uapi/arm.js";
import { EINVAL, ENOENT } from "../../uapi/errno.js";
import type { Vcpu } from "./vcpu.js";

// KVM_GET_ONE_REG and KVM_SET_ONE_REG of arm64 (host-irq.md 4.7). All registers here are 64 bits wide.

const TWO32 = 0x1_0000_0000;
const ARCH_ARM64_HI = 0x6000_0000;
const core = (index: number): number => KVM_REG_ARM_CORE | index;
const sysreg = (op0: number, op1: number, crn: number, crm: number, op2: number): number =>
  KVM_REG_ARM64_SYSREG | armSysReg(op0, op1, crn, crm, op2);

const MPIDR_EL1 = sysreg(3, 0, 0, 0, 5);

/** Registers that are one number of {@link GuestRegisters}, by the low half of their ids. */
const PLAIN = new Map<number, "sp" | "pc" | "pstate" | "spEl1" | "elrEl1" | "spsrEl1" | "sctlrEl1" | "vbarEl1">([
  [core(KVM_REG_ARM_CORE_SP), "sp"],
  [core(KVM_REG_ARM_CORE_PC), "pc"],
  [core(KVM_REG_ARM_CORE_PSTATE), "pstate"],
  [core(0x44), "spEl1"],
  [core(0x46), "elrEl1"],
  [core(0x48), "spsrEl1"],
  [sysreg(3, 0, 1, 0, 0), "sctlrEl1"],
  [sysreg(3, 0, 12, 0, 0), "vbarEl1"],
]);

/** The timers' registers; the ids of the virtual count and compare values are swapped, for good. */
const TIMERS = new Map<number, readonly ["virtual" | "physical", "control" | "compare" | "count"]>([
  [sysreg(3, 3, 14, 3, 1), ["virtual", "control"]],
  [KVM_REG_ARM_TIMER_CVAL_LO, ["virtual", "compare"]],
  [KVM_REG_ARM_TIMER_CNT_LO, ["virtual", "count"]],
  [sysreg(3, 3, 14, 2, 1), ["physical", "control"]],
  [sysreg(3, 3, 14, 2, 2), ["physical", "compare"]],
  [sysreg(3, 3, 14, 0, 1), ["physical", "count"]],
]);

/** Low halves of all ids, in the order of KVM_GET_REG_LIST; the high half is always that of a 64-bit register. */
export const REGISTER_IDS: readonly number[] = [...Array.from({ length: 31 }, (_, n) => core(2 * n)), ...PLAIN.keys(), MPIDR_EL1, ...TIMERS.keys()];

/** The value that the last successful {@link getOneReg} found; what {@link setOneReg} stores. */
export class RegisterValue {
  low = 0;
  high = 0;

  set(value: number): void {
    this.high = Math.floor(value / TWO32) | 0;
    this.low = value | 0;
  }
  get number(): number {
    return (this.high >>> 0) * TWO32 + (this.low >>> 0);
  }
}

function checkId(lo: number, hi: number): number {
  if ((hi & 0xff00_0000) >>> 0 !== ARCH_ARM64_HI) return -EINVAL;
  if (!isKnown(lo)) return -ENOENT;
  return hi >>> 0 === KVM_REG_ARM64_U64_HI ? 0 : -EINVAL;
}

/** x_n of a core id, -1 for any other. */
function generalRegister(lo: number): number {
  const index = lo & 0xffff;
  return (lo & 0xffff_0000) === KVM_REG_ARM_CORE && index < 62 && (index & 1) === 0 ? index >> 1 : -1;
}

function isKnown(lo: number): boolean {
  return generalRegister(lo) >= 0 || PLAIN.has(lo) || TIMERS.has(lo) || lo === MPIDR_EL1;
}

/** 0 with the value in `value`, -EINVAL (another architecture, wrong size) or -ENOENT. */
export function* getOneReg(vcpu: Vcpu, lo: number, hi: number, value: RegisterValue): Step<number> {
  const checked = checkId(lo, hi);
  if (checked < 0) return checked;
  const { regs } = vcpu;
  const x = generalRegister(lo);
  const plain = PLAIN.get(lo);
  const timer = TIMERS.get(lo);
  if (x >= 0) {
    value.low = regs.xLo[x];
    value.high = regs.xHi[x];
  } else if (plain !== undefined) value.set(regs[plain]);
  else if (timer !== undefined) {
    const [which, part] = timer;
    const of = vcpu.timers[which];
    if (part === "control") value.set(yield* of.readControl());
    else if (part === "compare") value.set(yield* of.readCompare());
    else value.set(yield* of.readCount());
  } else value.set(regs.mpidr >>> 0);
  return 0;
}

/** 0, -EINVAL or -ENOENT. MPIDR_EL1 takes only the value it has: the virtual GIC derives affinities from the ids. */
export function* setOneReg(vcpu: Vcpu, lo: number, hi: number, value: RegisterValue): Step<number> {
  const checked = checkId(lo, hi);
  if (checked < 0) return checked;
  const { regs } = vcpu;
  const x = generalRegister(lo);
  const plain = PLAIN.get(lo);
  const timer = TIMERS.get(lo);
  if (x >= 0) {
    regs.xLo[x] = value.low;
    regs.xHi[x] = value.high;
  } else if (plain !== undefined) regs[plain] = value.number;
  else if (timer !== undefined) {
    const [which, part] = timer;
    const of = vcpu.timers[which];
    if (part === "control") yield* of.writeControl(value.low);
    else if (part === "compare") yield* of.writeCompare(value.number);
    else yield* of.writeCount(value.number);
  } else if (value.number !== regs.mpidr >>> 0) return -EINVAL;
  return 0;
}
