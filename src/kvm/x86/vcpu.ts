import type { X86Vcpu } from "../../irqchip/x86/contract.js";
import type { InitTarget } from "../../irqchip/x86/lapic/init.js";
import { APIC_DEFAULT_BASE } from "../../irqchip/x86/lapic/registers.js";
import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED } from "../../uapi/kvm.js";
import { kvm_sregs, MSR_IA32_APICBASE_BSP, MSR_IA32_APICBASE_ENABLE } from "../../uapi/x86.js";
import { POSTED_INTR_VECTOR } from "../../arch/x86/posted-descriptor.js";
import { kick } from "../kick.js";
import type { Apicv } from "./apicv.js";
import { PvEoi } from "./pv-eoi.js";
import { Vapic } from "./vapic.js";
import { hasEvents } from "./events.js";
import { X86Exit, type X86GuestCpu, X86_EXIT_NAMES, X86Registers, X86Trap } from "./guest.js";
import { completeIo } from "./io.js";
import { beforeX86Entry, endX86Halt, handleX86Exit } from "./run.js";
import { resetSegments, setCodeSegment } from "./vcpu-state.js";
import { saveRunPage } from "./run-page.js";
import { VcpuCore, VcpuStats } from "../vcpu-core.js";
import type { Vm } from "../vm.js";
import type { X86Vm } from "./x86.js";

/** Requests of x86 alone. */
export const enum X86Request {
  /** Look for an interrupt, NMI, INIT or start-up before the next entry (x86-irqchip.md 7.9). */
  EVENT = 1 << 0,
  SCAN_IOAPIC = 1 << 1,
  IOAPIC_EOI_EXIT = 1 << 2,
  NMI = 1 << 3,
  /** An access to the TPR that user space wants to hear of. */
  REPORT_TPR_ACCESS = 1 << 4,
  /** A timer expired: out of the halt, or out of the guest. */
  UNBLOCK = 1 << 6,
}

/** The vector of an NMI. */
export const NMI_VECTOR = 2;
/** General protection. */
export const GP_VECTOR = 13;

/** KVM's counters of x86 vCPUs. */
export class X86VcpuStats extends VcpuStats {
  /** Exits by a host interrupt, HLT, port accesses that reach user space or the kernel's devices. */
  irqExits = 0;
  haltExits = 0;
  ioExits = 0;
  irqWindowExits = 0;
  nmiWindowExits = 0;
  /** Exits to user space because it had asked for an interrupt window. */
  requestIrqExits = 0;
  irqInjections = 0;
  nmiInjections = 0;
  reqEvent = 0;

  constructor() {
    super(X86_EXIT_NAMES.length);
  }
}

class Nothing implements X86GuestCpu {
  *run(vcpu: VcpuX86): Step<X86Exit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return X86Exit.EXTERNAL_INTERRUPT;
    return vcpu.boundary();
  }
  entryOf(): number {
    return 0;
  }
}
/** A vCPU without software: it spins, and its handlers do nothing. */
const NO_X86_GUEST: X86GuestCpu = new Nothing();

/**
 * One virtual CPU of an x86 VM: registers, pending and injected events (x86-irqchip.md 7.4, 14.2), and its local APIC
 * unless the mode is none. Event injection is in events.ts, KVM_RUN in ../vcpu-run.ts and run.ts.
 */
export class VcpuX86 extends VcpuCore implements X86Vcpu, InitTarget {
  declare readonly stat: X86VcpuStats;
  readonly regs = new X86Registers();
  readonly trap = new X86Trap();
  readonly exitNames = X86_EXIT_NAMES;
  guest: X86GuestCpu = NO_X86_GUEST;
  /** The in-kernel local APIC; null in mode none. */
  apic: Lapic | null = null;
  /** APIC virtualisation by the processor; null without. */
  apicv: Apicv | null = null;
  readonly pvEoi = new PvEoi();
  readonly vapic = new Vapic();

  /** KVM_MP_STATE_*; its own thread and user space, vcpu.mutex held. */
  mpState: number;
  /** External interrupt on its way into the guest; -1: none. Delivered at the next entry. */
  injectedVector = -1;
  /** The last that was on its way: KVM_GET_VCPU_EVENTS goes on naming it. */
  lastVector = 0;
  /** Exception on its way into the guest; -1: none. */
  exceptionVector = -1;
  /** The VMM's ExtINT in split mode; -1: none. */
  pendingExternalVector = -1;
  isNmiInjected = false;
  nmiPending = 0;
  /** NMIs that other contexts sent and this vCPU has not looked at. */
  nmiQueued = 0;
  isUnhalted = false;
  /** The vector of KVM_EXIT_IOAPIC_EOI that waits. */
  pendingIoapicEoi = 0;
  /** Entries of KVM_SET_CPUID2. */
  cpuid = new Uint8Array(0);
  /** struct kvm_sregs as user space last set it; APIC base, CR8 and the bitmap are elsewhere. */
  readonly sregs = new Uint8Array(kvm_sregs.size);
  /** KVM_VCPU_TSC_OFFSET. */
  readonly tscOffset = new Uint8Array(8);
  wantsIrqWindow = false;
  wantsNmiWindow = false;
  /** CR8 of mode none, which user space owns; else the local APIC's. */
  cr8 = 0;
  /** IA32_APIC_BASE of mode none. */
  apicBaseLo = 0;
  apicBaseHi = 0;
  /** An access that user space completes is under way. */
  isIoNeeded = false;
  /** What its last read of a port gave: the emulator's buffer. */
  lastPortRead = 0;
  /** KVM_RUN has tried to enter the guest, or has waited, since it was called. */
  isInsideRun = false;

