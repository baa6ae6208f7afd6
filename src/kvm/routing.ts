import type { Process } from "../host/process.js";
import { reads, writes } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import { KVM_IRQ_ROUTING_IRQCHIP, KVM_MAX_IRQ_ROUTES, kvm_irq_routing, kvm_irq_routing_entry as entry } from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { Route } from "./route.js";
import { RoutingTable } from "./routing-table.js";
import type { Vm } from "./vm.js";

export { Route } from "./route.js";

const header = new UserArgument(kvm_irq_routing.size);

/** KVM_SET_GSI_ROUTING (kvm-irq-core.md 4.3): all or nothing. */
export function* setGsiRouting(vm: Vm, process: Process, argument: number): Step<number> {
  if (!header.copyIn(process, argument)) return -EFAULT; // RU0
  const nr = kvm_irq_routing.nr.get(header.view);
  const flags = kvm_irq_routing.flags.get(header.view);
  if (!vm.arch.allowsRouting()) return -EINVAL; // RU1
  if (nr > KVM_MAX_IRQ_ROUTES) return -EINVAL; // RU2
  if (flags !== 0) return -EINVAL; // RU3
  const records = new ArrayBuffer(nr * entry.size);
  if (nr > 0 && !process.memory.copyIn(argument + kvm_irq_routing.size, new Uint8Array(records))) return -EFAULT; // RU4
  const table = RoutingTable.ofRecords(vm, new DataView(records)); // RU5, RU6
  if (typeof table === "number") return table;
  yield* swapRouting(vm, table);
  return 0;
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
  const table = RoutingTable.of(vm, routes);
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
