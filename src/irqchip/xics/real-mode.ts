import type { Step } from "../../sim/step.js";
import { H_CPPR, H_EOI, H_IPI, H_SUCCESS, H_TOO_HARD, H_XIRR, XICS_IPI } from "./constants.js";
import type { HypercallRegisters, XicsVcpu } from "./contract.js";
import { acceptInterrupt, cpprOf, endSource, irqOf, lowerPriority, priorityOf, raisePriority, requestIpi, setRegister } from "./hypercalls.js";
import { argument, type Icp, type Presenter } from "./icp.js";
import type { Xics } from "./xics.js";

// What real mode leaves to virtual mode; the numbers are the kernel's. 2 and 4 were old kernels'.
const KICK_VCPU = 1;
const NOTIFY_EOI = 8;

/**
 * The real-mode half of a vCPU's hypercalls (xics.md 14): inside the guest's own time, where nobody can be woken and no
 * listener be called. What that leaves is noted, answered by H_TOO_HARD, and done by {@link complete} outside.
 */
export class RealMode implements Presenter {
  private action = 0;
  /** Those that are on no core: Linux keeps the last (rm_kick_target), and the others sleep on. */
  private readonly kickTargets: XicsVcpu[] = [];
  private eoiedIrq = 0;
  /** Hypercalls done here alone, and what virtual mode had to finish. */
  completions = 0;
  kicks = 0;
  notifications = 0;

  constructor(
    private readonly xics: Xics,
    private readonly icp: Icp,
  ) {
    icp.realMode = this;
  }

  *external(icp: Icp, isSelf: boolean): Step<void> {
    const { vcpu } = icp;
    yield* vcpu.raiseExternal();
    if (isSelf || icp === this.icp) vcpu.showExternal();
    else if (vcpu.isOnCore) yield* vcpu.kickExternal();
    else {
      this.action |= KICK_VCPU;
      this.kickTargets.push(vcpu);
    }
  }

  /** False: real mode has no implementation, the guest exits. */
  handles(number: number): boolean {
    return number === H_XIRR || number === H_CPPR || number === H_EOI || number === H_IPI;
  }

  /** The status for r3, or {@link H_TOO_HARD}: the guest exits, and {@link complete} gives the status. */
  *hypercall(number: number, regs: HypercallRegisters): Step<number> {
    const status = yield* this.handle(number, regs);
    if (this.action !== 0) return H_TOO_HARD;
    this.completions++;
    return status;
  }

  private *handle(number: number, regs: HypercallRegisters): Step<number> {
    const { xics, icp } = this;
    switch (number) {
      case H_XIRR:
        setRegister(regs, 4, yield* acceptInterrupt(icp, this));
        return H_SUCCESS;
      case H_CPPR:
        yield* this.setPriority(argument(regs.lo[4], regs.hi[4]));
        return H_SUCCESS;
      case H_IPI:
        return yield* requestIpi(xics, icp, regs, this);
      default:
        yield* this.eoi(regs.lo[4]);
        return H_SUCCESS;
    }
  }

  /** Lowering ends here: no second transaction. */
  private *setPriority(cppr: number): Step<void> {
    const before = yield* priorityOf(this.icp);
    if (cppr > before) yield* lowerPriority(this.xics, this.icp, cppr & 0xff, this);
    else if (cppr < before) yield* raisePriority(this.xics, this.icp, cppr, this);
  }

  /** Of a source whose block is missing, too, real mode says success. */
  private *eoi(xirr: number): Step<void> {
    yield* lowerPriority(this.xics, this.icp, cpprOf(xirr), this);
    const irq = irqOf(xirr);
    if (irq === XICS_IPI) return;
    const isEnded = yield* endSource(this.xics, this.icp, irq, this);
    const isHeard = isEnded && (yield* this.xics.vm.hasAckListeners());
    if (!isHeard) return;
    this.action |= NOTIFY_EOI;
    this.eoiedIrq = irq;
  }

  /** In virtual mode: what is noted, and nothing a second time. */
  *complete(): Step<number> {
    for (let i = 0; i < this.kickTargets.length; i++) {
      this.kicks++;
      yield* this.kickTargets[i].kickExternal();
    }
    if ((this.action & NOTIFY_EOI) !== 0) {
      this.notifications++;
      yield* this.xics.vm.acks.notifyAcked(0, this.eoiedIrq);
    }
    this.action = 0;
    this.kickTargets.length = 0;
    return H_SUCCESS;
  }
}