  constructor(
    vm: Vm,
    readonly arch: X86Vm,
    id: number,
    index: number,
  ) {
    super(vm, id, index, new X86VcpuStats());
    this.regs.reset();
    resetSegments(this.sregs);
    const isBoot = id === arch.bootCpuId;
    const isStarted = isBoot || !arch.hasIrqchip();
    this.apicBaseLo = (APIC_DEFAULT_BASE | MSR_IA32_APICBASE_ENABLE | (isBoot ? MSR_IA32_APICBASE_BSP : 0)) | 0;
    this.mpState = isStarted ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
  }

  /** KVM_SET_BOOT_CPU_ID chooses it at creation; afterwards the bit of IA32_APIC_BASE says so. */
  get isBootCpu(): boolean {
    return ((this.apic === null ? this.apicBaseLo : this.apic.base.low) & MSR_IA32_APICBASE_BSP) !== 0;
  }

  // What other contexts ask of it: the request first, then the kick (K15).

  private *ask(request: X86Request): Step<void> {
    const isEarly = this.vm.hazards.kickBeforeRequest;
    if (isEarly) yield* kick(this);
    yield* this.request(request);
    if (!isEarly) yield* kick(this);
  }

  *requestEvent(): Step<void> {
    yield* this.ask(X86Request.EVENT);
  }

  *requestScanIoapic(): Step<void> {
    yield* this.ask(X86Request.SCAN_IOAPIC);
  }

  *requestEoiExit(vector: number): Step<void> {
    this.pendingIoapicEoi = vector;
    yield* this.request(X86Request.IOAPIC_EOI_EXIT);
  }

  *pendNmi(): Step<void> {
    yield writes(this, "nmiQueued");
    this.nmiQueued++;
    yield* this.ask(X86Request.NMI);
  }

  /** Without SMM (recorded: the message gives 0). */
  *pendSmi(): Step<boolean> {
    return false;
  }

  *requestInitEvents(): Step<void> {
    yield* this.ask(X86Request.EVENT);
  }

  *unhalt(): Step<void> {
    yield* this.setUnhalted(true);
    yield* this.ask(X86Request.EVENT);
  }

  *requestUnblock(): Step<void> {
    yield* this.ask(X86Request.UNBLOCK);
  }

  override *requestIrqPending(): Step<void> {
    yield* this.requestEvent();
  }

  /** Arm's pruning: nothing here. */
  override *requestProcessUpdate(): Step<void> {}

  override *interruptLine(_fiq: boolean, _level: boolean): Step<number> {
    return -EINVAL;
  }

  // KVM_RUN (vcpu-core.ts).

  override *prepareFirstRun(): Step<number> {
    return 0;
  }

  override *load(cpu: number): Step<void> {
    if (this.apicv !== null) yield* this.apicv.load(cpu);
  }

  override *put(isBlocking: boolean): Step<void> {
    if (this.apicv !== null) yield* this.apicv.put(isBlocking);
  }

  override completeExit(): void {
    this.isInsideRun = false;
    completeIo(this);
  }

  override *beforeEntry(): Step<number> {
    return yield* beforeX86Entry(this);
  }

  override *flush(): Step<void> {
    if (this.apicv !== null) this.apicv.flush();
  }

  override *sync(): Step<void> {
    if (this.apic === null) return;
    yield* this.apic.syncCr8();
    yield* this.pvEoi.fromGuest(this, this.apic);
    yield* this.vapic.fromGuest(this, this.apic);
  }

  override *runGuest(): Step<number> {
    if (this.apicv !== null) yield* this.apicv.enter();
    return yield* this.guest.run(this);
  }

  override *handleExit(exit: number): Step<number> {
    return yield* handleX86Exit(this, exit);
  }

  override *saveRun(): Step<void> {
    yield* saveRunPage(this);
  }

  override *isRunnable(): Step<boolean> {
    yield reads(this, "isPaused");
    if (this.isPaused) return false;
    return yield* hasEvents(this);
  }

