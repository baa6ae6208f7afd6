import type { Step } from "../../sim/step.js";
import { KVM_EXIT_EPR, kvm_run } from "../../uapi/kvm.js";
import { setExitReason } from "../run-page.js";
import { CONTINUE, TO_USER } from "../run-result.js";
import type { PpcVcpu } from "./vcpu.js";

// KVM_CAP_PPC_EPR (mpic.md 5.9): the external proxy of a controller that is user space's. Each external interrupt that the
// guest takes exits with KVM_EXIT_EPR, and the next KVM_RUN puts the vector into EPR.

/** Before an entry: TO_USER where an external interrupt was taken whose vector user space has to give. */
export function* askForVector(vcpu: PpcVcpu): Step<number> {
  const isTaken = yield* vcpu.takeAskingForVector();
  if (!isTaken) return CONTINUE;
  setExitReason(vcpu, KVM_EXIT_EPR);
  vcpu.vm.process.memory.setU32(vcpu.runAddress + kvm_run.epr.epr.offset, 0);
  vcpu.isVectorNeeded = true;
  return TO_USER;
}

/** User space's vector. */
export function completeEpr(vcpu: PpcVcpu): void {
  if (!vcpu.isVectorNeeded) return;
  vcpu.isVectorNeeded = false;
  vcpu.regs.epr = vcpu.vm.process.memory.getU32(vcpu.runAddress + kvm_run.epr.epr.offset);
}
