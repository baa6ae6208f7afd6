import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { singleTarget } from "./apic-deliver.js";
import { ApicMessage, DeliveryMode } from "./contract.js";
import type { LocalApicSet } from "./local-apics.js";
import { decodeMsi } from "./msi.js";
import { PostedInterrupts } from "./posted-interrupts.js";

/** A route as far as posting asks: an MSI's halves of address and data. */
export interface PostedRoute {
  readonly addressHi: number;
  readonly addressLo: number;
  readonly data: number;
}

/** The host's remapping entry of one device interrupt (irq_set_vcpu_affinity). 0 or a negative errno each. */
export interface PostingPort {
  /** Posts `vector` into the descriptor at this host address. */
  post(vector: number, descriptor: number): Step<number>;
  /** Back to what the host's own driver had there. */
  restore(): Step<number>;
}

/**
 * One irqfd's use of an assigned device's remapping entry (x86-irqchip.md 10.5): KVM points it at a vCPU where the route
 * is a message that hardware can post, else back at the host.
 */
export class IrtePosting {
  /** Id of the vCPU that the entry points to, -1: remapped. */
  postedTo = -1;
  /** Why the entry is the host's: for traces. */
  private reason: "no message, or no producer" | "delivery mode" | "not exactly one vCPU" | "the vCPU has no descriptor" = "no message, or no producer";
  private readonly message = new ApicMessage();

  constructor(
    private readonly set: LocalApicSet,
    private readonly port: PostingPort,
    private readonly hostIrq: number,
    private readonly gsi: number,
  ) {}

  /** Route changed, producer came (`route`) or went (null). 0, or the errno of the entry's owner; then it is the host's. */
  *update(route: PostedRoute | null): Step<number> {
    this.reason = "no message, or no producer";
    const posted = route === null ? null : yield* this.target(route);
    if (posted === null) this.set.vm.sim.emit(Ev.irte_remapped, this.hostIrq, this.gsi, this.reason);
    if (posted === null && this.postedTo < 0) return 0;
    const { message, set } = this;
    const result = posted === null ? yield* this.port.restore() : yield* this.port.post(message.vector, posted.address);
    const before = this.postedTo;
    this.postedTo = posted === null || result < 0 ? -1 : posted.vcpu.id;
    if (result < 0) return result;
    set.vm.sim.emit(Ev.kvm_pi_irte_update, this.hostIrq, posted === null ? before : this.postedTo, this.gsi, message.vector, posted === null ? 0 : 1);
    return 0;
  }

  /** Fixed or lowest priority, and exactly one vCPU, which has a descriptor. */
  private *target(route: PostedRoute): Step<PostedInterrupts | null> {
    const { message, set } = this;
    decodeMsi(message, route.addressHi, route.addressLo, route.data, set.api.use32BitIds);
    this.reason = "delivery mode";
    if (message.mode !== DeliveryMode.FIXED && message.mode !== DeliveryMode.LOWEST_PRIORITY) return null;
    const lapic = yield* singleTarget(set, message);
    this.reason = lapic === null ? "not exactly one vCPU" : "the vCPU has no descriptor";
    return lapic !== null && lapic.hardware instanceof PostedInterrupts ? lapic.hardware : null;
  }
}

/** The first bypass device of a VM: vCPUs that block already are made to look, and block again with the wake-up vector (10.5). */
export function* startBypass(set: LocalApicSet): Step<void> {
  for (let i = 0; i < set.vm.vcpus.length; i++) yield* set.vm.vcpus[i].requestUnblock();
}
