import { systemRegisterNamed } from "../arch/gic/icc.js";
import type { TargetName } from "./target.js";
import { type AnyVector, isArm } from "./vector.js";
import { ENDS_AT_ACCEPTANCE } from "./x86/known-switches.js";
import type { X86TargetName } from "./x86/targets.js";

/**
 * A reason to leave vectors out: it speaks of a register, an operation or a flavour, never of one vector. A vector that any
 * rule meets is skipped, which is not passed.
 */
interface Rule {
  readonly targets: readonly (TargetName | X86TargetName)[];
  readonly reason: string;
  /** Every step with this operation. */
  readonly operations?: readonly string[];
  /** Every step on a register of which this is true. */
  readonly register?: (name: string) => boolean;
  /** Every write to a register of which this is true. */
  readonly written?: (name: string) => boolean;
  /** Every read of a system register of which this is true. */
  readonly sysRead?: (name: string) => boolean;
  /** Every vector of this machine or flavour. */
  readonly flavour?: (vector: AnyVector) => boolean;
}

const BOTH: readonly TargetName[] = ["virtual", "physical"];
const TIMER = ["CNTV_CTL_EL0", "CNTV_CVAL_EL0"];

export const LEFT_OUT: readonly Rule[] = [
  { targets: BOTH, reason: "of QEMU's machines only virt, pc, pseries and powernv are modelled", flavour: (vector) => !isArm(vector.machine) },
  {
    targets: ["model"],
    reason: `seen only on ${ENDS_AT_ACCEPTANCE.where}, where ${ENDS_AT_ACCEPTANCE.reason}; the model ${ENDS_AT_ACCEPTANCE.model}`,
    flavour: (vector) => vector.flavour === "pvm",
  },
  { targets: ["virtual"], reason: "a guest of KVM's sees no GICv4", flavour: (vector) => vector.machine?.includes("gic-version=4") ?? false },
  { targets: BOTH, reason: "of the virtual timer only the line is modelled", sysRead: (name) => TIMER.includes(name) },
  {
    targets: BOTH,
    reason: "the register is not modelled",
    register: (name) => !/^(GICD|GICR|GITS)/.test(name) && name !== "ISR_EL1" && !TIMER.includes(name) && systemRegisterNamed(name) === undefined,
  },
];

/** Why a vector is left out on a target, null when it is not. */
export function reasonToSkip(vector: AnyVector, target: TargetName | X86TargetName): string | null {
  for (const rule of LEFT_OUT) {
    if (!rule.targets.includes(target)) continue;
    if (rule.flavour?.(vector)) return rule.reason;
    for (const step of vector.steps) {
      if (rule.operations?.includes(step.op)) return `${rule.reason} (operation ${step.op})`;
      const name = "reg" in step ? step.reg : undefined;
      if (typeof name !== "string") continue;
      if (rule.register?.(name)) return `${rule.reason} (register ${name})`;
      if (step.op === "sysRead" && rule.sysRead?.(name)) return `${rule.reason} (read of ${name})`;
      if (step.op === "write" && rule.written?.(name)) return `${rule.reason} (write to ${name})`;
    }
  }
  return null;
}
