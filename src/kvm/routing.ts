import type { Process } from "../host/process.js";
import { reads, writes } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { UseAfterFree } from "../sim/list.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import {
  KVM_IRQ_ROUTING_HV_SINT,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQ_ROUTING_XEN_EVTCHN,
  KVM_MAX_IRQ_ROUTES,
  KVM_MSI_VALID_DEVID,
  kvm_irq_routing,
  kvm_irq_routing_entry as entry,
} from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { Route } from "./route.js";
import type { Vm } from "./vm.js";

export { Route } from "./route.js";

const NO_ROUTES: readonly Route[] = [];

/**
 * A routing table (kvm-irq-core.md 4.2): built in one piece, then read-only, replaced as a whole. Forward: GSI to its
 * entries in the order of the user's array. Reverse: chip and pin to a GSI, -1 where none leads there.
 */
export class RoutingTable {
  /** Highest GSI + 1, at least 1: a GSI beyond has no route. */
  readonly size: number;
  /** Entries over all GSIs. */
  readonly count: number;
  private readonly reverse: Int32Array;
  private isFreed = false;

  private constructor(
    routes: readonly Route[],
    private readonly byGsi: readonly (readonly Route[])[],
    private readonly chips: number,
    private readonly pinsPerChip: number,
  ) {
    this.size = byGsi.length;
    this.count = routes.length;
    this.reverse = new Int32Array(chips * pinsPerChip).fill(-1);
    for (const route of routes)
      if (route.type === KVM_IRQ_ROUTING_IRQCHIP) this.reverse[route.chip * pinsPerChip + route.pin] = route.gsi;
  }

  static empty(chips: number, pinsPerChip: number): RoutingTable {
    return new RoutingTable(NO_ROUTES, [NO_ROUTES], chips, pinsPerChip);
  }

  /**
   * RU6: builds a table of the entries in order, each with gsi < 4096, or returns -EINVAL or the architecture's errno.
   * The entries belong to the table afterwards.
   */
  static build(vm: Vm, routes: readonly Route[]): RoutingTable | number {
    let size = 1;
    for (const { gsi } of routes) size = Math.max(size, gsi + 1);
    const byGsi: Route[][] = [];
    for (let gsi = 0; gsi < size; gsi++) byGsi.push(NO_ROUTES as Route[]);
    for (const route of routes) {
      const allowed = route.type === KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0;
      if ((route.flags & ~allowed) !== 0) return -EINVAL; // RU6 (b)
      const sharers = byGsi[route.gsi];
      for (let i = 0; i < sharers.length; i++) if (conflicts(route, sharers[i])) return -EINVAL; // RU6 (c)
      const refused = vm.arch.checkRoute(route); // RU6 (d)
      if (refused !== 0) return refused;
      if (sharers === NO_ROUTES) byGsi[route.gsi] = [route];
      else sharers.push(route);
    }
    return new RoutingTable(routes, byGsi, vm.arch.chips, vm.arch.pinsPerChip); // RU6 (e)
  }

  /** The entries of a GSI (u32), in the user's order. */
  routesOf(gsi: number): readonly Route[] {
    this.assertAlive();
    return gsi < this.size ? this.byGsi[gsi] : NO_ROUTES;
  }

  /** The one entry of a GSI that has exactly one, else null: what an irqfd may cache. */
  singleRouteOf(gsi: number): Route | null {
    const routes = this.routesOf(gsi);
    return routes.length === 1 ? routes[0] : null;
  }

  /** The GSI of a pin, -1 where none leads there. */
  gsiOf(chip: number, pin: number): number {
    this.assertAlive();
    return chip < this.chips && pin < this.pinsPerChip ? this.reverse[chip * this.pinsPerChip + pin] : -1;
  }

  /** After its grace period, or at VM destruction: any later look is reported (H26). */
  free(): void {
    this.assertAlive();
    this.isFreed = true;
  }

  private assertAlive(): void {
    if (this.isFreed) this.refuse();
  }

  private refuse(): never {
    throw new UseAfterFree("a freed routing table is looked at");
  }
}

