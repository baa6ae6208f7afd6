import type { EventfdContext } from "../../host/eventfd.js";
import type { Vm } from "../../kvm/vm.js";
import type { Context } from "../../sim/context.js";
import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import { CoreInvariants } from "../properties/core-invariants.js";
import { NoUseAfterFree } from "../properties/no-use-after-free.js";
import { type Property, tell } from "../property.js";
import type { Program } from "../trial.js";
import { KvmMachine, type RouteSpec, routingBytes } from "./kvm-machine.js";
import { Lines, LinesArch, PINS } from "./lines.js";
import { ioctl, Notice, Raise, Thread } from "./threads.js";

const ARGUMENTS = 0x20000;
/** Each call of a program has its argument to itself. */
const ROOM = 0x200;

/** An irqfd's eventfd and its resamplefd. */
export interface Pair {
  readonly trigger: EventfdContext;
  readonly told: EventfdContext;
}

/** What is asked of a program beside the properties of every program on this stage. */
export interface Rules {
  readonly properties?: readonly Property[];
  /** When everything has ended. */
  end?(): string | null;
  /** What is left then, in a word: for programs whose orders are compared. */
  outcome?(): string;
}

/** A KVM_IRQFD call. */
export interface IrqfdRequest {
  readonly fd: number;
  readonly gsi: number;
  readonly flags?: number;
  readonly resamplefd?: number;
  /** The VM's descriptor; default that of {@link CoreStage.vmFd}. */
  readonly vm?: number;
}

/** One process with one VM over {@link Lines}, its GSIs routed one to one: where the interrupt core is explored. */
export class CoreStage extends KvmMachine {
  readonly lines: Lines;
  readonly vmFd: number;
  /** The same VM, as the kernel has it. */
  readonly core: Vm;
  private nextArgument = ARGUMENTS;
  private readonly drivers: EventfdContext[] = [];

  /** @param posts whether irqfds are bypass consumers */
  constructor(hazards: Partial<Hazards> = {}, posts = false) {
    const lines = new Lines();
    super({ hazards, arch: new LinesArch(lines, posts) });
    this.lines = lines;
    this.vmFd = this.createVm();
    this.core = this.vm(this.vmFd);
    const refused = run(this.core.installDefaultRouting(PINS));
    if (refused < 0) throw new Error(`no routes: ${refused}`);
  }

  /** Puts an argument where no other call's is: its address. */
  place(bytes: Uint8Array): number {
    const at = this.nextArgument;
    this.nextArgument += Math.max(ROOM, bytes.length);
    this.process.memory.copyOut(at, bytes);
    return at;
  }

  /** The context behind a descriptor, with a reference that stays: what a device's driver holds. */
  driver(fd: number): EventfdContext {
    const context = this.context(fd);
    context.get();
    this.drivers.push(context);
    return context;
  }

  /** A thread in KVM_IRQFD. */
  irqfdCall(name: string, { fd, gsi, flags = 0, resamplefd = 0, vm = this.vmFd }: IrqfdRequest): Thread {
    const view = new DataView(new ArrayBuffer(K.kvm_irqfd.size));
    K.kvm_irqfd.fd.set(view, fd);
    K.kvm_irqfd.gsi.set(view, gsi);
    K.kvm_irqfd.flags.set(view, flags);
    K.kvm_irqfd.resamplefd.set(view, resamplefd);
    return ioctl(name, this.process, vm, K.KVM_IRQFD, this.place(new Uint8Array(view.buffer)));
  }

  /** A thread in KVM_SET_GSI_ROUTING. */
  routingCall(name: string, routes: readonly RouteSpec[]): Thread {
    return ioctl(name, this.process, this.vmFd, K.KVM_SET_GSI_ROUTING, this.place(routingBytes(routes)));
  }

  /** KVM_SET_GSI_ROUTING before the race begins. */
  setRoutes(routes: readonly RouteSpec[]): void {
    must(this.route(this.vmFd, routes), "KVM_SET_GSI_ROUTING");
  }

  /** KVM_IRQFD before the race begins. */
  assign(fd: number, gsi: number, flags = 0, resamplefd = 0): void {
    must(this.irqfd(this.vmFd, fd, gsi, flags, resamplefd), "KVM_IRQFD");
  }

  /** A resampling irqfd that has asserted its line: its eventfd and the one its owner is told by. */
  assignWithOwner(gsi: number): Pair {
    const [fd, resamplefd] = [this.eventfd(), this.eventfd()];
    this.assign(fd, gsi, K.KVM_IRQFD_FLAG_RESAMPLE, resamplefd);
    this.trigger(fd);
    return { trigger: this.driver(fd), told: this.driver(resamplefd) };
  }

  /** From now on, whoever is told triggers again: a level-triggered device that never stops asking for service. */
  own(pair: Pair): void {
    run(pair.told.waiters.addEntry(new Notice(this.sim, new Raise(pair.trigger))));
  }

  /** Signals an eventfd and lets what follows run to its end, before the race begins. */
  trigger(fd: number): void {
    run(this.context(fd).signal());
    this.settle();
  }

  /** A vCPU's exit that acknowledges a pin. */
  acknowledge(pin: number): Thread {
    return new Thread("acknowledge", "vcpu", () => this.core.notifyAcked(0, pin));
  }

  /**
   * A program on this stage. Beside its own properties it has those that hold whatever is done: the invariants of the core,
   * nothing used after it was freed, and at the end every section, spinlock and wake-up left (I9).
   */
  program(contexts: readonly Context[], rules: Rules = {}): Program {
    const properties = [new CoreInvariants(this.core, this.drivers), new NoUseAfterFree(), ...(rules.properties ?? [])];
    const before = this.trace.events;
    const broken = tell(properties, before);
    if (broken !== null) throw new Error(`the set-up: ${broken}`);
    this.sim.traceTo(null);
    return {
      sim: this.sim,
      contexts,
      properties,
      before,
      check: () => null,
      end: () => rules.end?.() ?? this.balance(contexts),
      outcome: () => rules.outcome?.() ?? "",
    };
  }

  /** I9 at the end. */
  private balance(contexts: readonly Context[]): string | null {
    const open = [...contexts, this.events, this.irqfdCleanup].find(({ task }) => task.sections.length + task.spins + task.eventfdDepth > 0);
    return open === undefined ? null : `I9: ${open.name} ends inside a section, a spinlock or a wake-up`;
  }

  /** What must not be left when an eventfd was closed for good: an irqfd, or a reference to it. */
  leftovers(): string | null {
    return this.core.irqfds.active.isEmpty() ? this.leaks() : "an irqfd outlives its closed eventfd";
  }

  /** Drops the drivers' references; a context that lives on although its file is closed has leaked one. */
  private leaks(): string | null {
    for (const context of this.drivers) run(context.put());
    const leaked = this.drivers.find((context) => context.isAlive);
    return leaked === undefined ? null : `a reference to eventfd ${leaked.id} is never dropped`;
  }
}

function must(result: number, what: string): void {
  if (result !== 0) throw new Error(`${what}: ${result}`);
}
