import type { EventfdContext } from "../host/eventfd.js";
import { eventfdContextOf, eventfdContextOfFile } from "../host/eventfd.js";
import type { File } from "../host/file.js";
import { type IrqBypassProducer, irqBypassOf } from "../host/irqbypass.js";
import { type PollTable, WaitEntry, type WaitQueue } from "../host/poll.js";
import type { Process } from "../host/process.js";
import { guarded, reads, shared, writes } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { Lifetime } from "../sim/lifetime.js";
import { ListLink } from "../sim/list.js";
import { allowBothOrders } from "../sim/lock.js";
import { SeqCount } from "../sim/srcu.js";
import type { Step } from "../sim/step.js";
import { WorkItem } from "../sim/workqueue.js";
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EWOULDBLOCK } from "../uapi/errno.js";
import { EPOLLHUP, EPOLLIN } from "../uapi/eventfd.js";
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE, kvm_irqfd } from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { IrqfdConsumer } from "./bypass.js";
import { joinResampler, leaveResampler, resampleSource, type Resampler } from "./resampler.js";
import { CachedRoute, Route } from "./route.js";
import type { RoutingTable } from "./routing-table.js";
import { setIrq } from "./routing.js";
import type { Vm } from "./vm.js";

/** Source id of plain irqfds, shared with KVM_IRQ_LINE (H20). */
const PLAIN_SOURCE = 0;

// During assign irqfds.lock is held around the eventfd's, during hang-up the other way round; the assigner's file
// reference keeps the two apart (H11).
allowBothOrders("irqfds.lock", "eventfd");

/** Why an irqfd was deactivated (kvm-irq-core.md 2.6). */
export type DeactivateReason = "deassign" | "hangup" | "release";

/** An eventfd that raises a GSI (kvm-irq-core.md 2). The wait entry is the irqfd itself: its callback is ctx K. */
export class Irqfd extends WaitEntry implements PollTable {
  private readonly lifetime: Lifetime;
  /** On the VM's list of active irqfds. */
  readonly link: ListLink<Irqfd>;
  readonly resamplerLink: ListLink<Irqfd>;
  /** The single route of the GSI, or type 0; writers hold irqfds.lock. */
  readonly route = new CachedRoute();
  /** What the callback took of {@link route}; only ever used under the eventfd's lock. */
  private readonly snapshot = new Route();
  private readonly routeSeq = new SeqCount();
  readonly inject: InjectWork = new InjectWork(this);
  private readonly shutdown: ShutdownWork = new ShutdownWork(this);
  resampler: Resampler | null = null;
  readonly consumer: IrqfdConsumer | null;
  /** The physical interrupt whose delivery may pass the host; irqfds.lock. */
  producer: IrqBypassProducer | null = null;
  /** "Active" of 2.2: on the list. Read by the callback without irqfds.lock. */
  isActive = false;
  /** 0, or -EBUSY from the insertion of AS11 (b). */
  private insertResult = 0;

  /** @param gsi any u32: it need not have a route */
  constructor(
    readonly vm: Vm,
    readonly gsi: number,
    readonly eventfd: EventfdContext,
    readonly resamplefd: EventfdContext | null,
  ) {
    super();
    this.lifetime = new Lifetime("irqfd of GSI", gsi);
    this.link = new ListLink<Irqfd>(this, this.lifetime);
    this.resamplerLink = new ListLink<Irqfd>(this, this.lifetime);
    this.lifetime.spans(this, this.route, this.routeSeq, this.inject, this.shutdown);
    const { bypass } = vm.arch;
    this.consumer = bypass === null ? null : new IrqfdConsumer(this, bypass);
  }

  /** AS11: the eventfd's poll registers the irqfd by {@link queue}, then samples the counter. The mask, or -EBUSY. */
  *attach(file: File): Step<number> {
    if (this.vm.hazards.sampleBeforeInsert) {
      const early = yield* file.poll(null); // H1
      yield* file.poll(this);
      return this.insertResult === 0 ? early : this.insertResult;
    }
    const mask = yield* file.poll(this);
    return this.insertResult === 0 ? mask : this.insertResult; // (d)
  }

