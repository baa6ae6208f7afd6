import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import * as X from "../../uapi/x86.js";
import { processNmi } from "./events.js";
import { type VcpuX86, X86Request } from "./vcpu.js";

const EVENTS = new UserArgument(X.kvm_vcpu_events.size);
const { view } = EVENTS;
const VALID =
  X.KVM_VCPUEVENT_VALID_NMI_PENDING |
  X.KVM_VCPUEVENT_VALID_SIPI_VECTOR |
  X.KVM_VCPUEVENT_VALID_SHADOW |
  X.KVM_VCPUEVENT_VALID_SMM;

/** KVM_GET_VCPU_EVENTS: NMIs that were sent meanwhile are counted in first; the request for it stays (seen on 6.18). */
export function* getVcpuEvents(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  yield* processNmi(vcpu);
  EVENTS.bytes.fill(0);
  const { exception, interrupt, nmi } = X.kvm_vcpu_events;
  exception.injected.set(view, vcpu.exceptionVector >= 0 ? 1 : 0);
  exception.nr.set(view, Math.max(vcpu.exceptionVector, 0));
  interrupt.injected.set(view, vcpu.injectedVector >= 0 ? 1 : 0);
  interrupt.nr.set(view, vcpu.lastVector);
  interrupt.shadow.set(view, vcpu.regs.shadow);
  nmi.injected.set(view, vcpu.isNmiInjected ? 1 : 0);
  nmi.pending.set(view, vcpu.nmiPending);
  nmi.masked.set(view, vcpu.regs.isNmiBlocked ? 1 : 0);
  X.kvm_vcpu_events.flags.set(view, X.KVM_VCPUEVENT_VALID_NMI_PENDING | X.KVM_VCPUEVENT_VALID_SHADOW | X.KVM_VCPUEVENT_VALID_SMM);
  return EVENTS.copyOut(process, argument) ? 0 : -EFAULT;
}

/** KVM_SET_VCPU_EVENTS; flags say which of the optional parts are meant. */
export function* setVcpuEvents(vcpu: VcpuX86, process: Process, argument: number): Step<number> {
  if (!EVENTS.copyIn(process, argument)) return -EFAULT;
  const { exception, interrupt, nmi, sipi_vector } = X.kvm_vcpu_events;
  const flags = X.kvm_vcpu_events.flags.get(view);
  // Payloads and triple faults need capabilities that are not offered.
  if ((flags & ~VALID) !== 0) return -EINVAL;
  const isException = exception.injected.get(view) !== 0;
  if (isException && (exception.nr.get(view) > 31 || exception.nr.get(view) === 2)) return -EINVAL;
  vcpu.exceptionVector = isException ? exception.nr.get(view) : -1;
  vcpu.inject(interrupt.nr.get(view));
  if (interrupt.injected.get(view) === 0) vcpu.injectedVector = -1;
  if ((flags & X.KVM_VCPUEVENT_VALID_SHADOW) !== 0) vcpu.regs.shadow = interrupt.shadow.get(view);
  vcpu.isNmiInjected = nmi.injected.get(view) !== 0;
  vcpu.regs.isNmiBlocked = nmi.masked.get(view) !== 0;
  const waiting = (flags & X.KVM_VCPUEVENT_VALID_NMI_PENDING) !== 0 ? nmi.pending.get(view) : -1;
  const startup = (flags & X.KVM_VCPUEVENT_VALID_SIPI_VECTOR) !== 0 ? sipi_vector.get(view) : -1;
  if (waiting >= 0) yield* vcpu.replaceNmis(waiting);
  if (startup >= 0 && vcpu.apic !== null) {
    yield writes(vcpu.apic.init, "sipiVector");
    vcpu.apic.init.sipiVector = startup;
  }
  yield* vcpu.request(X86Request.EVENT);
  return 0;
}
