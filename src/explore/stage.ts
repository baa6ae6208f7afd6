import { eventfd2, type EventfdContext, eventfdContextOf } from "../host/eventfd.js";
import { WaitEntry } from "../host/poll.js";
import { Process } from "../host/process.js";
import type { Hazards } from "../sim/hazards.js";
import type { KvmHost } from "../kvm/host.js";
import type { Irqfd } from "../kvm/irqfd.js";
import { Route } from "../kvm/route.js";
import { RoutingTable, swapRouting } from "../kvm/routing.js";
import { KvmFile, vmOf } from "../kvm/system.js";
import type { Vm } from "../kvm/vm.js";
import type { Waitable } from "../sim/access.js";
import { Context } from "../sim/context.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { WorkQueue } from "../sim/workqueue.js";
import { EFD_NONBLOCK, EPOLLIN } from "../uapi/eventfd.js";
import { KVM_CREATE_VM, KVM_IRQFD, KVM_IRQFD_FLAG_RESAMPLE, KVM_IRQ_ROUTING_MSI, kvm_irqfd } from "../uapi/kvm.js";
import { Lines, LinesArch, PINS } from "./lines.js";

const SCRATCH = 0x10000;

/** An irqfd's eventfd and its resamplefd. */
export interface Pair {
  readonly trigger: EventfdContext;
  readonly told: EventfdContext;
}

/** One process with one VM, its GSIs routed one to one: where the protocols of the interrupt core are explored. */
export class Stage implements KvmHost {
  readonly cpus = [];
  readonly counterHz = 62_500_000;
  readonly haltPollMaxNs = 0;
  readonly loaded = [];
  readonly sim: Sim;
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic = null;
  readonly lines = new Lines();
  readonly process: Process;
  readonly vmFd: number;
  readonly vm: Vm;
  private nextArgument = SCRATCH;
  private readonly contexts: EventfdContext[] = [];
  private readonly seen = new Set<Irqfd>();

  constructor(hazards: Partial<Hazards> = {}) {
    this.sim = new Sim({ hazards });
    this.events = new WorkQueue(this.sim, "events");
    this.irqfdCleanup = new WorkQueue(this.sim, "kvm-irqfd-cleanup");
    this.process = new Process(this.sim, "vmm");
    this.process.memory.map(SCRATCH, 4096);
    const kvm = new KvmFile(this, new LinesArch(this.lines));
    this.vmFd = run(this.process.ioctl(this.process.install(kvm), KVM_CREATE_VM, 0));
    const vm = vmOf(this.process, this.vmFd);
    if (vm === null) throw new Error(`no VM: ${this.vmFd}`);
    this.vm = vm;
    const refused = run(vm.installDefaultRouting(PINS));
    if (refused < 0) throw new Error(`no routes: ${refused}`);
  }

  /** A non-blocking eventfd. */
  eventfd(count = 0): number {
    return eventfd2(this.process, count, EFD_NONBLOCK);
  }

  /** The context behind a descriptor, with a reference that the stage keeps: what a device's driver holds. */
  context(fd: number): EventfdContext {
    const context = eventfdContextOf(this.process, fd);
    if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
    this.contexts.push(context);
    return context;
  }

  /** Routes one GSI, and nothing else, to a message. */
  *routeToMessage(gsi: number, data: number): Step<void> {
    const route = new Route();
    route.gsi = gsi;
    route.type = KVM_IRQ_ROUTING_MSI;
    route.data = data;
    const table = RoutingTable.build(this.vm, [route]);
    if (typeof table === "number") throw new Error(`no route: ${table}`);
    yield* swapRouting(this.vm, table);
  }

  /** Writes KVM_IRQFD's argument; its address. */
  irqfdArgument(fd: number, gsi: number, flags: number, resamplefd: number): number {
    const bytes = new Uint8Array(kvm_irqfd.size);
    const view = new DataView(bytes.buffer);
    kvm_irqfd.fd.set(view, fd);
    kvm_irqfd.gsi.set(view, gsi);
    kvm_irqfd.flags.set(view, flags);
    kvm_irqfd.resamplefd.set(view, resamplefd);
    const address = this.nextArgument;
    this.nextArgument += bytes.length;
    this.process.memory.copyOut(address, bytes);
    return address;
  }

  /** KVM_IRQFD before the race begins. */
  assign(fd: number, gsi: number, flags = 0, resamplefd = 0): void {
    const result = run(this.process.ioctl(this.vmFd, KVM_IRQFD, this.irqfdArgument(fd, gsi, flags, resamplefd)));
    if (result !== 0) throw new Error(`KVM_IRQFD: ${result}`);
    run(this.sim.settle());
  }

  /** A resampling irqfd that has asserted its line: its eventfd and the one its owner is told by. */
  assignWithOwner(gsi: number): Pair {
    const [fd, resamplefd] = [this.eventfd(), this.eventfd()];
    this.assign(fd, gsi, KVM_IRQFD_FLAG_RESAMPLE, resamplefd);
    this.trigger(fd);
    return { trigger: this.context(fd), told: this.context(resamplefd) };
  }

  /** From now on, whoever is told triggers again: a level-triggered device that never stops asking for service. */
  own(pair: Pair): void {
    run(pair.told.waiters.addEntry(new Notice(this.sim, new Raise(pair.trigger))));
  }