  /** The registering callback of AS11: fill the route (H3), insert, publish, all under irqfds.lock. */
  *queue(waiters: WaitQueue): Step<void> {
    const { irqfds, hazards } = this.vm;
    if (hazards.routeOutsideLock) yield* this.cacheCurrentRoute(); // H3
    yield* irqfds.lock.lock();
    if (!hazards.routeOutsideLock && !hazards.routeAfterInsert) yield* this.cacheCurrentRoute(); // (a)
    const isInserted = yield* this.insert(waiters); // (b)
    if (isInserted) this.vm.sim.emit(Ev.irqfd_assign, this.eventfd.id, this.gsi); // its callback may run from here on
    if (hazards.routeAfterInsert) yield* this.cacheCurrentRoute(); // H3
    if (isInserted) {
      yield writes(this, "isActive");
      this.isActive = true;
      yield* irqfds.active.addTail(this.link); // (c)
    } else this.insertResult = -EBUSY;
    yield* irqfds.lock.unlock();
  }

  /** False: the eventfd is taken. Its wait queue decides, over all VMs and until SH2; the active list knows less (H31). */
  private *insert(waiters: WaitQueue): Step<boolean> {
    if (!this.vm.hazards.busyByList) return yield* waiters.addPriorityExclusive(this);
    if (yield* this.vm.irqfds.isAssigned(this.eventfd)) return false;
    this.isPriority = true;
    yield* waiters.addEntry(this);
    return true;
  }

  /** irqfds.lock held: of a swap that comes later, the walk over the active irqfds tells (2.7). */
  private *cacheCurrentRoute(): Step<void> {
    yield reads(this.vm, "routing");
    yield* this.cacheRoute(this.vm.routing.singleRouteOf(this.gsi));
  }

  /** ctx K, the eventfd's lock held by whoever signals (2.4). */
  override *wake(mask: number): Step<number> {
    this.assertAlive();
    let result = 0;
    if ((mask & EPOLLIN) !== 0) {
      if (!this.vm.hazards.keepCount) yield* this.eventfd.consume(); // WK2: one callback, at most one injection (H2)
      const section = yield* this.vm.irqSrcu.readLock(); // WK3
      yield* this.takeSnapshot();
      yield* this.trigger(); // WK4
      yield* this.vm.irqSrcu.readUnlock(section); // WK5
      result = 1;
    }
    if ((mask & EPOLLHUP) !== 0) yield* this.hangUp(); // WK6
    return result;
  }

  private *takeSnapshot(): Step<void> {
    let isTorn = true;
    while (isTorn) {
      const begin = yield* this.routeSeq.readBegin();
      yield* this.route.load(this.snapshot);
      isTorn = (yield* this.routeSeq.changedSince(begin)) && !this.vm.hazards.readTornRoute; // H4
    }
  }

  /** An inactive irqfd leaves the injection to the work item, which asks the current table and is flushed by SH3 (H25). */
  private *trigger(): Step<void> {
    let result = -EWOULDBLOCK;
    yield reads(this, "isActive");
    if (this.isActive || this.vm.hazards.clearRouteOnDeassign) result = yield* this.vm.arch.setRouteAtomic(this.snapshot);
    if (result === -EWOULDBLOCK) yield* this.vm.host.events.queue(this.inject);
    else if (this.vm.sim.tracing) this.vm.sim.emit(Ev.irqfd_inject, this.eventfd.id, this.gsi, "callback");
  }

  /** Unlinks and queues, nothing else: the caller holds the eventfd's lock (H10). */
  private *hangUp(): Step<void> {
    const { lock } = this.vm.irqfds;
    yield* lock.lock();
    yield reads(this, "isActive");
    if (this.isActive || this.vm.hazards.deactivateUnasked) yield* this.deactivate("hangup"); // the loser of a race finds it inactive (H9)
    yield* lock.unlock();
    if (this.vm.hazards.shutdownInHangUp) yield* this.shutdown.work();
  }

  /** irqfds.lock held. Exactly once (2.6). */
  *deactivate(reason: DeactivateReason): Step<void> {
    yield writes(this, "isActive");
    if (!this.isActive) throw new Error(`the irqfd of GSI ${this.gsi} is deactivated twice`);
    this.isActive = false;
    yield* this.vm.irqfds.active.remove(this.link);
    this.vm.sim.emit(Ev.irqfd_deactivate, reason, this.eventfd.id, this.gsi);
    yield* this.vm.host.irqfdCleanup.queue(this.shutdown);
  }

