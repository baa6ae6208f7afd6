import type { MpicVcpu } from "../../irqchip/mpic/contract.js";
import type { XicsVcpu } from "../../irqchip/xics/contract.js";
import type { Icp } from "../../irqchip/xics/icp.js";
import type { RealMode } from "../../irqchip/xics/real-mode.js";
import { H_TOO_HARD } from "../../irqchip/xics/constants.js";
import { RTAS_WORDS } from "../../irqchip/xics/rtas.js";
import { reads, shared, writes } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { kick } from "../kick.js";
import { EXTERNAL_VECTOR, PPC_EXIT_NAMES, PpcExit, type PpcGuestCpu, PpcRegisters, PpcTrap } from "./guest.js";
import { completeHypercall, hypercallNumber } from "./hypercall.js";
import { completeEpr } from "./epr.js";
import { completePpcMmio } from "./mmio.js";
import { takeProxied } from "./mpic.js";
import { beforePpcEntry, endCede, handlePpcExit } from "./run.js";
import type { PpcVm } from "./powerpc.js";
import { VcpuCore, VcpuStats } from "../vcpu-core.js";
import type { Vm } from "../vm.js";

/** Requests of POWER alone. */
export const enum PpcRequest {
  /** The external interrupt is to be looked at before the next entry. */
  EXTERNAL = 1 << 0,
}

/** KVM's counters of vCPUs on POWER. */
export class PpcVcpuStats extends VcpuStats {
  /** Hypercalls that left the guest, and those of them that user space served. */
  hypercallExits = 0;
  paprExits = 0;
  cedes = 0;
  /** External interrupts taken by the guest. */
  externals = 0;

  constructor() {
    super(PPC_EXIT_NAMES.length);
  }
}

class Nothing implements PpcGuestCpu {
  *run(vcpu: PpcVcpu): Step<PpcExit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    return isInterrupted ? PpcExit.EXTERNAL : PpcExit.IDLE;
  }
}
/** A vCPU without software: it spins. */
const NO_PPC_GUEST: PpcGuestCpu = new Nothing();

/** Which controller a vCPU is connected to: at most one (xics.md 1). */
export type PpcIrqType = "default" | "xics" | "mpic";

/** One virtual CPU of a VM on POWER: registers, its external-interrupt request, and its presentation controller. */
export class PpcVcpu extends VcpuCore implements XicsVcpu, MpicVcpu {
  declare readonly stat: PpcVcpuStats;
  readonly regs = new PpcRegisters();
  readonly trap = new PpcTrap();
  readonly exitNames = PPC_EXIT_NAMES;
  guest: PpcGuestCpu = NO_PPC_GUEST;
  irqType: PpcIrqType = "default";
  icp: Icp | null = null;
  /** Its number at an MPIC, -1 without. */
  mpicCpu = -1;
  /** The real-mode half of its hypercalls; null where the kernel has them in virtual mode alone. */
  realMode: RealMode | null = null;
  /** Real mode has begun a hypercall and left it to be completed. */
  isTooHard = false;
  /** KVM_EXIT_PAPR_HCALL was given to user space: its answer goes into the registers. */
  isHypercallNeeded = false;
  /** The external-interrupt request (pending_exceptions). */
  external = false;
  /** What the processor has of it while the guest runs (LPCR[MER]). */
  private isShown = false;
  /** Externals of KVM_INTERRUPT_SET end as they are taken; those of controllers and of SET_LEVEL stay. */
  private isPulse = false;
  /** KVM_CAP_PPC_EPR: user space says the vector of each external interrupt, by KVM_EXIT_EPR (mpic.md 5.9). */
  asksForVector = false;
  /** KVM_EXIT_EPR was given to user space: its answer goes into EPR. */
  isVectorNeeded = false;
  /** An access that user space completes is under way. */
  isMmioNeeded = false;
  hasCeded = false;
  /** The argument block of an RTAS call that is under way. */
  readonly rtasWords = new Int32Array(RTAS_WORDS);

  constructor(
    vm: Vm,
    readonly arch: PpcVm,
    id: number,
    index: number,
  ) {
    super(vm, id, index, new PpcVcpuStats());
  }

  // What its interrupt controller asks of it.

  *raiseExternal(): Step<void> {
    yield writes(this, "external");
    this.external = true;
  }

  /** Of its own vCPU, in the guest too. */
  *lowerExternal(): Step<void> {
    yield writes(this, "external");
    this.external = false;
    this.isShown = false;
  }

  *kickExternal(): Step<void> {
    yield* this.request(PpcRequest.EXTERNAL);
    yield* kick(this);
  }

  /** KVM_INTERRUPT, on a vCPU whose controller is user space's; with a pulse the request ends as it is taken. */
  *interrupt(isPulse: boolean): Step<void> {
    yield* this.raiseExternal();
    this.isPulse = isPulse;
    yield* this.kickExternal();
  }

