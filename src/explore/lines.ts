import type { Route } from "../kvm/route.js";
import type { Vm } from "../kvm/vm.js";
import { type IrqchipMode, X86, X86Vm } from "../kvm/x86.js";
import { block, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { EWOULDBLOCK } from "../uapi/errno.js";
import { KVM_IRQ_ROUTING_MSI } from "../uapi/kvm.js";

/** Those of chip 0, the first PIC. */
export const PINS = 8;

/** A controller reduced to what the interrupt core sees of one: a bit per pin and source, and messages counted. */
export class Lines {
  /** Source bits by pin. */
  private readonly sources = new Int32Array(PINS);
  private raised = 0;
  private messages = 0;
  private lastInCallback = 0;

  *set(pin: number, source: number, level: number): Step<void> {
    yield writes(this, "lines");
    if (level === 0) this.sources[pin] &= ~(1 << source);
    else {
      this.sources[pin] |= 1 << source;
      this.raised++;
    }
  }

  /** A message, from the work item or straight from an eventfd's callback. */
  *message(data: number, isInCallback: boolean): Step<void> {
    yield writes(this, "lines");
    this.messages++;
    if (isInCallback) this.lastInCallback = data;
  }

  /** The data of the last message that a callback sent; 0 before any. */
  get lastCallbackData(): number {
    return this.lastInCallback;
  }

  /** Level 1 set on any pin, and messages: injections so far. */
  get injections(): number {
    return this.raised + this.messages;
  }

  isHigh(pin: number): boolean {
    return this.sources[pin] !== 0;
  }
}
block(Lines, "sources", "raised", "messages", "lastInCallback");

/** x86 rules over {@link Lines}: messages are delivered in the callback, lines by the work item. */
class LinesVm extends X86Vm {
  override irqchipMode: IrqchipMode = "full";

  constructor(
    vm: Vm,
    arch: X86,
    private readonly lines: Lines,
  ) {
    super(vm, arch);
  }

  override *setRoute(route: Route, source: number, level: number): Step<number> {
    if (route.type !== KVM_IRQ_ROUTING_MSI) yield* this.lines.set(route.pin, source, level);
    else if (level !== 0) yield* this.lines.message(route.data, false);
    return 1;
  }

  override *setRouteAtomic(route: Route): Step<number> {
    if (route.type !== KVM_IRQ_ROUTING_MSI) return -EWOULDBLOCK;
    yield* this.lines.message(route.data, true);
    return 1;
  }
}

/** The architecture that gives each VM a {@link LinesVm}. */
export class LinesArch extends X86 {
  constructor(private readonly lines: Lines) {
    super();
  }

  override createVm(vm: Vm): X86Vm {
    return new LinesVm(vm, this, this.lines);
  }
}
