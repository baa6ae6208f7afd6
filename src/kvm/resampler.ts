import { reads } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { Lifetime } from "../sim/lifetime.js";
import { KernelList, ListLink } from "../sim/list.js";
import type { Step } from "../sim/step.js";
import type { Irqfd } from "./irqfd.js";
import { AckNotifier, registerAckNotifier, unlinkAckNotifier, unregisterAckNotifier } from "./notifiers.js";
import { setIrq } from "./routing.js";
import type { Vm } from "./vm.js";

/** The source id that all resampling irqfds share (kvm-irq-core.md 3.2). */
const RESAMPLE_SOURCE = 1;

/** That source: one of its own, so that a de-assert leaves up what user space holds up (H20). */
export function resampleSource(vm: Vm): number {
  return vm.hazards.resampleBySourceZero ? 0 : RESAMPLE_SOURCE;
}

/**
 * What the resampling irqfds of one GSI share: the line is lowered once per acknowledge, then every member's owner is
 * told to look at its device again (kvm-irq-core.md 3). One per VM and GSI.
 */
export class Resampler extends AckNotifier {
  /** Newest first; writers under resampler_lock, readers under irq_srcu. */
  readonly members = new KernelList<Irqfd>();
  readonly link: ListLink<Resampler>;

  constructor(
    private readonly vm: Vm,
    gsi: number,
  ) {
    super(gsi, new Lifetime("resampler of GSI", gsi));
    this.link = new ListLink<Resampler>(this, this.lifetime);
    this.lifetime.spans(this, this.members);
  }

  /** The guest acknowledged the interrupt: AK3, AK4. Deassert before any notification, and once (H14, H15). */
  override *acked(): Step<void> {
    this.lifetime.touch();
    const isEarly = this.vm.hazards.notifyBeforeDeassert;
    if (isEarly) yield* this.notifyMembers();
    yield* setIrq(this.vm, resampleSource(this.vm), this.gsi, 0, false); // AK3
    if (!isEarly) yield* this.notifyMembers(); // AK4
  }

  /** AK4: every member once, whoever asserted. */
  *notifyMembers(): Step<void> {
    const section = yield* this.vm.irqSrcu.readLock();
    this.lifetime.touch();
    let member = yield* this.members.first();
    while (member !== null) {
      if (this.vm.hazards.deassertPerMember) yield* setIrq(this.vm, resampleSource(this.vm), this.gsi, 0, false);
      yield* member.notifyOwner();
      member = yield* this.members.next(member.resamplerLink);
    }
    yield* this.vm.irqSrcu.readUnlock(section);
  }

  /** After its grace period: every later touch is reported (H12). */
  free(): void {
    this.lifetime.free();
    this.vm.sim.emit(Ev.resampler_free, this.gsi);
  }
}

function* findResampler(vm: Vm, gsi: number): Step<Resampler | null> {
  let resampler = yield* vm.irqfds.resamplers.first();
  while (resampler !== null && resampler.gsi !== gsi) resampler = yield* vm.irqfds.resamplers.next(resampler.link);
  return resampler;
}

/** RJ1 to RJ6: after it every acknowledge sees the irqfd, which cannot have raised anything yet (H18). */
export function* joinResampler(vm: Vm, irqfd: Irqfd): Step<Resampler> {
  yield* vm.irqfds.resamplerLock.lock(); // RJ1
  let resampler = yield* findResampler(vm, irqfd.gsi); // RJ2
  if (resampler === null) {
    resampler = new Resampler(vm, irqfd.gsi); // RJ3
    yield* vm.irqfds.resamplers.addHead(resampler.link);
    yield* registerAckNotifier(vm, resampler);
    vm.sim.emit(Ev.resampler_create, irqfd.gsi);
  }
  yield* resampler.members.addHead(irqfd.resamplerLink); // RJ4
  if (!vm.hazards.joinWithoutWait) yield* vm.irqSrcu.synchronize(); // RJ5
  yield* vm.irqfds.resamplerLock.unlock(); // RJ6
  return resampler;
}

/** RL1 to RL5. The caller drops the resamplefd context afterwards (H13). */
export function* leaveResampler(vm: Vm, irqfd: Irqfd, resampler: Resampler): Step<void> {
  yield* vm.irqfds.resamplerLock.lock(); // RL1
  yield* resampler.members.remove(irqfd.resamplerLink); // RL2
  if (!resampler.members.isEmpty()) {
    if (!vm.hazards.leaveWithoutWait) yield* vm.irqSrcu.synchronize(); // RL4
  } else if (vm.hazards.freeResamplerEarly) yield* dissolveEarly(vm, resampler);
  else yield* dissolve(vm, resampler); // RL3
  yield* vm.irqfds.resamplerLock.unlock(); // RL5
}

/** RL3: off both lists, one grace period for both, lower the line by hand (H16, H17), only then free. */
function* dissolve(vm: Vm, resampler: Resampler): Step<void> {
  yield* vm.irqfds.resamplers.remove(resampler.link); // (a)
  yield* unregisterAckNotifier(vm, resampler); // (b)
  if (!vm.hazards.keepLineAtLeave) yield* setIrq(vm, resampleSource(vm), resampler.gsi, 0, false); // (c)
  resampler.free(); // (d)
}

/** The order of the 2012 posting: freed on the spot, the grace period afterwards (3.6, H12). */
function* dissolveEarly(vm: Vm, resampler: Resampler): Step<void> {
  yield* vm.irqfds.resamplers.remove(resampler.link);
  yield* unlinkAckNotifier(vm, resampler);
  yield* setIrq(vm, resampleSource(vm), resampler.gsi, 0, false);
  resampler.free();
  yield* vm.irqSrcu.synchronize();
}

/**
 * Tells the owners behind a pin to look at their devices again, without an acknowledge and without lowering the line
 * (3.7: an IOAPIC pin unmasked with a stale request). False when the pin has no resampler.
 */
export function* notifyIrqfdResampler(vm: Vm, chip: number, pin: number): Step<boolean> {
  const section = yield* vm.irqSrcu.readLock();
  yield reads(vm, "routing");
  const gsi = vm.routing.gsiOf(chip, pin);
  const resampler = gsi === -1 ? null : yield* findResampler(vm, gsi);
  if (resampler !== null) yield* resampler.notifyMembers();
  yield* vm.irqSrcu.readUnlock(section);
  return resampler !== null;
}
