import { Lifetime } from "../sim/lifetime.js";
import { EINVAL } from "../uapi/errno.js";
import {
  KVM_IRQ_ROUTING_HV_SINT,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQ_ROUTING_XEN_EVTCHN,
  KVM_MAX_IRQ_ROUTES,
  KVM_MSI_VALID_DEVID,
  kvm_irq_routing_entry as entry,
} from "../uapi/kvm.js";
import { Route } from "./route.js";
import type { Vm } from "./vm.js";

const NO_ROUTES: readonly Route[] = [];
const NO_PINS: number[] = [];
const NO_RECORDS = new DataView(new ArrayBuffer(0));
const RECORD = entry.size;

/**
 * A routing table (kvm-irq-core.md 4.2): built in one piece, then read-only, replaced as a whole. Forward: GSI to its
 * entries in the order of the user's array. Reverse: chip and pin to a GSI, -1 where none leads there.
 *
 * The entries stay records until somebody asks for a GSI's: a VMM that changes one route sets all of its thousands anew.
 */
export class RoutingTable {
  /** Highest GSI + 1, at least 1: a GSI beyond has no route. */
  readonly size: number;
  /** Entries over all GSIs. */
  readonly count: number;
  /** By GSI: its first entry + 1; by entry: the next of its GSI + 1. 0: none. */
  private readonly first: Int32Array;
  private readonly next: Int32Array;
  /** By GSI, those that somebody has asked for. */
  private readonly asked: (readonly Route[] | undefined)[];
  /** By chip and pin: the GSI, -1 for none; empty before there is a first. An array: a typed one takes longer to make than the rest of a small table. */
  private reverse = NO_PINS;
  private readonly chips: number;
  private readonly pinsPerChip: number;
  protected readonly lifetime = new Lifetime("routing table");

  protected constructor(
    vm: Vm,
    private readonly records: DataView,
    size: number,
  ) {
    const { chips, pinsPerChip } = vm.arch;
    this.size = size;
    this.count = records.byteLength / RECORD;
    this.first = new Int32Array(size);
    this.next = new Int32Array(this.count);
    this.asked = new Array<readonly Route[] | undefined>(size);
    this.chips = chips;
    this.pinsPerChip = pinsPerChip;
  }

  static empty(vm: Vm): RoutingTable {
    return new RoutingTable(vm, NO_RECORDS, 1);
  }

  /** As {@link ofRecords}; entries of IRQCHIP and MSI. */
  static of(vm: Vm, routes: readonly Route[]): RoutingTable | number {
    const records = new DataView(new ArrayBuffer(routes.length * RECORD));
    for (let i = 0; i < routes.length; i++) encodeRoute(records, i * RECORD, routes[i]);
    return RoutingTable.ofRecords(vm, records);
  }

  /**
   * RU5 and RU6: the table of these `struct kvm_irq_routing_entry` in order, or -EINVAL or the architecture's errno. The
   * records belong to the table afterwards.
   */
  static ofRecords(vm: Vm, records: DataView): RoutingTable | number {
    let size = 1;
    for (let base = 0; base < records.byteLength; base += RECORD) size = Math.max(size, entry.gsi.get(records, base) + 1);
    if (size > KVM_MAX_IRQ_ROUTES) return -EINVAL; // RU5
    const table = new RoutingTable(vm, records, size);
    const route = new Route();
    for (let i = 0; i < table.count; i++) {
      decodeRoute(route, records, i * RECORD);
      const refused = table.enter(vm, i, route);
      if (refused !== 0) return refused;
    }
    return table;
  }

  private enter(vm: Vm, index: number, route: Route): number {
    const { type, gsi } = route;
    const allowed = type === KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0;
    if ((route.flags & ~allowed) !== 0) return -EINVAL; // RU6 (b)
    let last = -1;
    for (let other = this.first[gsi] - 1; other >= 0; other = this.next[other] - 1) {
      if (this.conflicts(route, other)) return -EINVAL; // RU6 (c)
      last = other;
    }
    const refused = vm.arch.checkRoute(route); // RU6 (d)
    if (refused !== 0) return refused;
    if (last < 0) this.first[gsi] = index + 1;
    else this.next[last] = index + 1;
    if (type !== KVM_IRQ_ROUTING_IRQCHIP) return 0;
    // The architecture may number its pins differently from the user.
    entry.irqchip.pin.set(this.records, route.pin, index * RECORD);
    if (this.reverse === NO_PINS) this.reverse = new Array<number>(this.chips * this.pinsPerChip).fill(-1);
    this.reverse[route.chip * this.pinsPerChip + route.pin] = gsi; // RU6 (e)
    return 0;
  }

