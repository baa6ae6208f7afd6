import type { BypassHooks } from "../../kvm/arch.js";
import type { Irqfd } from "../../kvm/irqfd.js";
import { Route } from "../../kvm/route.js";
import type { Vm } from "../../kvm/vm.js";
import { type IrqchipMode, X86, X86Vm } from "../../kvm/x86/x86.js";
import { block, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EWOULDBLOCK } from "../../uapi/errno.js";
import { KVM_IRQ_ROUTING_MSI } from "../../uapi/kvm.js";

/** Those of chip 0, the first PIC. */
export const PINS = 8;

/** A controller reduced to what the interrupt core sees of one: a bit per pin and source, messages that it only tells of, one posted interrupt. */
export class Lines {
  /** Source bits by pin. */
  private readonly sources = new Int32Array(PINS);
  /** The message that the one host interrupt is posted as; 0: it goes to the host. */
  private posted = 0;
  /** Whoever stopped the guest's vCPUs for the bypass, less whoever started them. */
  private stops = 0;

  *set(sim: Sim, route: Route, source: number, level: number): Step<void> {
    yield writes(this, "lines");
    const { chip, pin } = route;
    const old = this.sources[pin];
    this.sources[pin] = level === 0 ? old & ~(1 << source) : old | (1 << source);
    sim.emit(Ev.irq_line_state, chip, pin, source, old, this.sources[pin], 1);
  }

  /** A message, from the work item or straight from an eventfd's callback. */
  *message(sim: Sim, route: Route): Step<void> {
    yield writes(this, "messages");
    sim.emit(Ev.kvm_msi_set_irq, route.addressLo, route.data);
  }

  *post(data: number): Step<void> {
    yield writes(this, "posted");
    this.posted = data;
  }

  *stop(by: number): Step<void> {
    yield writes(this, "stops");
    this.stops += by;
  }

  isHigh(pin: number): boolean {
    return this.sources[pin] !== 0;
  }

  get postedAs(): number {
    return this.posted;
  }

  get isStopped(): boolean {
    return this.stops !== 0;
  }
}
block(Lines, "sources", "posted", "stops");

/** x86 rules over {@link Lines}: messages are delivered in the callback, lines by the work item. */
class LinesVm extends X86Vm {
  override irqchipMode: IrqchipMode = "full";
  override readonly bypass: BypassHooks | null;

  constructor(
    vm: Vm,
    arch: X86,
    private readonly lines: Lines,
    posts: boolean,
  ) {
    super(vm, arch);
    this.bypass = posts ? new LinesBypass(lines) : null;
  }

  override *setRoute(route: Route, source: number, level: number): Step<number> {
    if (route.type !== KVM_IRQ_ROUTING_MSI) yield* this.lines.set(this.vm.sim, route, source, level);
    else if (level !== 0) yield* this.lines.message(this.vm.sim, route);
    return 1;
  }

  override *setRouteAtomic(route: Route): Step<number> {
    if (route.type !== KVM_IRQ_ROUTING_MSI) return -EWOULDBLOCK;
    yield* this.lines.message(this.vm.sim, route);
    return 1;
  }
}

/** Hardware that can post one host interrupt past the host, as the message of its irqfd. */
class LinesBypass implements BypassHooks {
  private readonly route = new Route();

  constructor(private readonly lines: Lines) {}

  *stop(): Step<void> {
    yield* this.lines.stop(1);
  }

  *start(): Step<void> {
    yield* this.lines.stop(-1);
  }

  *connect(irqfd: Irqfd): Step<number> {
    yield* this.program(irqfd);
    return 0;
  }

  *disconnect(irqfd: Irqfd): Step<void> {
    const isMessage = yield* this.isMessage(irqfd);
    if (isMessage) yield* this.lines.post(0);
  }

  *routeChanged(irqfd: Irqfd): Step<void> {
    yield* this.program(irqfd);
  }

  private *program(irqfd: Irqfd): Step<void> {
    const isMessage = yield* this.isMessage(irqfd);
    yield* this.lines.post(isMessage ? this.route.data : 0);
  }

  private *isMessage(irqfd: Irqfd): Step<boolean> {
    yield* irqfd.route.load(this.route);
    return this.route.type === KVM_IRQ_ROUTING_MSI;
  }
}

/** The architecture that gives each VM a {@link LinesVm}. */
export class LinesArch extends X86 {
  /** @param posts whether a host interrupt can pass the host */
  constructor(
    private readonly lines: Lines,
    private readonly posts: boolean,
  ) {
    super();
  }

  override createVm(vm: Vm): X86Vm {
    return new LinesVm(vm, this, this.lines, this.posts);
  }
}