  /** The older rule of 2.5, irqfds.lock held: a deassigned irqfd loses its cached route. */
  *clearRoute(): Step<void> {
    yield* this.cacheRoute(null);
  }

  /** 2.7, irqfds.lock held. */
  *routeChanged(table: RoutingTable): Step<void> {
    const { bypass } = this.vm.arch;
    if (bypass === null || this.producer === null) return yield* this.cacheRoute(table.singleRouteOf(this.gsi));
    const old = new Route();
    yield* this.route.load(old);
    yield* this.cacheRoute(table.singleRouteOf(this.gsi));
    yield* bypass.routeChanged(this, old);
  }

  private *cacheRoute(route: Route | null): Step<void> {
    yield* this.routeSeq.writeBegin();
    yield* this.route.store(route);
    yield* this.routeSeq.writeEnd();
  }

  /** AK4: the owner is told to look at its device. */
  *notifyOwner(): Step<void> {
    this.assertAlive();
    if (this.resamplefd === null) return;
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.resampler_notify, this.gsi, this.resamplefd.id);
    yield* this.resamplefd.signal();
  }

  /** SH7 and the end of a failed assign. */
  free(): void {
    this.lifetime.free();
  }

  assertAlive(): void {
    this.lifetime.touch();
  }
}
shared(Irqfd, "isActive");
guarded(Irqfd, (irqfd) => irqfd.vm.irqfds.lock, "producer");

/** ctx W: the injection that could not be made in the callback. Each `set` asks the table in force (2.4). */
class InjectWork extends WorkItem {
  constructor(private readonly irqfd: Irqfd) {
    super();
  }

  override *work(): Step<void> {
    const { irqfd } = this;
    if (irqfd.vm.sim.tracing) irqfd.vm.sim.emit(Ev.irqfd_inject, irqfd.eventfd.id, irqfd.gsi, "work");
    irqfd.assertAlive();
    if (irqfd.resampler === null) {
      yield* setIrq(irqfd.vm, PLAIN_SOURCE, irqfd.gsi, 1, false); // IN1
      yield* setIrq(irqfd.vm, PLAIN_SOURCE, irqfd.gsi, 0, false); // IN2
    } else yield* setIrq(irqfd.vm, resampleSource(irqfd.vm), irqfd.gsi, 1, false); // IN1
  }
}

/** ctx X: what is left of an irqfd once it is inactive. The order is normative (2.6). */
class ShutdownWork extends WorkItem {
  constructor(private readonly irqfd: Irqfd) {
    super();
  }

  override *work(): Step<void> {
    const { irqfd } = this;
    const { vm, eventfd } = irqfd;
    if (vm.hazards.leaveBeforeFlush) yield* this.leave(); // H17
    if (!vm.hazards.shutdownWithoutWait) yield* vm.irqSrcu.synchronize(); // SH1: the assigner has passed AS15 (H11)
    if (vm.hazards.flushBeforeUnhook) yield* vm.host.events.flush(irqfd.inject);
    yield* eventfd.removeWaitAndConsume(irqfd); // SH2
    if (!vm.hazards.flushBeforeUnhook) yield* vm.host.events.flush(irqfd.inject); // SH3, strictly after SH2 (H8)
    if (!vm.hazards.leaveBeforeFlush) yield* this.leave(); // SH4, strictly after SH3 (H17)
    const { id } = eventfd;
    if (vm.hazards.dropContextEarly) yield* eventfd.put();
    if (irqfd.consumer !== null) yield* irqBypassOf(vm.sim).unregisterConsumer(irqfd.consumer); // SH5, before SH6 (H28)
    if (!vm.hazards.dropContextEarly) yield* eventfd.put(); // SH6
    irqfd.free(); // SH7
    vm.sim.emit(Ev.irqfd_free, id, irqfd.gsi);
  }

  /** SH4: leave the resampler, whose waits come before the resamplefd context is dropped (H13). */
  private *leave(): Step<void> {
    const { vm, resampler, resamplefd } = this.irqfd;
    if (resampler === null || resamplefd === null) return;
    if (vm.hazards.dropResamplefdEarly) yield* resamplefd.put();
    yield* leaveResampler(vm, this.irqfd, resampler);
    if (!vm.hazards.dropResamplefdEarly) yield* resamplefd.put();
  }
}