  /** Takes the external interrupt on the way into the guest, where the vector is to come from user space. True: it was taken. */
  *takeAskingForVector(): Step<boolean> {
    if (!this.asksForVector || !this.regs.isEnabled) return false;
    yield writes(this, "external");
    if (!this.external) return false;
    this.external = !this.isPulse;
    this.deliverProxied(0);
    return true;
  }

  showExternal(): void {
    this.isShown = true;
  }

  get isOnCore(): boolean {
    return this.physicalCpu >= 0;
  }

  *raiseInterrupt(): Step<void> {
    yield* this.raiseExternal();
    yield* this.kickExternal();
  }

  *lowerInterrupt(): Step<void> {
    yield* this.lowerExternal();
  }

  override *requestIrqPending(): Step<void> {
    yield* this.kickExternal();
  }

  /** Arm's pruning: nothing here. */
  override *requestProcessUpdate(): Step<void> {}

  override *interruptLine(_fiq: boolean, _level: boolean): Step<number> {
    return -EINVAL;
  }

  // What guest software does on its processor.

  /** Between two instructions: takes an external interrupt that is shown, where MSR[EE] allows it. True: it was taken. */
  takeExternal(): boolean {
    if (!this.isShown || !this.regs.isEnabled) return false;
    this.stat.externals++;
    this.regs.deliver(EXTERNAL_VECTOR);
    return true;
  }

  /** sc 1 with the number in r3. True: real mode has served it; false: the guest exits with {@link PpcExit.SYSCALL}. */
  *hypercall(): Step<boolean> {
    const { realMode, regs, vm } = this;
    const number = hypercallNumber(regs);
    if (realMode === null || !realMode.handles(number)) return false;
    vm.sim.charge(Cost.guestAccess);
    const status = yield* realMode.hypercall(number, regs);
    if (vm.sim.tracing) vm.sim.emit(Ev.kvm_hcall, this.id, number, status, "real");
    this.isTooHard = status === H_TOO_HARD;
    if (this.isTooHard) return false;
    regs.set(3, status);
    return true;
  }

  // KVM_RUN (vcpu-core.ts).

  override *prepareFirstRun(): Step<number> {
    return 0;
  }

  override *load(_cpu: number): Step<void> {}
  override *put(_isBlocking: boolean): Step<void> {}

  override completeExit(): void {
    completeHypercall(this);
    completePpcMmio(this);
    completeEpr(this);
  }

  override *beforeEntry(): Step<number> {
    return yield* beforePpcEntry(this);
  }

  override *flush(): Step<void> {
    yield reads(this, "external");
    this.isShown = this.external && !this.asksForVector;
    if (this.isShown && this.isPulse && this.regs.isEnabled) yield* this.takePulse();
    if (this.mpicCpu >= 0 && this.isShown && this.regs.isEnabled) yield* takeProxied(this);
  }

  /** What KVM_INTERRUPT_SET raised is delivered as the guest is entered, and over. */
  private *takePulse(): Step<void> {
    yield* this.lowerExternal();
    this.isPulse = false;
    this.stat.externals++;
    this.regs.deliver(EXTERNAL_VECTOR);
  }

  /** The guest leaves, too, when it enables interrupts while one waits whose vector is user space's. */
  override *isInterrupted(): Step<boolean> {
    if (this.asksForVector && this.regs.isEnabled) {
      yield reads(this, "external");
      if (this.external) return true;
    }
    return yield* super.isInterrupted();
  }

  /** The processor delivers what KVM acknowledged for it (mpic.md 5.9). */
  deliverProxied(vector: number): void {
    this.regs.epr = vector;
    this.stat.externals++;
    this.regs.deliver(EXTERNAL_VECTOR);
  }

  override *sync(): Step<void> {}

  override *runGuest(): Step<number> {
    return yield* this.guest.run(this);
  }

  override *handleExit(exit: number): Step<number> {
    return yield* handlePpcExit(this, exit);
  }

  override *saveRun(): Step<void> {}

  override *isRunnable(): Step<boolean> {
    yield reads(this, "isPaused");
    if (this.isPaused) return false;
    yield reads(this, "external");
    return this.external;
  }

  override *hasFiredTimer(): Step<boolean> {
    return false;
  }

  override *nextDeadline(): Step<number> {
    return Infinity;
  }

  override *haltEnded(): Step<number> {
    return yield* endCede(this);
  }

  override *mustSleep(): Step<boolean> {
    yield reads(this, "isPaused");
    return this.isPaused;
  }

  override *destroy(): Step<void> {
    this.icp?.free();
  }
}
shared(PpcVcpu, "external");
