import type { LineDevice } from "../../device/line-device.js";
import type { Upcall } from "../../host/xen/event-channels.js";
import type { XenHypervisor } from "../../host/xen/hypervisor.js";
import type { GuestVectors } from "../../host/xen/physical-irqs.js";
import { Ev } from "../../sim/event.js";
import { shared, writes } from "../../sim/access.js";
import { Context } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { Workload } from "../../scenario/scenario.js";
import { XEN_GUEST } from "../xen-machine.js";

const VCPU = 0;

/**
 * A vCPU of a Xen guest with a driver for one interrupt: the handler accesses the device, whose registers are the guest's
 * memory, and ends a line by PHYSDEVOP_eoi. A message has no end that anybody outside learns of (vfio.md 21.5).
 */
export class XenGuestCpu extends Context implements Upcall, GuestVectors {
  /** Events taken, and ends told to the hypervisor. */
  upcalls = 0;
  ends = 0;
  private port = 0;
  private isVectorPending = false;
  private source: LineDevice | null = null;

  constructor(
    private readonly sim: Sim,
    private readonly xen: XenHypervisor,
    private readonly workload: Workload,
    cpu: number,
  ) {
    super("xen vcpu0", "vcpu", cpu);
    xen.channels.listener = this;
    xen.pirqs.guests = this;
  }

  /** The driver's device. */
  serve(source: LineDevice): void {
    this.source = source;
  }

  *upcall(_domain: number, port: number): Step<void> {
    this.upcalls++;
    this.port = port;
    this.sim.wake(this, 0);
  }

  *inject(_domain: number, _vector: number): Step<void> {
    yield writes(this, "isVectorPending");
    this.upcalls++;
    this.isVectorPending = true;
    this.sim.wake(this, 0);
  }

  override *body(): Step<void> {
    while (yield* this.acknowledge()) {
      this.tell(Ev.guest_ack);
      yield* this.handle();
    }
  }

  /** A guest of Xen's has no controller with numbers: the interrupt goes by the device's own count. */
  private tell(event: number): void {
    if (this.source !== null) this.sim.emit(event, VCPU, this.source.index);
  }

  /** The port's pending bit, or the vector's in the guest's local APIC. */
  private *acknowledge(): Step<boolean> {
    if (this.port > 0 && (yield* this.xen.channels.take(XEN_GUEST, this.port))) return true;
    yield writes(this, "isVectorPending");
    const was = this.isVectorPending;
    this.isVectorPending = false;
    return was;
  }

  private *handle(): Step<void> {
    const { source, workload } = this;
    if (source === null) return;
    for (let i = 0; i < workload.accessesPerService; i++) yield* source.access();
    this.sim.spend(workload.handlerNs);
    if (source.trigger !== "level") return;
    const [pirq] = yield* this.xen.pirqs.numbers();
    this.ends++;
    this.tell(Ev.guest_eoi);
    yield* this.xen.pirqs.eoi(pirq);
  }
}
shared(XenGuestCpu, "isVectorPending");
