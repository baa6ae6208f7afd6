import { Ev, type EventArgument, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { H_TOO_HARD } from "../irqchip/xics/constants.js";
import type { DmaFaultCount } from "./result.js";
import { Samples } from "./samples.js";
import type { VcpuState } from "./vcpu-state.js";

/** Of a hypercall that real mode has left to virtual mode. */
const LEFT = H_TOO_HARD;

/** What the meter has to know to tell one interrupt's events from others. */
export interface MeterTargets {
  /** Host interrupt numbers of the measured device. */
  readonly irqs: readonly number[];
  /** Is a number at the physical controller one of the device's interrupts? */
  isDevice(number: number): boolean;
  /** Is it an inter-processor interrupt? */
  isIpi(number: number): boolean;
  /** VFIO's indexes of the interrupts, and the INTIDs that the guest sees for them, in the same order. */
  readonly indexes: readonly number[];
  readonly guestIntids: readonly number[];
  /** What an acknowledge returns when there is nothing. */
  readonly spuriousNumber: number;
  readonly triggerEventfds: readonly number[];
  readonly resampleEventfds: readonly number[];
  /** Ids of the vCPUs that take the interrupts, the first of them the first and so on; and where one of these is now. */
  readonly takers: readonly number[];
  stateOf(taker: number): VcpuState;
}

/**
 * Counts a run by its events and keeps none of them (design, section 4b: counts come from the run). Raised, delivered
 * and coalesced are the device's own count; this is everything on the way.
 */
export class Meter implements EventSink {
  hostInterrupts = 0;
  ipis = 0;
  hostMasks = 0;
  hostUnmasks = 0;
  /** Times that a function's pin was masked by DisINTx. */
  pinMasks = 0;
  triggerSignals = 0;
  resampleSignals = 0;
  exits = 0;
  userExits = 0;
  ioctls = 0;
  /** Notifications of posted interrupts that the remapping hardware sent. */
  notifications = 0;
  /** GICv4: doorbells that the host took, changes of a vPE's redistributor, commands that ITSs executed. */
  doorbells = 0;
  vpeMoves = 0;
  itsCommands = 0;
  /** Times that a taker had to leave its CPU to another thread. */
  preemptions = 0;
  /** Of the interrupts that met the vCPU in each state: how many, and their latency. */
  readonly metBy: Record<VcpuState, number> = { resident: 0, runnable: 0, blocked: 0 };
  readonly latencyBy: Readonly<Record<VcpuState, Samples>> = { resident: new Samples(), runnable: new Samples(), blocked: new Samples() };
  /** Power: hypercalls that the guest made, and those of them that real mode served without an exit. */
  hypercalls = 0;
  realModeHypercalls = 0;
  wakeups = 0;
  contextSwitches = 0;
  spuriousAcknowledges = 0;
  spuriousServices = 0;
  dmaFaults: DmaFaultCount = null;
  readonly exitsByReason = new Map<EventArgument, number>();
  readonly latency = new Samples();
  readonly eoiToUnmask = new Samples();
  /** By place in `targets`: when the oldest unacknowledged assertion began, -1 when there is none. */
  private readonly assertedAt: Float64Array;
  /** By place: when the guest last ended it, -1 before that and once its line, or its pin, is masked or unmasked again. */
  private readonly endedAt: Float64Array;
  /** By place: the state that the oldest unacknowledged assertion met. */
  private readonly met: VcpuState[] = [];
  /** Where each taker was at the last change of threads. */
  private readonly lastStates: VcpuState[];

  constructor(private readonly targets: MeterTargets) {
    this.assertedAt = new Float64Array(targets.guestIntids.length).fill(-1);
    this.endedAt = this.assertedAt.slice();
    this.lastStates = targets.takers.map(() => "resident");
  }

  event(sim: Sim, _id: number, _cause: number, kind: number, a?: EventArgument, b?: EventArgument, c?: EventArgument, d?: EventArgument): void {
    switch (kind) {
      case Ev.device_raise:
        this.raised(sim, Number(b));
        break;
      case Ev.device_service:
        this.serviced(Number(b), Number(c));
        break;
      case Ev.host_ack:
        if (this.targets.isDevice(Number(b))) this.hostInterrupts++;
        else if (this.targets.isIpi(Number(b))) this.ipis++;
        break;
      case Ev.irq_mask:
        this.masked(this.targets.irqs.indexOf(Number(a)));
        break;
      case Ev.irq_unmask:
        this.unmasked(sim, this.targets.irqs.indexOf(Number(a)));
        break;
      case Ev.pci_intx:
        this.pinMasked(sim, Number(b) !== 0);
        break;
      case Ev.eventfd_signal:
      case Ev.eventfd_write:
        if (this.targets.triggerEventfds.includes(Number(a))) this.triggerSignals++;
        else if (this.targets.resampleEventfds.includes(Number(a))) this.resampleSignals++;
        break;
      case Ev.iommu_fault:
        this.faulted(Number(b), c === 1, String(d));
        break;
      case Ev.kvm_exit:
        if (this.targets.takers.includes(Number(a))) this.exited(b ?? "");
        break;
      case Ev.kvm_hcall:
        if (this.targets.takers.includes(Number(a)) && d === "real" && c !== LEFT) this.finishedInRealMode();
        break;
      case Ev.kvm_userspace_exit:
        if (this.targets.takers.includes(Number(a))) this.userExits++;
        break;
      case Ev.pi_notification:
        this.notifications++;
        break;
      case Ev.sys_ioctl:
        this.ioctls++;
        break;
      case Ev.sched_wakeup:
        if (b === "user") this.wakeups++;
        break;
      case Ev.sched_switch:
        this.switched();
        break;
      case Ev.vpe_doorbell:
        this.doorbells++;
        break;
      case Ev.vpe_move:
        this.vpeMoves++;
        break;
      case Ev.its_hw_command:
        this.itsCommands++;
        break;
      case Ev.guest_ack:
        this.acknowledged(sim, Number(b));
        break;
      case Ev.guest_eoi:
      case Ev.guest_dir:
        this.ended(sim, this.targets.guestIntids.indexOf(Number(b)));
        break;
      default:
    }
  }

  private faulted(iova: number, write: boolean, reason: string): void {
    const { count, first } = this.dmaFaults ?? { count: 0, first: { iova, write, reason } };
    this.dmaFaults = { count: count + 1, first };
  }

  private exited(reason: EventArgument): void {
    this.exits++;
    if (reason === "SYSCALL") this.hypercalls++;
    this.exitsByReason.set(reason, (this.exitsByReason.get(reason) ?? 0) + 1);
  }

  private finishedInRealMode(): void {
    this.hypercalls++;
    this.realModeHypercalls++;
  }

  private raised(sim: Sim, index: number): void {
    const place = this.targets.indexes.indexOf(index);
    if (this.assertedAt[place] >= 0) return;
    const state = this.targets.stateOf(place % this.targets.takers.length);
    this.assertedAt[place] = sim.now();
    this.met[place] = state;
    this.metBy[state]++;
  }

  private switched(): void {
    this.contextSwitches++;
    for (let i = 0; i < this.lastStates.length; i++) {
      const state = this.targets.stateOf(i);
      if (this.lastStates[i] === "resident" && state === "runnable") this.preemptions++;
      this.lastStates[i] = state;
    }
  }

  private serviced(index: number, found: number): void {
    if (found === 0) this.spuriousServices++;
    this.assertedAt[this.targets.indexes.indexOf(index)] = -1;
  }

  private acknowledged(sim: Sim, intid: number): void {
    if (intid === this.targets.spuriousNumber) {
      this.spuriousAcknowledges++;
      return;
    }
    const place = this.targets.guestIntids.indexOf(intid);
    if (place < 0 || this.assertedAt[place] < 0) return;
    this.latency.add(sim.now() - this.assertedAt[place]);
    this.latencyBy[this.met[place]].add(sim.now() - this.assertedAt[place]);
    this.assertedAt[place] = -1;
  }

  private masked(place: number): void {
    if (place < 0) return;
    this.hostMasks++;
    this.endedAt[place] = -1;
  }

  private ended(sim: Sim, place: number): void {
    if (place >= 0) this.endedAt[place] = sim.now();
  }

  private unmasked(sim: Sim, place: number): void {
    if (place < 0) return;
    this.hostUnmasks++;
    this.openedAgain(sim, place);
  }

  /** DisINTx, the mask of a function's pin, which is its first interrupt. */
  private pinMasked(sim: Sim, isMasked: boolean): void {
    const place = this.targets.indexes.indexOf(0);
    if (place < 0) return;
    if (!isMasked) {
      this.openedAgain(sim, place);
      return;
    }
    this.pinMasks++;
    this.endedAt[place] = -1;
  }

  private openedAgain(sim: Sim, place: number): void {
    if (this.endedAt[place] >= 0) this.eoiToUnmask.add(sim.now() - this.endedAt[place]);
    this.endedAt[place] = -1;
  }
}
