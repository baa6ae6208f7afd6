import { isDirect, isX86, type MechanismName } from "../board/assign.js";
import type { Interrupt } from "../board/board.js";
import { isPower } from "../board/power.js";
import { Workload } from "../device/workload.js";
import { EventfdFile } from "../host/eventfd.js";
import { reads } from "../sim/access.js";
import type { EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { AssignedDevice } from "../vmm/platform-device.js";
import type { VmmCore } from "../vmm/vmm-core.js";
import { armMachine, armStage } from "./arm-stage.js";
import type { BoardMachine, DeviceLine, Machine, PcMachine } from "./machine.js";
import { DELIVERY_MECHANISMS } from "./mechanisms/all.js";
import type { WiredEventfds } from "./mechanisms/mechanism.js";
import { Meter } from "./meter.js";
import type { PowerMachine } from "./power-machine.js";
import { powerMachine, powerStage } from "./power-stage.js";
import type { DeliveryRequest } from "./request.js";
import type { MechanismResult } from "./result.js";
import { shareCpus, type Sharing } from "./sharing.js";
import { type Range, type Stage, type StageRequest, takersOf } from "./stage.js";
import { modelled } from "./samples.js";
import { VCPU_STATES, vcpuStateOf } from "./vcpu-state.js";
import { pcMachine, x86Stage } from "./x86-stage.js";

const NS_PER_S = 1e9;
const NS_PER_MS = 1e6;
/** Occasions between two calls of the progress callback. */
const SLICE = 1000;
/** Virtual time in which what was raised last is served; a VMM's timer would go on for ever behind a lost interrupt. */
const DRAIN_NS = 10 * NS_PER_S;
/** Share of the period by which an occasion may be late. */
const JITTER = 0.1;

/** Events of a run go to the meter and, where somebody wants them, to a recorder too. */
class Tee implements EventSink {
  constructor(
    private readonly meter: EventSink,
    private readonly recorder: EventSink,
  ) {}

  event(...event: Parameters<EventSink["event"]>): void {
    this.meter.event(...event);
    this.recorder.event(...event);
  }
}

/** A machine with a guest that serves the device's interrupts by one mechanism: everything set up and quiet. */
export class Delivery {
  private constructor(
    readonly machine: BoardMachine,
    /** What the VMM has of it. */
    readonly device: AssignedDevice,
    readonly meter: Meter,
    /** The lines that this mechanism serves, in the order of `interrupts`. */
    readonly sources: readonly DeviceLine[],
    readonly apicv: boolean | null,
    readonly realMode: boolean | null,
    readonly sharing: Sharing,
  ) {}

  static prepare(request: DeliveryRequest, mechanism: MechanismName, interrupts: readonly Interrupt[]): Delivery {
    const asked = { request, mechanism, interrupts };
    if (isPower(request.board)) return run(Delivery.startOnPower(powerMachine(asked), asked));
    if (isX86(request.board)) return run(Delivery.startOnPc(pcMachine(asked), asked));
    return run(Delivery.startOnArm(armMachine(asked), asked));
  }

  private static *startOnPc(machine: PcMachine, asked: StageRequest): Step<Delivery> {
    return yield* Delivery.start(yield* x86Stage(machine, asked), asked);
  }

  private static *startOnPower(machine: PowerMachine, asked: StageRequest): Step<Delivery> {
    return yield* Delivery.start(yield* powerStage(machine, asked), asked);
  }

  private static *startOnArm(machine: Machine, asked: StageRequest): Step<Delivery> {
    return yield* Delivery.start(yield* armStage(machine, asked), asked);
  }

  private static *start(stage: Stage, asked: StageRequest): Step<Delivery> {
    const { machine, vmm, wires } = stage;
    const assigned = yield* AssignedDevice.assign(vmm, machine.group, machine.deviceName, machine.open);
    const sharing = shareCpus(stage, asked);
    const made = yield* wired(stage, asked, assigned, sharing);
    const sources = wires.map(({ index }) => machine.lineOf(index));
    for (let i = 0; i < sources.length; i++) yield* machine.placeInterrupt(sources[i].irq);
    const takers = vmm.threads.slice(0, takersOf(asked));
    const meter = new Meter({
      irqs: sources.map((line) => line.irq),
      isDevice: stage.deviceNumbers === null ? (number) => sources.some((line) => line.intid === number) : within(stage.deviceNumbers),
      isIpi: within(stage.ipis),
      indexes: wires.map((wire) => wire.index),
      guestIntids: stage.guestNumbers(),
      spuriousNumber: stage.spuriousNumber,
      triggerEventfds: made.map(({ trigger }) => eventfdId(vmm, trigger)),
      resampleEventfds: made.filter(({ resample }) => resample >= 0).map(({ resample }) => eventfdId(vmm, resample)),
      takers: takers.map((thread) => thread.vcpu.id),
      stateOf: (taker) => vcpuStateOf(machine.host, takers[taker]),
    });
    return new Delivery(machine, assigned, meter, sources, stage.apicv, stage.realMode, sharing);
  }

  /** Lets the device raise as the workload says, until everything is quiet. */
  *drive(request: DeliveryRequest, recorder: EventSink | null, progress: (done: number) => void): Step<void> {
    const { sim } = this.machine;
    const { workload } = request;
    const begin = sim.clock.reduce((latest, ns) => Math.max(latest, ns), 0);
    const periodNs = NS_PER_S / workload.ratePerSecond;
    const endNs = workload.durationMs === undefined ? Infinity : begin + workload.durationMs * NS_PER_MS;
    const occasionsInTime = Math.floor((endNs - begin) / periodNs);
    let longest = 0;
    sim.traceTo(recorder === null ? this.meter : new Tee(this.meter, recorder));
    for (let i = 0; i < this.sources.length; i++) {
      const { source } = this.sources[i];
      const conditions = Math.floor((workload.interrupts + this.sources.length - 1 - i) / this.sources.length);
      const count = Math.min(Math.ceil(conditions / workload.burst), occasionsInTime);
      const jitterNs = Math.floor(periodNs * JITTER);
      const startNs = begin + periodNs;
      new Workload(sim, source, { count, periodNs, burst: workload.burst, conditions, jitterNs, startNs, seed: workload.seed + i, ahead: this.sharing.ahead }).start();
      longest = Math.max(longest, count);
    }
    for (let done = SLICE; done < longest; done += SLICE) {
      yield* sim.runUntil(begin + done * periodNs);
      progress(done * workload.burst * this.sources.length);
    }
    yield* this.drain(begin + (longest + 1) * periodNs);
    sim.traceTo(null);
  }

  /** Until what was raised by `timeNs` is served. Threads that have their CPUs by turns never come to rest: no longer than that. */
  private *drain(timeNs: number): Step<void> {
    const { roundNs } = this.sharing;
    const { sim } = this.machine;
    const endNs = timeNs + DRAIN_NS;
    yield* sim.runUntil(roundNs === 0 ? endNs : timeNs);
    for (let ns = timeNs + roundNs; roundNs > 0 && ns < endNs; ns += roundNs) {
      if (yield* this.isServed()) return;
      yield* sim.runUntil(ns);
    }
  }

  private *isServed(): Step<boolean> {
    for (let i = 0; i < this.sources.length; i++) {
      const { source } = this.sources[i];
      yield reads(source, "counts");
      if (source.counts.lost > 0) return false;
    }
    return true;
  }
}

/** The device's interrupts wired and the guest booted, in the order that the mechanism and the guest ask for: the eventfds of each. */
function* wired(stage: Stage, asked: StageRequest, device: AssignedDevice, sharing: Sharing): Step<readonly WiredEventfds[]> {
  const { vmm, wires, guestWiring } = stage;
  // A message that the guest has not mapped yet is nobody's: its driver first, as with any real VMM (gic-v4.md C3.5).
  const isMappedFirst = isDirect(asked.mechanism);
  if (guestWiring === null) yield* device.prepare(wires.map((wire) => wire.index));
  else yield* guestWiring.begin(device);
  if (isMappedFirst) {
    vmm.run();
    yield* settle(stage.machine.sim, sharing);
  }
  const made: WiredEventfds[] = [];
  if (guestWiring === null) for (let i = 0; i < wires.length; i++) made.push(yield* DELIVERY_MECHANISMS[asked.mechanism].wire(vmm, device, wires[i]));
  if (!isMappedFirst) vmm.run();
  sharing.begin();
  yield* settle(stage.machine.sim, sharing);
  return guestWiring === null ? made : guestWiring.eventfds();
}

/** Until nothing is left to do, or every thread that has its CPU by turns has had it. */
function* settle(sim: Sim, { roundNs }: Sharing): Step<void> {
  if (roundNs === 0) yield* sim.settle();
  else yield* sim.runUntil(sim.clock.reduce((latest, ns) => Math.max(latest, ns), 0) + 2 * roundNs);
}

function within({ first, last }: Range): (number: number) => boolean {
  return (number) => number >= first && number <= last;
}

function eventfdId(vmm: VmmCore, fd: number): number {
  const file = vmm.process.file(fd);
  if (!(file instanceof EventfdFile)) throw new Error(`descriptor ${fd} is no eventfd`);
  return file.context.id;
}

/** Runs one mechanism and counts. */
export function runMechanism(
  request: DeliveryRequest,
  mechanism: MechanismName,
  interrupts: readonly Interrupt[],
  recorder: EventSink | null = null,
  progress: (done: number) => void = () => {},
): MechanismResult {
  const delivery = Delivery.prepare(request, mechanism, interrupts);
  run(delivery.drive(request, recorder, progress));
  return resultOf(delivery, mechanism, interrupts);
}

function resultOf(delivery: Delivery, mechanism: MechanismName, interrupts: readonly Interrupt[]): MechanismResult {
  const { meter } = delivery;
  const counts = delivery.sources.map((line) => line.source.counts);
  const sum = (of: (c: (typeof counts)[number]) => number): number => counts.reduce((total, each) => total + of(each), 0);
  const raised = sum((c) => c.raised);
  const delivered = sum((c) => c.delivered);
  const coalesced = sum((c) => c.coalesced);
  const lost = sum((c) => c.lost);
  if (delivered + coalesced + lost !== raised) throw new Error(`${mechanism}: ${delivered} + ${coalesced} + ${lost} of ${raised} raised`);
  const per = (count: number): number | null => (delivered === 0 ? null : count / delivered);
  const reasons = [...meter.exitsByReason].map(([reason, count]): [string, number] => [String(reason), delivered === 0 ? 0 : count / delivered]);
  return {
    mechanism,
    applicable: true,
    why: null,
    apicv: delivery.apicv,
    realMode: delivery.realMode,
    irqs: interrupts.map((interrupt) => interrupt.index),
    raised,
    delivered,
    coalesced,
    lost,
    spurious: meter.spuriousAcknowledges + meter.spuriousServices,
    hostInterrupts: meter.hostInterrupts,
    ipisPerInterrupt: per(meter.ipis),
    exitsPerInterrupt: per(meter.exits),
    exitsByReason: Object.fromEntries(reasons.sort(([a], [b]) => (a < b ? -1 : 1))),
    userExitsPerInterrupt: per(meter.userExits),
    hostMasksPerInterrupt: per(meter.hostMasks),
    hostUnmasksPerInterrupt: per(meter.hostUnmasks),
    eventfdSignalsPerInterrupt: per(meter.triggerSignals),
    resamplefdSignalsPerInterrupt: per(meter.resampleSignals),
    ioctlsPerInterrupt: per(meter.ioctls),
    wakeupsPerInterrupt: per(meter.wakeups),
    contextSwitchesPerInterrupt: per(meter.contextSwitches),
    notificationsPerInterrupt: per(meter.notifications),
    doorbellsPerInterrupt: per(meter.doorbells),
    vpeMovesPerInterrupt: per(meter.vpeMoves),
    itsCommandsPerInterrupt: per(meter.itsCommands),
    preemptionsPerInterrupt: per(meter.preemptions),
    byState: Object.fromEntries(VCPU_STATES.map((state) => [state, { interrupts: meter.metBy[state], latencyNs: modelled(meter.latencyBy[state].distribution()) }])) as MechanismResult["byState"],
    hypercallsPerInterrupt: delivery.realMode === null ? null : per(meter.hypercalls),
    realModeHypercallsPerInterrupt: delivery.realMode === null ? null : per(meter.realModeHypercalls),
    dmaFaults: meter.dmaFaults,
    latencyNs: modelled(meter.latency.distribution()),
    eoiToUnmaskNs: modelled(meter.eoiToUnmask.distribution()),
  };
}