  /** Signals an eventfd and lets what follows run to its end, before the race begins. */
  trigger(fd: number): void {
    run(this.context(fd).signal());
    run(this.sim.settle());
  }

  /** I1, I2, I4 and I5 of kvm-irq-core.md 10.1, where no lock is held over a change. I3 and I9 are traps of the ground. */
  check(): string | null {
    return this.checkIrqfds() ?? this.checkPriorities() ?? this.checkResamplers();
  }

  /** I9 at the end: every section, spinlock and wake-up was left. */
  balance(contexts: readonly Context[]): string | null {
    const open = [...contexts, this.events, this.irqfdCleanup].find(({ task }) => task.sectionCount + task.spins + task.eventfdDepth > 0);
    return open === undefined ? null : `I9: ${open.name} ends inside a section, a spinlock or a wake-up`;
  }

  /** Irqfds not freed yet, of those that were ever active. */
  living(): number {
    return [...this.seen].filter((irqfd) => !irqfd.link.poisoned).length;
  }

  /** Drops the stage's own references; a context that lives on although its file is closed has leaked one. */
  leaks(): string | null {
    for (const context of this.contexts) run(context.put());
    const leaked = this.contexts.find((context) => context.isAlive);
    return leaked === undefined ? null : `a reference to eventfd ${leaked.id} is never dropped`;
  }

  private checkIrqfds(): string | null {
    const { active, lock } = this.vm.irqfds;
    if (!lock.isOpen()) return null;
    for (const irqfd of active.toArray()) this.seen.add(irqfd);
    for (const irqfd of this.seen) {
      const states = [active.has(irqfd.link), irqfd.isShuttingDown, irqfd.link.poisoned].filter((is) => is).length;
      if (states !== 1) return `I1: the irqfd of GSI ${irqfd.gsi} is in ${states} of the states active, shutting down and freed`;
    }
    return null;
  }

  private checkPriorities(): string | null {
    for (const { waiters, id } of this.contexts) {
      const priorities = waiters.entries().filter((entry) => entry.isPriority).length;
      if (priorities > 1) return `I2: eventfd ${id} has ${priorities} priority entries`;
    }
    return null;
  }

  private checkResamplers(): string | null {
    const { resamplers, resamplerLock } = this.vm.irqfds;
    if (!resamplerLock.isOpen()) return null;
    const gsis = new Set<number>();
    for (const resampler of resamplers.toArray()) {
      if (resampler.members.isEmpty()) return `I4: the resampler of GSI ${resampler.gsi} has no member`;
      if (gsis.has(resampler.gsi)) return `I5: GSI ${resampler.gsi} has two resamplers`;
      gsis.add(resampler.gsi);
    }
    return null;
  }
}

/** A thread in KVM_IRQFD. */
export class IrqfdCall extends Context {
  result = 0;
  isDone = false;
  private readonly argument: number;

  constructor(
    name: string,
    private readonly stage: Stage,
    call: { fd: number; gsi: number; flags?: number; resamplefd?: number },
  ) {
    super(name, "user", 0);
    this.argument = stage.irqfdArgument(call.fd, call.gsi, call.flags ?? 0, call.resamplefd ?? 0);
  }

  override *body(): Step<void> {
    const { process, vmFd } = this.stage;
    this.result = yield* process.ioctl(vmFd, KVM_IRQFD, this.argument);
    this.isDone = true;
  }
}

/** A thread in close(2), once the calls named are over. */
export class Close extends Context implements Waitable {
  constructor(
    private readonly stage: Stage,
    private readonly fd: number,
    private readonly after: readonly IrqfdCall[] = [],
  ) {
    super("close", "user", 0);
  }

  isOpen(): boolean {
    return this.after.every((call) => call.isDone);
  }

  override *body(): Step<void> {
    yield* this.stage.sim.wait(this);
    yield* this.stage.process.close(this.fd);
  }
}

/** A thread that routes a GSI to another message. */
export class Reroute extends Context {
  isDone = false;

  constructor(
    private readonly stage: Stage,
    private readonly gsi: number,
    private readonly data: number,
  ) {
    super("reroute", "user", 0);
  }

  override *body(): Step<void> {
    yield* this.stage.routeToMessage(this.gsi, this.data);
    this.isDone = true;
  }
}

/** A device's handler that signals its eventfd, `times` in a row. */
export class Raise extends Context {
  constructor(
    private readonly eventfd: EventfdContext,
    private readonly times = 1,
  ) {
    super("raise", "hardirq", 0);
  }

  override *body(): Step<void> {
    for (let i = 0; i < this.times; i++) yield* this.eventfd.signal();
  }
}

/** A vCPU's exit that acknowledges a pin. */
export class Acknowledge extends Context {
  constructor(
    private readonly stage: Stage,
    private readonly pin: number,
  ) {
    super("acknowledge", "vcpu", 0);
  }

  override *body(): Step<void> {
    yield* this.stage.vm.notifyAcked(0, this.pin);
  }
}

/** Wakes an owner when its resamplefd is signalled, as a driver's own wait entry does: the trigger is not its to signal (H32). */
class Notice extends WaitEntry {
  constructor(
    private readonly sim: Sim,
    private readonly owner: Context,
  ) {
    super();
  }

  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLIN) !== 0) this.sim.wake(this.owner, 0);
    return 1;
  }
}
