import type { LineDevice } from "../../device/line-device.js";
import { Workload } from "../../device/workload.js";
import { Ev, type EventArgument, type EventSink } from "../../sim/event.js";
import type { Host } from "../../host/machine.js";
import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { errnoName } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import * as xenUapi from "../../uapi/vfio-xen.js";
import type { VfioDevice } from "../../vmm/vfio.js";
import type { Workload as WorkloadSettings } from "../../scenario/scenario.js";
import type { BackendResult } from "./result.js";
import type { XenGuestCpu } from "./xen-guest.js";

const NS_PER_S = 1e9;
/** Virtual time in which what was raised last is served. */
const DRAIN_NS = 10 * NS_PER_S;

const FLAGS: readonly (readonly [number, string])[] = [
  [uapi.VFIO_IRQ_INFO_EVENTFD, "EVENTFD"],
  [uapi.VFIO_IRQ_INFO_MASKABLE, "MASKABLE"],
  [uapi.VFIO_IRQ_INFO_AUTOMASKED, "AUTOMASKED"],
  [uapi.VFIO_IRQ_INFO_NORESIZE, "NORESIZE"],
  [xenUapi.VFIO_IRQ_INFO_NOTIFY_EVTCHN, "NOTIFY_EVTCHN"],
  [xenUapi.VFIO_IRQ_INFO_NOTIFY_GUEST_MSI, "NOTIFY_GUEST_MSI"],
];

/** A machine whose guest is ready to serve one interrupt of an assigned device. */
export interface Assembled {
  readonly host: Host;
  readonly vfio: VfioDevice;
  /** The interrupt, as the board counts it, and its number on the host. */
  readonly index: number;
  readonly irq: number;
  readonly source: LineDevice;
  /** Eventfds, by the numbers that events name them by; -1 where there is none. */
  readonly trigger: number;
  readonly resample: number;
  /** The guest that the hypervisor tells; null where the host does. */
  readonly guest: XenGuestCpu | null;
}

/** Counts that the event stream has and no object. */
class Counter implements EventSink {
  pinMasks = 0;
  triggers = 0;
  resamples = 0;

  constructor(private readonly of: Assembled) {}

  event(_sim: Sim, _id: number, _cause: number, kind: number, a?: EventArgument, b?: EventArgument): void {
    if (kind === Ev.pci_intx && Number(b) !== 0) this.pinMasks++;
    if (kind !== Ev.eventfd_signal && kind !== Ev.eventfd_write) return;
    if (Number(a) === this.of.trigger) this.triggers++;
    else if (Number(a) === this.of.resample) this.resamples++;
  }
}

/** What is counted of a run. */
export type Measured = Omit<BackendResult, "backend" | "signal" | "notification" | "device" | "irq" | "applicable" | "why">;

/** Raises as the workload says, counts, and then tries what the user may ask of the interrupt's mask. */
export function measure(assembled: Assembled, workload: WorkloadSettings): Measured {
  const { host, vfio, index, irq, source } = assembled;
  const { sim } = host;
  const flags = run(vfio.irqFlags(index));
  const before = host.counts(irq);
  const counter = new Counter(assembled);
  sim.traceTo(counter);
  run(raise(sim, source, workload, workload.interrupts));
  sim.traceTo(null);
  const after = host.counts(irq);
  const { raised, delivered, coalesced, lost } = source.counts;
  const lineMasks = after.maskOps - before.maskOps;
  const guestEnds = assembled.guest?.ends ?? 0;
  return {
    irqInfo: FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name),
    raised,
    delivered,
    coalesced,
    lost,
    hostHandlers: after.kstat - before.kstat,
    lineMasks,
    pinMasks: counter.pinMasks,
    eventfdSignals: counter.triggers,
    resamplefdSignals: counter.resamples,
    upcalls: assembled.guest?.upcalls ?? 0,
    guestEnds,
    endedBy: counter.resamples > 0 ? "resamplefd" : guestEnds > 0 ? "the guest" : "nobody has to",
    maskedBy: counter.pinMasks > 0 ? "DisINTx" : lineMasks > 0 ? "host's controller" : "nobody",
    ...tryMask(assembled, workload),
  };
}

function tryMask({ host, vfio, index, source }: Assembled, workload: WorkloadSettings): Pick<BackendResult, "mask" | "heldByMask" | "unmaskEventfd"> {
  const masked = run(vfio.mask(index));
  let heldByMask: boolean | null = null;
  if (masked === 0) {
    const { delivered } = source.counts;
    run(raise(host.sim, source, workload, 1));
    const waited = source.counts.delivered === delivered;
    run(vfio.unmask(index));
    run(host.sim.runUntil(latest(host.sim) + DRAIN_NS));
    heldByMask = waited && source.counts.delivered === delivered + 1;
  }
  return { mask: answer(masked), heldByMask, unmaskEventfd: answer(run(vfio.setUnmaskEventfd(index, -1))) };
}

const answer = (result: number): string => (result === 0 ? "0" : errnoName(result));
const latest = (sim: Sim): number => sim.clock.reduce((most, ns) => Math.max(most, ns), 0);

/** `conditions` of them, in bursts, until everything is quiet. */
function* raise(sim: Sim, source: LineDevice, { burst, ratePerSecond, seed }: WorkloadSettings, conditions: number): Step<void> {
  const periodNs = NS_PER_S / ratePerSecond;
  const startNs = latest(sim) + periodNs;
  const count = Math.ceil(conditions / burst);
  new Workload(sim, source, { count, periodNs, burst, conditions, startNs, seed }).start();
  yield* sim.runUntil(startNs + count * periodNs + DRAIN_NS);
}
