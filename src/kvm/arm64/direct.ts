import type { IrqBypassProducer } from "../../host/irqbypass.js";
import type { Step } from "../../sim/step.js";
import { KVM_IRQ_ROUTING_MSI } from "../../uapi/kvm.js";
import { GuestStop } from "./bypass.js";
import type { Irqfd } from "../irqfd.js";
import { Route } from "../route.js";
import type { Vm } from "../vm.js";

/**
 * 7.4 on arm64 with GICv4 (gic-v4.md C3.1): a producer's interrupt becomes a VLPI while its irqfd's route is a message that
 * one of the VM's ITSs translates. The guest stands still meanwhile.
 */
export class DirectInjection extends GuestStop {
  /** Forwarding takes its_lock, which may sleep. */
  readonly connectsUnlocked = true;

  /** @param is2017 as in the GICv4 series of that year: a route that changes leaves its interrupt forwarded */
  constructor(
    vm: Vm,
    private readonly is2017: boolean,
  ) {
    super(vm);
  }

  /** By its route, under its_lock. */
  get disconnectsUnlocked(): boolean {
    return this.is2017;
  }

  override *connect(irqfd: Irqfd, producer: IrqBypassProducer): Step<number> {
    const { armIrqchip } = this.vm;
    const { lock } = this.vm.irqfds;
    const route = new Route();
    yield* lock.lock();
    yield* irqfd.route.load(route);
    yield* lock.unlock();
    if (armIrqchip === null || route.type !== KVM_IRQ_ROUTING_MSI) return 0;
    const result = yield* armIrqchip.setForwarding(producer.irq, route);
    // A route that was replaced meanwhile found nothing to undo (hazard R23).
    const now = new Route();
    yield* lock.lock();
    yield* irqfd.route.load(now);
    yield* lock.unlock();
    const isStale = !now.equals(route) && !this.vm.hazards.forwardWithoutRecheck && !this.is2017;
    if (result >= 0 && isStale) yield* armIrqchip.unsetForwarding(producer.irq, route);
    return result;
  }

  override *disconnect(irqfd: Irqfd, producer: IrqBypassProducer): Step<void> {
    const { armIrqchip } = this.vm;
    const route = new Route();
    yield* irqfd.route.load(route);
    if (armIrqchip !== null) yield* armIrqchip.unsetForwarding(producer.irq, route);
  }

  /** Another message, or none: software injects until the device's vector is set up again (C3.4). */
  override *routeChanged(irqfd: Irqfd, old: Route): Step<void> {
    const { armIrqchip } = this.vm;
    const now = new Route();
    yield* irqfd.route.load(now);
    if (armIrqchip === null || irqfd.producer === null || now.equals(old) || this.vm.hazards.keepForwarding || this.is2017) return;
    yield* armIrqchip.unsetForwarding(irqfd.producer.irq, old);
  }
}