  /** Several entries may share a GSI if all are IRQCHIP and their chips differ. */
  private conflicts(route: Route, other: number): boolean {
    const base = other * RECORD;
    const areChips = route.type === KVM_IRQ_ROUTING_IRQCHIP && entry.type.get(this.records, base) === KVM_IRQ_ROUTING_IRQCHIP;
    return !areChips || entry.irqchip.irqchip.get(this.records, base) === route.chip;
  }

  /** The entries of a GSI (u32), in the user's order. */
  routesOf(gsi: number): readonly Route[] {
    this.lifetime.touch();
    if (gsi >= this.size) return NO_ROUTES;
    return this.asked[gsi] ?? this.decode(gsi);
  }

  private decode(gsi: number): readonly Route[] {
    if (this.first[gsi] === 0) return NO_ROUTES;
    const routes: Route[] = [];
    for (let i = this.first[gsi] - 1; i >= 0; i = this.next[i] - 1) {
      const route = new Route();
      decodeRoute(route, this.records, i * RECORD);
      routes.push(route);
    }
    this.asked[gsi] = routes;
    return routes;
  }

  /** The one entry of a GSI that has exactly one, else null: what an irqfd may cache. */
  singleRouteOf(gsi: number): Route | null {
    const routes = this.routesOf(gsi);
    return routes.length === 1 ? routes[0] : null;
  }

  /** The GSI of a pin, -1 where none leads there. */
  gsiOf(chip: number, pin: number): number {
    this.lifetime.touch();
    return chip < this.chips && pin < this.pinsPerChip ? (this.reverse[chip * this.pinsPerChip + pin] ?? -1) : -1;
  }

  /** After its grace period, or at VM destruction: any later look is reported (H26). */
  free(): void {
    this.lifetime.free();
  }
}

/** Fields that the type does not have keep what they had. */
function decodeRoute(route: Route, view: DataView, base: number): void {
  route.gsi = entry.gsi.get(view, base);
  route.type = entry.type.get(view, base);
  route.flags = entry.flags.get(view, base);
  switch (route.type) {
    case KVM_IRQ_ROUTING_IRQCHIP:
      route.chip = entry.irqchip.irqchip.get(view, base);
      route.pin = entry.irqchip.pin.get(view, base);
      break;
    case KVM_IRQ_ROUTING_MSI:
      route.addressLo = entry.msi.address_lo.get(view, base) | 0;
      route.addressHi = entry.msi.address_hi.get(view, base) | 0;
      route.data = entry.msi.data.get(view, base) | 0;
      route.devid = entry.msi.devid.get(view, base) | 0;
      break;
    case KVM_IRQ_ROUTING_HV_SINT:
      route.chip = entry.hv_sint.vcpu.get(view, base);
      route.pin = entry.hv_sint.sint.get(view, base);
      break;
    case KVM_IRQ_ROUTING_XEN_EVTCHN:
      route.pin = entry.xen_evtchn.port.get(view, base);
      route.chip = entry.xen_evtchn.vcpu.get(view, base);
      route.data = entry.xen_evtchn.priority.get(view, base);
      break;
  }
}

function encodeRoute(view: DataView, base: number, route: Route): void {
  entry.gsi.set(view, route.gsi, base);
  entry.type.set(view, route.type, base);
  if (route.type === KVM_IRQ_ROUTING_IRQCHIP) {
    entry.irqchip.irqchip.set(view, route.chip, base);
    entry.irqchip.pin.set(view, route.pin, base);
    return;
  }
  entry.msi.address_lo.set(view, route.addressLo >>> 0, base);
  entry.msi.address_hi.set(view, route.addressHi >>> 0, base);
  entry.msi.data.set(view, route.data >>> 0, base);
}
