import type { Hazards } from "../sim/hazards.js";
import type { Step } from "../sim/step.js";
import type { GsiRoute, GuestMessage, KvmVm } from "./kvm.js";
import { must } from "./must.js";

/** What sets a VM's whole routing table. */
export interface RouteOwner {
  readonly vm: KvmVm;
  readonly hazards: Hazards;
  /** KVM_SET_GSI_ROUTING with every route that there is, the one of `gsi` as given; null: it has none. */
  setRoute(route: GsiRoute | null, gsi: number): Step<void>;
}

/**
 * A message vector of an assigned device, as a VMM keeps it for its guest: an eventfd that VFIO signals, and the GSI that
 * carries the guest's message. While the guest masks it the eventfd counts, and KVM does not listen; the unmask's irqfd
 * finds the count and delivers it (kvm-irq-core.md 2.3, AS13).
 */
export class MessageVector {
  private isListening = false;

  /**
   * @param eventfd a descriptor of the VMM's
   * @param message what the guest wrote into the vector's entry
   */
  constructor(
    private readonly owner: RouteOwner,
    readonly eventfd: number,
    readonly gsi: number,
    private readonly message: GuestMessage,
  ) {}

  /** The guest masks the entry. KVM stops consuming before the route goes: a count that it consumes without one is gone. */
  *mask(): Step<void> {
    const { hazards } = this.owner;
    if (hazards.maskByRoute || hazards.routeBeforeDeassign) yield* this.owner.setRoute(null, this.gsi);
    if (hazards.maskByRoute) return;
    must(yield* this.owner.vm.deassignIrqfd(this.eventfd, this.gsi), "KVM_IRQFD deassign");
    this.isListening = false;
    if (!hazards.routeBeforeDeassign) yield* this.owner.setRoute(null, this.gsi);
  }

  /** The guest unmasks it, or enables it for the first time: the route first, for the same reason. */
  *unmask(): Step<void> {
    const { hazards } = this.owner;
    const route = { gsi: this.gsi, message: this.message };
    if (hazards.irqfdBeforeRoute) yield* this.assign();
    yield* this.owner.setRoute(route, this.gsi);
    if (!hazards.irqfdBeforeRoute) yield* this.assign();
  }

  private *assign(): Step<void> {
    if (this.isListening) return;
    this.isListening = true;
    must(yield* this.owner.vm.assignIrqfd(this.eventfd, this.gsi, -1), "KVM_IRQFD");
  }
}