  /** Also what asks it to stop blocking and begin anew: a device may post from now on (x86-irqchip.md 10.5). */
  override *hasFiredTimer(): Step<boolean> {
    yield reads(this, "requests");
    if ((this.requests & X86Request.UNBLOCK) !== 0) {
      yield* this.clearRequest(X86Request.UNBLOCK);
      return true;
    }
    return this.apic !== null && (yield* this.apic.timer.hasPending());
  }

  /** The local APIC's timer is a host timer that wakes the vCPU by itself. */
  override *nextDeadline(): Step<number> {
    return Infinity;
  }

  override *haltEnded(): Step<number> {
    return yield* endX86Halt(this);
  }

  override *mustSleep(): Step<boolean> {
    yield reads(this, "isPaused");
    return this.isPaused;
  }

  override *destroy(): Step<void> {
    if (this.apic !== null) this.vm.sim.cancel(this.apic.timer);
  }

  // The processor's side.

  *setUnhalted(isUnhalted: boolean): Step<void> {
    yield writes(this, "isUnhalted");
    this.isUnhalted = isUnhalted;
  }

  /** A change of KVM_MP_STATE_*; what runs needs no unhalt. */
  *become(mpState: number): Step<void> {
    this.mpState = mpState;
    if (mpState === KVM_MP_STATE_RUNNABLE) yield* this.setUnhalted(false);
  }

  /** An external interrupt is on its way into the guest. */
  inject(vector: number): void {
    this.injectedVector = this.lastVector = vector;
  }

  /** The vector that the processor takes as a notification while this guest runs; -1: none. */
  get notificationVector(): number {
    return this.apicv === null ? -1 : POSTED_INTR_VECTOR;
  }

  /** The notification came: what was posted is looked at on this CPU. */
  *notified(isIpi: boolean): Step<void> {
    if (this.apicv !== null) yield* this.apicv.notified(isIpi);
  }

  /** Can the guest take a maskable interrupt now? */
  canInterrupt(): boolean {
    return this.regs.interruptFlag && this.regs.shadow === 0;
  }

  /**
   * The boundary between two guest instructions: delivers what KVM injected, or says which window opens. The guest goes on
   * only with IDLE. A handler that begins gets its first instruction before an NMI window opens, as where KVM steps over
   * one instruction to find it.
   */
  boundary(): X86Exit {
    if (this.exceptionVector >= 0 || this.isNmiInjected || this.injectedVector >= 0) {
      this.deliver();
      return X86Exit.IDLE;
    }
    if (this.wantsNmiWindow && !this.regs.isNmiBlocked) return X86Exit.NMI_WINDOW;
    return this.wantsIrqWindow && this.canInterrupt() ? X86Exit.INTERRUPT_WINDOW : X86Exit.IDLE;
  }

  /** What was injected enters whatever IF says: that was looked at before, and is not for KVM_INTERRUPT in mode none. */
  private deliver(): void {
    const { regs } = this;
    let vector = NMI_VECTOR;
    if (this.exceptionVector >= 0) {
      vector = this.exceptionVector;
      this.exceptionVector = -1;
    } else if (this.isNmiInjected) {
      this.isNmiInjected = false;
      regs.isNmiBlocked = true;
    } else {
      vector = this.injectedVector;
      this.injectedVector = -1;
    }
    regs.deliver(this.guest.entryOf(this, vector));
  }

  // INIT and start-up (7.6).

  /** SMM and nested virtualisation, which hold INIT back, are not modelled. */
  allowsInit(): boolean {
    return true;
  }

  waitsForStartup(): boolean {
    return this.mpState === KVM_MP_STATE_INIT_RECEIVED;
  }

  *setWaiting(waits: boolean): Step<void> {
    yield* this.become(waits ? KVM_MP_STATE_INIT_RECEIVED : KVM_MP_STATE_RUNNABLE);
  }

  *startAt(vector: number): Step<void> {
    this.regs.rip = vector * 0x1000;
    setCodeSegment(this.sregs, vector * 0x1000, vector * 0x100);
    yield* this.become(KVM_MP_STATE_RUNNABLE);
  }

  /** INIT and start-up that wait are acted on. */
  *acceptInitEvents(): Step<void> {
    if (this.apic !== null) yield* this.apic.init.process(this);
  }

  /** KVM_SET_VCPU_EVENTS: so many NMIs wait, and no others. */
  *replaceNmis(count: number): Step<void> {
    this.nmiPending = 0;
    yield writes(this, "nmiQueued");
    this.nmiQueued = count;
    yield* this.request(X86Request.NMI);
  }

  /** INIT: registers to their reset values, the local APIC's too. */
  *reset(): Step<void> {
    this.regs.reset();
    resetSegments(this.sregs);
    this.injectedVector = this.exceptionVector = -1;
    this.isNmiInjected = false;
    this.nmiPending = 0;
    yield writes(this, "nmiQueued");
    this.nmiQueued = 0;
    this.pvEoi.reset();
    this.vapic.reset();
    if (this.apic !== null) yield* this.apic.reset(true);
  }
}
shared(VcpuX86, "nmiQueued", "isUnhalted");
