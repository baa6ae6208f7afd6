import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EIO, ENOSYS } from "../../uapi/errno.js";
import { haltVcpu, sleepVcpu } from "../halt.js";
import { askForVector } from "./epr.js";
import { PpcExit } from "./guest.js";
import { handleHypercall } from "./hypercall.js";
import { handlePpcMmio } from "./mmio.js";
import { type PpcVcpu } from "./vcpu.js";
import { CONTINUE } from "../run-result.js";
import { Request } from "../vcpu-core.js";

// What KVM_RUN does on POWER alone; the rest is in vcpu-run.ts.

/** Before each entry: CONTINUE, or what ends or suspends KVM_RUN. A vCPU that has ceded goes on waiting. */
export function* beforePpcEntry(vcpu: PpcVcpu): Step<number> {
  yield reads(vcpu, "requests");
  if (vcpu.requests !== 0) {
    yield writes(vcpu, "requests");
    const { requests } = vcpu;
    vcpu.requests = 0;
    if ((requests & Request.VM_DEAD) !== 0) return -EIO;
    if ((requests & Request.SLEEP) !== 0) {
      yield* vcpu.request(requests & ~Request.SLEEP);
      return yield* sleepVcpu(vcpu);
    }
  }
  if (vcpu.hasCeded) return yield* haltVcpu(vcpu);
  return vcpu.asksForVector ? yield* askForVector(vcpu) : CONTINUE;
}

/** The end of a ceded vCPU's wait: by an interrupt, or by a signal, which leaves it ceded. */
export function* endCede(vcpu: PpcVcpu): Step<number> {
  const isOver = yield* vcpu.isRunnable();
  if (isOver) vcpu.hasCeded = false;
  return CONTINUE;
}

/** Everything that an exit of the guest asks for: CONTINUE, TO_USER or a negative errno. */
export function* handlePpcExit(vcpu: PpcVcpu, exit: number): Step<number> {
  switch (exit) {
    case PpcExit.EXTERNAL:
      return CONTINUE;
    case PpcExit.SYSCALL:
      return yield* handleHypercall(vcpu);
    case PpcExit.DATA_STORAGE:
      return yield* handlePpcMmio(vcpu);
    default:
      return -ENOSYS;
  }
}