const argument = new UserArgument(kvm_irqfd.size);
const { view } = argument;

/** KVM_IRQFD (kvm-irq-core.md 2.3, 2.5). */
export function* irqfdIoctl(vm: Vm, process: Process, address: number): Step<number> {
  if (!argument.copyIn(process, address)) return -EFAULT; // AS0
  const fd = kvm_irqfd.fd.get(view);
  const gsi = kvm_irqfd.gsi.get(view);
  const flags = kvm_irqfd.flags.get(view);
  const resamplefd = kvm_irqfd.resamplefd.get(view);
  if ((flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) !== 0) return -EINVAL; // AS1
  if ((flags & KVM_IRQFD_FLAG_DEASSIGN) !== 0) return yield* deassign(vm, process, fd, gsi); // AS2
  const isResampling = (flags & KVM_IRQFD_FLAG_RESAMPLE) !== 0;
  if (!vm.arch.irqchipReady()) return -EAGAIN; // AS3
  const veto = yield* vm.arch.allowsIrqfd(isResampling, gsi); // AS4
  if (veto !== 0) return veto;
  const file = yield* process.fdget(fd); // AS6
  if (file === null) return -EBADF;
  if (vm.hazards.dropFileEarly) yield* file.put();
  const result = yield* assignFile(vm, process, file, gsi, isResampling ? resamplefd : null);
  if (!vm.hazards.dropFileEarly) yield* file.put(); // AS15: the file outlives the assign, so that hang-up cannot begin before (H11)
  return result;
}

function* assignFile(vm: Vm, process: Process, file: File, gsi: number, resamplefd: number | null): Step<number> {
  const eventfd = eventfdContextOfFile(file); // AS7
  if (typeof eventfd === "number") return eventfd;
  const owner = resamplefd === null ? null : eventfdContextOf(process, resamplefd); // AS8
  if (typeof owner === "number") {
    yield* eventfd.put();
    return owner;
  }
  const irqfd = new Irqfd(vm, gsi, eventfd, owner);
  if (owner !== null) irqfd.resampler = yield* joinResampler(vm, irqfd); // AS9
  const section = yield* vm.irqSrcu.readLock(); // AS10
  const mask = yield* irqfd.attach(file); // AS11
  if (mask < 0) {
    yield* vm.irqSrcu.readUnlock(section); // AS12
    if (irqfd.resampler !== null && !vm.hazards.forgetLeaveWhenBusy) yield* leaveResampler(vm, irqfd, irqfd.resampler); // with its waits (H19)
    if (owner !== null) yield* owner.put();
    yield* eventfd.put();
    irqfd.free();
    return mask;
  }
  if ((mask & EPOLLIN) !== 0) yield* vm.host.events.queue(irqfd.inject); // AS13
  if (irqfd.consumer !== null) yield* irqBypassOf(vm.sim).registerConsumer(irqfd.consumer, eventfd); // AS14: a refusal changes nothing
  yield* vm.irqSrcu.readUnlock(section); // AS15
  return 0;
}

/** DE1 to DE5. After it returns nothing is injected through a matching irqfd (H7). */
function* deassign(vm: Vm, process: Process, fd: number, gsi: number): Step<number> {
  const eventfd = eventfdContextOf(process, fd); // DE1
  if (typeof eventfd === "number") return eventfd;
  const { irqfds } = vm;
  yield* irqfds.lock.lock(); // DE2
  let irqfd = yield* irqfds.active.first();
  while (irqfd !== null) {
    const next = yield* irqfds.active.next(irqfd.link);
    if (irqfd.eventfd === eventfd && irqfd.gsi === gsi) {
      if (vm.hazards.clearRouteOnDeassign) yield* irqfd.clearRoute();
      yield* irqfd.deactivate("deassign");
    }
    irqfd = next;
  }
  yield* irqfds.lock.unlock();
  yield* eventfd.put(); // DE3
  if (!vm.hazards.returnBeforeShutdown) yield* vm.host.irqfdCleanup.drain(); // DE4
  return 0; // DE5
}
