import { KVM_IRQ_ROUTING_IRQCHIP } from "../uapi/kvm.js";
import { Route } from "./route.js";
import { RoutingTable } from "./routing-table.js";
import type { Vm } from "./vm.js";

/** Entries that are kept: those of other GSIs are made anew when somebody asks. */
const KEPT = 256;

/** GSI = pin of chip 0, for every u32, and no other (xics.md 11): where KVM has no routes to set. */
export class IdentityRouting extends RoutingTable {
  private readonly kept = new Array<readonly Route[] | undefined>(KEPT);

  constructor(vm: Vm) {
    super(vm, new DataView(new ArrayBuffer(0)), 1);
  }

  /** An entry never changes: one that makes room for another is let go. */
  override routesOf(gsi: number): readonly Route[] {
    this.lifetime.touch();
    const slot = gsi & (KEPT - 1);
    const known = this.kept[slot];
    if (known !== undefined && known[0].gsi === gsi) return known;
    const route = new Route();
    route.gsi = gsi;
    route.type = KVM_IRQ_ROUTING_IRQCHIP;
    route.pin = gsi;
    const routes = [route];
    this.kept[slot] = routes;
    return routes;
  }

  override gsiOf(_chip: number, pin: number): number {
    this.lifetime.touch();
    return pin;
  }
}
