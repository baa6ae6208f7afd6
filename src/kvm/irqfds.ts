import type { EventfdContext } from "../host/eventfd.js";
import type { Mutex, Spinlock } from "../sim/lock.js";
import { KernelList } from "../sim/list.js";
import type { Step } from "../sim/step.js";
import type { Irqfd } from "./irqfd.js";
import type { Resampler } from "./resampler.js";
import type { RoutingTable } from "./routing-table.js";
import type { Vm } from "./vm.js";

/** The irqfds of one VM (kvm-irq-core.md 0.4, 2.2). "Active" means: on this list. */
export class Irqfds {
  /** Writers under irqfds.lock. */
  readonly active = new KernelList<Irqfd>();
  /** Writers under resampler_lock, readers under irq_srcu. */
  readonly resamplers = new KernelList<Resampler>();

  /**
   * @param lock irqfds.lock: the active list, each irqfd's cached route and producer
   * @param resamplerLock resampler_lock: the resamplers and their members
   */
  constructor(
    private readonly vm: Vm,
    readonly lock: Spinlock,
    readonly resamplerLock: Mutex,
  ) {}

  /** irqfds.lock held: is the eventfd an active irqfd of this VM? Until 6.16 this decided on EBUSY (H31). */
  *isAssigned(eventfd: EventfdContext): Step<boolean> {
    let irqfd = yield* this.active.first();
    while (irqfd !== null && irqfd.eventfd !== eventfd) irqfd = yield* this.active.next(irqfd.link);
    return irqfd !== null;
  }

  /** RU7, irq_lock held: every active irqfd caches its route in the new table (2.7). */
  *routesChanged(table: RoutingTable): Step<void> {
    yield* this.lock.lock();
    let irqfd = yield* this.active.first();
    while (irqfd !== null) {
      yield* irqfd.routeChanged(table);
      irqfd = yield* this.active.next(irqfd.link);
    }
    yield* this.lock.unlock();
  }

  /** VM file release: deactivate all, and wait until their shutdowns are over (2.6). */
  *releaseAll(): Step<void> {
    yield* this.lock.lock();
    let irqfd = yield* this.active.first();
    while (irqfd !== null) {
      const next = yield* this.active.next(irqfd.link);
      yield* irqfd.deactivate("release");
      irqfd = next;
    }
    yield* this.lock.unlock();
    if (!this.vm.hazards.releaseWithoutFlush) yield* this.vm.host.irqfdCleanup.drain(); // nothing injects into a freed table (H26)
  }
}