/** Several entries may share a GSI if all are IRQCHIP and their chips differ. */
function conflicts(route: Route, other: Route): boolean {
  return route.type !== KVM_IRQ_ROUTING_IRQCHIP || other.type !== KVM_IRQ_ROUTING_IRQCHIP || route.chip === other.chip;
}

const header = new UserArgument(kvm_irq_routing.size);

/** KVM_SET_GSI_ROUTING (kvm-irq-core.md 4.3): all or nothing. */
export function* setGsiRouting(vm: Vm, process: Process, argument: number): Step<number> {
  if (!header.copyIn(process, argument)) return -EFAULT; // RU0
  const nr = kvm_irq_routing.nr.get(header.view);
  const flags = kvm_irq_routing.flags.get(header.view);
  if (!vm.arch.allowsRouting()) return -EINVAL; // RU1
  if (nr > KVM_MAX_IRQ_ROUTES) return -EINVAL; // RU2
  if (flags !== 0) return -EINVAL; // RU3
  const routes = readRoutes(process, argument + kvm_irq_routing.size, nr); // RU4
  if (routes === null) return -EFAULT;
  if (routes.some((route) => route.gsi >= KVM_MAX_IRQ_ROUTES)) return -EINVAL; // RU5
  const table = RoutingTable.build(vm, routes); // RU6
  if (typeof table === "number") return table;
  yield* swapRouting(vm, table);
  return 0;
}

/** Room for the longest table that a call can bring, filled anew by each. */
const records = new Uint8Array(KVM_MAX_IRQ_ROUTES * entry.size);
const recordView = new DataView(records.buffer);

function readRoutes(process: Process, address: number, nr: number): Route[] | null {
  if (nr > 0 && !process.memory.copyIn(address, records, nr * entry.size)) return null;
  const routes = new Array<Route>(nr);
  for (let i = 0; i < nr; i++) routes[i] = decodeRoute(recordView, i * entry.size);
  return routes;
}

function decodeRoute(view: DataView, base: number): Route {
  const route = new Route();
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
  return route;
}

/** RU7 and RU8: every active irqfd follows the new table before the old one's grace period begins. */
export function* swapRouting(vm: Vm, table: RoutingTable): Step<void> {
  yield* vm.irqLock.lock(); // RU7
  yield writes(vm, "routing");
  const old = vm.routing;
  vm.routing = table;
  vm.sim.emit(Ev.route_swap, table.count);
  yield* vm.irqfds.routesChanged(table);
  yield* vm.arch.routesChanged();
  yield* vm.irqLock.unlock();
  if (!vm.hazards.swapWithoutWait) yield* vm.irqSrcu.synchronize(); // RU8
  old.free();
}

/** GSI i to chip 0, pin i, for i below `pins`: replaces whatever user space had set (kvm-irq-core.md 4.5). 0 or errno. */
export function* installDefaultRouting(vm: Vm, pins: number): Step<number> {
  const routes: Route[] = [];
  for (let pin = 0; pin < pins; pin++) {
    const route = new Route();
    route.gsi = pin;
    route.type = KVM_IRQ_ROUTING_IRQCHIP;
    route.pin = pin;
    routes.push(route);
  }
  const table = RoutingTable.build(vm, routes);
  if (typeof table === "number") return table;
  yield* swapRouting(vm, table);
  return 0;
}

/**
 * The injection function (kvm-irq-core.md 4.6). Negative: no setter took it; 0: merged with one not yet served;
 * positive: CPUs reached, summed over the chips.
 */
export function* setIrq(vm: Vm, source: number, gsi: number, level: number, lineStatus: boolean): Step<number> {
  if (vm.sim.tracing) vm.sim.emit(Ev.kvm_set_irq, gsi, level, source);
  const section = yield* vm.irqSrcu.readLock(); // ST1
  yield reads(vm, "routing");
  const routes = vm.routing.routesOf(gsi);
  yield* vm.irqSrcu.readUnlock(section);
  let result = -1;
  for (let i = 0; i < routes.length; i++) {
    const one = yield* vm.arch.setRoute(routes[i], source, level, lineStatus); // ST2, outside SRCU (H6)
    if (one >= 0) result = result < 0 ? one : result + one;
  }
  return result; // ST3
}
