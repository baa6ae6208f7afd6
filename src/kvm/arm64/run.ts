import { writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EIO, ENOSYS } from "../../uapi/errno.js";
import { GuestExit } from "./guest-cpu.js";
import { sleepVcpu } from "../halt.js";
import { handleMmio } from "./mmio-exit.js";
import { handleHvc } from "./psci.js";
import { CONTINUE } from "../run-result.js";
import { ArmRequest, type Vcpu } from "./vcpu.js";
import { waitForInterrupt } from "./wait-for-interrupt.js";
import { Request } from "../vcpu-core.js";

// What KVM_RUN does on arm64 alone; the rest is in vcpu-run.ts.

/** Between the signal check and the entry (gic-v3.md A9.11): CONTINUE, or what ends KVM_RUN. */
export function* handleRequests(vcpu: Vcpu): Step<number> {
  const { armIrqchip } = vcpu.vm;
  yield writes(vcpu, "requests");
  const requests = vcpu.requests;
  vcpu.requests = 0;
  if ((requests & Request.VM_DEAD) !== 0) return -EIO;
  if ((requests & Request.SLEEP) !== 0) {
    yield* vcpu.request(requests & ~Request.SLEEP);
    return yield* sleepVcpu(vcpu);
  }
  if ((requests & ArmRequest.VCPU_RESET) !== 0) resetForCpuOn(vcpu);
  if (armIrqchip === null) return CONTINUE;
  if ((requests & ArmRequest.RELOAD_GICV4) !== 0) {
    yield* armIrqchip.put(vcpu.index);
    yield* armIrqchip.load(vcpu.index, vcpu.physicalCpu);
  }
  if ((requests & ArmRequest.VGIC_PROCESS_UPDATE) !== 0) yield* armIrqchip.processUpdate(vcpu.index);
  return CONTINUE;
}

function resetForCpuOn(vcpu: Vcpu): void {
  vcpu.regs.reset();
  vcpu.regs.pc = vcpu.resetPc;
  vcpu.regs.xLo[0] = vcpu.resetX0Lo;
  vcpu.regs.xHi[0] = vcpu.resetX0Hi;
}

/** Everything that an exit of the guest asks for (host-irq.md 3.3): CONTINUE, TO_USER or a negative errno. */
export function* handleExit(vcpu: Vcpu, exit: GuestExit): Step<number> {
  switch (exit) {
    case GuestExit.WFX:
      return yield* handleWfx(vcpu);
    case GuestExit.DABT:
      return vcpu.trap.hasNoPage ? -EFAULT : yield* handleMmio(vcpu);
    case GuestExit.SYSREG:
      return yield* handleSysreg(vcpu);
    case GuestExit.HVC:
      return yield* handleHvc(vcpu);
    case GuestExit.IRQ:
      return CONTINUE;
    default:
      return -ENOSYS;
  }
}

function* handleWfx(vcpu: Vcpu): Step<number> {
  if (vcpu.trap.isWfe) {
    vcpu.stat.wfeExits++;
    vcpu.regs.pc += 4;
    return CONTINUE;
  }
  vcpu.stat.wfiExits++;
  return yield* waitForInterrupt(vcpu);
}

/** A trapped system register write: the virtual GIC's, or UNDEFINED for the guest. */
function* handleSysreg(vcpu: Vcpu): Step<number> {
  const { trap, vm } = vcpu;
  const { armIrqchip } = vm;
  const isDone = armIrqchip !== null && (yield* armIrqchip.guestSysregWrite(vcpu.index, trap.sysreg, trap.low, trap.high));
  if (!isDone) vm.sim.emit(Ev.guest_error, vcpu.id, "UNDEFINED");
  vcpu.regs.pc += 4;
  return CONTINUE;
}
