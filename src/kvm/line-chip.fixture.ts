import type { Step } from "../sim/step.js";
import { EWOULDBLOCK } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import type { BypassHooks } from "./arch.js";
import type { Route } from "./route.js";
import type { Vm } from "./vm.js";
import { X86, X86Vm } from "./x86/x86.js";

/**
 * The least chip that the core can be tested with: x86 rules, wires that hold one bit per source, MSIs that are counted.
 * No priorities, no vectors: what a real chip makes of a wire is tested with the real chips.
 */
export class LineChip extends X86 {
  constructor(readonly mode: "full" | "split" = "full") {
    super();
  }

  override createVm(vm: Vm): LineChipVm {
    return new LineChipVm(vm, this);
  }
}

export class LineChipVm extends X86Vm {
  /** "chip:pin" to the sources that hold it high. */
  readonly sources = new Map<string, number>();
  /** Calls of the setter. */
  sets = 0;
  /** MSI data words in order of delivery. */
  readonly messages: number[] = [];
  /** "address:data" of each. */
  readonly delivered: string[] = [];
  /** MSI routes are delivered in the callback. */
  deliversInline = false;
  readonly bypassLog: string[] = [];
  override readonly bypass: BypassHooks;
  connectResult = 0;

  constructor(vm: Vm, chip: LineChip) {
    super(vm, chip);
    this.irqchipMode = chip.mode;
    this.bypass = new LoggedBypass(this);
  }

  override *setRoute(route: Route, source: number, level: number): Step<number> {
    this.sets++;
    if (route.type === K.KVM_IRQ_ROUTING_MSI) {
      if (level === 0) return -1;
      this.deliver(route);
      return 1;
    }
    const pin = `${route.chip}:${route.pin}`;
    const before = this.sources.get(pin) ?? 0;
    this.sources.set(pin, level !== 0 ? before | (1 << source) : before & ~(1 << source));
    return 1;
  }

  override *setRouteAtomic(route: Route): Step<number> {
    if (route.type !== K.KVM_IRQ_ROUTING_MSI || !this.deliversInline) return -EWOULDBLOCK;
    this.deliver(route);
    return 1;
  }

  private deliver({ addressLo, data }: Route): void {
    this.messages.push(data);
    this.delivered.push(`${addressLo}:${data}`);
  }

  pin(chip: number, pin: number): number {
    return this.sources.get(`${chip}:${pin}`) ?? 0;
  }
}

class LoggedBypass implements BypassHooks {
  constructor(private readonly chip: LineChipVm) {}

  *stop(): Step<void> {
    this.chip.bypassLog.push("stop");
  }

  *start(): Step<void> {
    this.chip.bypassLog.push("start");
  }

  *connect(): Step<number> {
    this.chip.bypassLog.push("connect");
    return this.chip.connectResult;
  }

  *disconnect(): Step<void> {
    this.chip.bypassLog.push("disconnect");
  }

  *routeChanged(): Step<void> {
    this.chip.bypassLog.push("route");
  }
}
