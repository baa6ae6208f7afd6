import { reads } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { Lifetime } from "../sim/lifetime.js";
import { KernelList, ListLink } from "../sim/list.js";
import { type Step, STRAIGHT } from "../sim/step.js";
import type { Vm } from "./vm.js";

/** Told when the guest has acknowledged an interrupt of one GSI (kvm-irq-core.md 5.1). */
export abstract class AckNotifier {
  readonly ackLink: ListLink<AckNotifier>;

  /** @param lifetime of what embeds it */
  constructor(
    readonly gsi: number,
    protected readonly lifetime = new Lifetime("acknowledge notifier of GSI", gsi),
  ) {
    this.ackLink = new ListLink<AckNotifier>(this, lifetime);
  }

  /** Runs inside irq_srcu, with no chip lock held. */
  abstract acked(): Step<void>;
}

/** Told when the guest masks or unmasks a pin of one GSI; x86 with the full irqchip only. */
export abstract class MaskNotifier {
  readonly maskLink: ListLink<MaskNotifier> = new ListLink<MaskNotifier>(this);

  constructor(readonly gsi: number) {}

  /** Runs inside irq_srcu with the chip lock held: must not inject. */
  abstract masked(isMasked: boolean): Step<void>;
}

/** Writers under irq_lock, readers under irq_srcu, newest first. */
export class NotifierLists {
  private readonly byGsi = new Map<number, KernelList<AckNotifier>>();
  /** Who makes the list of a GSI is in an order with all who look for one. */
  private readonly lifetime = new Lifetime("notifier lists");
  private registered = 0;
  /** Who is the first to be registered, or the last to go, is in an order with all who ask whether anybody is. */
  private readonly usage = new Lifetime("notifiers of acknowledges");
  readonly mask = new KernelList<MaskNotifier>();

  /** The acknowledge notifiers of one GSI, which alone its acknowledge tells: others cost it nothing. */
  ack(gsi: number): KernelList<AckNotifier> {
    if (!STRAIGHT) this.lifetime.touch();
    let list = this.byGsi.get(gsi);
    if (list === undefined) {
      this.lifetime.alter();
      list = new KernelList<AckNotifier>();
      this.byGsi.set(gsi, list);
    }
    return list;
  }

  /** The same for who only looks: null where nobody was ever registered. To explore, looking at nobody is a look, too. */
  known(gsi: number): KernelList<AckNotifier> | null {
    return STRAIGHT ? (this.byGsi.get(gsi) ?? null) : this.ack(gsi);
  }

  /** Is anybody registered, of any GSI? */
  get isUsed(): boolean {
    if (!STRAIGHT) this.usage.touch();
    return this.registered > 0;
  }

  /** One more is registered, or one fewer. */
  count(change: 1 | -1): void {
    const wasUsed = this.registered > 0;
    this.registered += change;
    if (wasUsed !== this.registered > 0) this.usage.alter();
  }
}

/** No grace period: an early acknowledge finds a notifier that has raised nothing (5.2). */
export function* registerAckNotifier(vm: Vm, notifier: AckNotifier): Step<void> {
  yield* vm.irqLock.lock();
  yield* vm.notifiers.ack(notifier.gsi).addHead(notifier.ackLink);
  vm.notifiers.count(1);
  yield* vm.irqLock.unlock();
  yield* vm.arch.ackNotifiersChanged();
}

/** Takes the notifier off the list without waiting: only the 2012 order of H12 calls this by itself. */
export function* unlinkAckNotifier(vm: Vm, notifier: AckNotifier): Step<void> {
  yield* vm.irqLock.lock();
  yield* vm.notifiers.ack(notifier.gsi).remove(notifier.ackLink);
  vm.notifiers.count(-1);
  yield* vm.irqLock.unlock();
}

/** After it returns no callback of the notifier runs. Never from an ack callback (H33). */
export function* unregisterAckNotifier(vm: Vm, notifier: AckNotifier): Step<void> {
  yield* unlinkAckNotifier(vm, notifier);
  yield* vm.irqSrcu.synchronize();
  yield* vm.arch.ackNotifiersChanged();
}

export function* registerMaskNotifier(vm: Vm, notifier: MaskNotifier): Step<void> {
  yield* vm.irqLock.lock();
  yield* vm.notifiers.mask.addHead(notifier.maskLink);
  yield* vm.irqLock.unlock();
}

export function* unregisterMaskNotifier(vm: Vm, notifier: MaskNotifier): Step<void> {
  yield* vm.irqLock.lock();
  yield* vm.notifiers.mask.remove(notifier.maskLink);
  yield* vm.irqLock.unlock();
  yield* vm.irqSrcu.synchronize();
}

/** The guest acknowledged `pin` of `chip`: AK1, AK2 and AK5 of kvm-irq-core.md 3.5. */
export function* notifyAcked(vm: Vm, chip: number, pin: number): Step<void> {
  if (vm.sim.tracing) vm.sim.emit(Ev.kvm_ack_irq, chip, pin);
  const section = yield* vm.irqSrcu.readLock(); // AK1
  yield reads(vm, "routing");
  const gsi = vm.routing.gsiOf(chip, pin);
  const list = gsi === -1 ? null : vm.notifiers.known(gsi);
  if (list !== null) {
    let notifier = yield* list.first(); // AK2
    while (notifier !== null) {
      yield* notifier.acked();
      notifier = yield* list.next(notifier.ackLink);
    }
  }
  yield* vm.irqSrcu.readUnlock(section); // AK5
}

/** Is there an acknowledge notifier behind a pin? */
export function* isAckNotified(vm: Vm, chip: number, pin: number): Step<boolean> {
  const section = yield* vm.irqSrcu.readLock();
  yield reads(vm, "routing");
  const gsi = vm.routing.gsiOf(chip, pin);
  const first = gsi === -1 ? null : yield* vm.notifiers.ack(gsi).first();
  yield* vm.irqSrcu.readUnlock(section);
  return first !== null;
}

/** A pin's mask bit changed; chip lock held (5.4). */
export function* notifyMasked(vm: Vm, chip: number, pin: number, isMasked: boolean): Step<void> {
  const section = yield* vm.irqSrcu.readLock();
  yield reads(vm, "routing");
  const gsi = vm.routing.gsiOf(chip, pin);
  if (gsi !== -1) {
    let notifier = yield* vm.notifiers.mask.first();
    while (notifier !== null) {
      if (notifier.gsi === gsi) yield* notifier.masked(isMasked);
      notifier = yield* vm.notifiers.mask.next(notifier.maskLink);
    }
  }
  yield* vm.irqSrcu.readUnlock(section);
}
