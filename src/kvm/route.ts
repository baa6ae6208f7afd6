import { block, reads, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";

/** No route, or several: the cached route of an irqfd that must ask the table (kvm-irq-core.md 2.2). */
export const ROUTE_NONE = 0;

/**
 * One routing entry. Those of a table never change, so that a reference is as good as the copy by value that ST1
 * takes (H6); an irqfd's cached one is rewritten under its seqcount. Which fields mean something depends on `type`.
 */
export class Route {
  gsi = 0;
  type = ROUTE_NONE;
  flags = 0;
  /** IRQCHIP. HV_SINT: vCPU and SINT. XEN_EVTCHN: vCPU and port. */
  chip = 0;
  pin = 0;
  /** MSI: 32 bits each, as int32. */
  addressLo = 0;
  addressHi = 0;
  data = 0;
  devid = 0;

  assign(from: Route): void {
    this.gsi = from.gsi;
    this.type = from.type;
    this.flags = from.flags;
    this.chip = from.chip;
    this.pin = from.pin;
    this.addressLo = from.addressLo;
    this.addressHi = from.addressHi;
    this.data = from.data;
    this.devid = from.devid;
  }

  equals(other: Route): boolean {
    return (
      this.type === other.type &&
      this.flags === other.flags &&
      this.chip === other.chip &&
      this.pin === other.pin &&
      this.addressLo === other.addressLo &&
      this.addressHi === other.addressHi &&
      this.data === other.data &&
      this.devid === other.devid
    );
  }
}

/** The route cached in an irqfd. Written and read in two halves: a reader without the seqcount can see a mixture (H4). */
export class CachedRoute extends Route {
  /** Null stands for "none or several". */
  *store(from: Route | null): Step<void> {
    yield writes(this, "address");
    this.type = from === null ? ROUTE_NONE : from.type;
    if (from === null) return;
    this.gsi = from.gsi;
    this.chip = from.chip;
    this.pin = from.pin;
    this.addressLo = from.addressLo;
    this.addressHi = from.addressHi;
    yield writes(this, "data");
    this.flags = from.flags;
    this.data = from.data;
    this.devid = from.devid;
  }

  *load(into: Route): Step<void> {
    yield reads(this, "address");
    into.gsi = this.gsi;
    into.type = this.type;
    into.chip = this.chip;
    into.pin = this.pin;
    into.addressLo = this.addressLo;
    into.addressHi = this.addressHi;
    yield reads(this, "data");
    into.flags = this.flags;
    into.data = this.data;
    into.devid = this.devid;
  }
}
block(CachedRoute, "type", "flags", "chip", "pin", "addressLo", "addressHi", "data", "devid");
