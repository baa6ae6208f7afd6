import type { LineDevice } from "../../device/line-device.js";
import { Workload } from "../../device/workload.js";
import type { Host } from "../../host/machine.js";
import type { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { errnoName } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import * as xenUapi from "../../uapi/vfio-xen.js";
import type { VfioDeviceClient } from "../../vmm/vfio.js";
import type { Workload as WorkloadSettings } from "../../scenario/scenario.js";
import type { Meter } from "../meter.js";
import { modelled } from "../samples.js";
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
  readonly vfio: VfioDeviceClient;
  /** The interrupt, as the board counts it, and its number on the host. */
  readonly index: number;
  readonly irq: number;
  readonly source: LineDevice;
  readonly meter: Meter;
  /** The guest that the hypervisor tells; null where the host does. */
  readonly guest: XenGuestCpu | null;
}

/** What is counted of a run. */
export type Measured = Omit<BackendResult, "backend" | "signal" | "notification" | "device" | "irq" | "applicable" | "why">;

/** Raises as the workload says, counts, and then tries what the user may ask of the interrupt's mask. */
export function measure(assembled: Assembled, workload: WorkloadSettings): Measured {
  const { host, vfio, index, irq, source, meter } = assembled;
  const { sim } = host;
  const flags = run(vfio.irqFlags(index));
  const before = host.counts(irq);
  sim.traceTo(meter);
  run(raise(sim, source, workload, workload.interrupts));
  sim.traceTo(null);
  const after = host.counts(irq);
  const { raised, delivered, coalesced, lost } = source.counts;
  const lineMasks = after.maskOps - before.maskOps;
  const guestEnds = assembled.guest?.ends ?? 0;
  const per = (count: number): number | null => (delivered === 0 ? null : count / delivered);
  return {
    irqInfo: FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name),
    raised,
    delivered,
    coalesced,
    lost,
    spurious: meter.spuriousAcknowledges + meter.spuriousServices,
    hostHandlers: after.kstat - before.kstat,
    lineMasks,
    pinMasks: meter.pinMasks,
    eventfdSignalsPerInterrupt: per(meter.triggerSignals),
    resamplefdSignalsPerInterrupt: per(meter.resampleSignals),
    upcalls: assembled.guest?.upcalls ?? 0,
    guestEnds,
    endedBy: meter.resampleSignals > 0 ? "resamplefd" : guestEnds > 0 ? "the guest" : "nobody has to",
    maskedBy: meter.pinMasks > 0 ? "DisINTx" : lineMasks > 0 ? "host's controller" : "nobody",
    dmaFaults: meter.dmaFaults,
    latencyNs: modelled(meter.latency.distribution()),
    eoiToUnmaskNs: modelled(meter.eoiToUnmask.distribution()),
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
