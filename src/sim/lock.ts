import { type Access, AccessKind, type Guard, point, type Waitable, writes } from "./access.js";
import { type Task, current } from "./context.js";
import type { Sim } from "./sim.js";
import { STRAIGHT, type Step } from "./step.js";

/** A lock taken, given back or ordered against the rules: a bug of virq's, or the hazard under study. */
export class LockError extends Error {}

/**
 * The documented order, by class of lock: every "this one before that one", and when it was seen. Taking classes in orders
 * that close a circle, of two or more, is reported, whether or not it deadlocked (kvm-irq-core.md 0.4, gic-v3.md A2).
 */
const before = new Map<string, Map<string, number>>();

/** What was seen in another world counts no longer; nothing is emptied, and so nothing allocated, for each of a million. */
let world = 0;

/** Forgets the orders seen: for a new world, and for a test that provokes an inversion. */
export function forgetLockOrder(): void {
  world++;
}

const bothWays = new Set<string>();

/** Lets two classes be taken in either order, where another rule keeps them from deadlock (kvm-irq-core.md H11). */
export function allowBothOrders(a: string, b: string): void {
  bothWays.add(`${a} ${b}`).add(`${b} ${a}`);
}

const asleep = new Set<string>();

/** Lets a context whose body has returned hold locks of this class: what it is inside of sleeps as a whole, as KVM_RUN does. */
export function allowAsleep(lockClass: string): void {
  asleep.add(lockClass);
}

/** The last lock taken of those that `task` must have given back before it ended; null for none. */
export function lockKept(task: Task): string | null {
  return task.locks.findLast(({ lockClass }) => !asleep.has(lockClass))?.lockClass ?? null;
}

export abstract class Lock implements Guard, Waitable {
  protected holder: Task | null = null;

  /** @param lockClass the kernel's name of the lock; all locks of one class share one place in the order */
  constructor(
    protected readonly sim: Sim,
    readonly lockClass: string,
  ) {}

  get watches(): object {
    return this;
  }

  isOpen(): boolean {
    return this.holder === null;
  }

  /** Is `task` the holder? */
  heldBy(task: Task): boolean {
    return this.holder === task;
  }

  heldByCurrent(): boolean {
    return this.holder === current();
  }

  protected take(): void {
    this.holder = current();
    if (!STRAIGHT) noteOrder(this.holder, this);
  }

  protected give(): void {
    const task = current();
    if (this.holder !== task) this.refuseForeign();
    this.holder = null;
    if (!STRAIGHT) noteEnd(task, this);
  }

  refuseRecursion(): void {
    if (this.holder === current()) throw new LockError(`${current().name} takes ${this.lockClass} twice`);
  }

  private refuseForeign(): never {
    throw new LockError(`${this.lockClass} is not held by ${current().name}`);
  }
}

function noteOrder(task: Task, lock: Lock): void {
  const { locks } = task;
  for (let i = 0; i < locks.length; i++) noteBefore(task, locks[i].lockClass, lock.lockClass);
  locks.push(lock);
}

function noteBefore(task: Task, outer: string, inner: string): void {
  const known = before.get(outer);
  if (outer === inner || known?.get(inner) === world || bothWays.has(`${outer} ${inner}`)) return;
  const way = wayTo(outer, inner, []);
  if (way !== null) throw new LockError(`${task.name} takes ${outer} then ${inner}; elsewhere the order is ${way.length === 2 ? "the other way round" : way.join(", ")}`);
  if (known === undefined) before.set(outer, new Map([[inner, world]]));
  else known.set(inner, world);
}

/** How what was seen leads from one class to another: the classes on the way, both included; null for no way. */
function wayTo(outer: string, inner: string, passed: readonly string[]): string[] | null {
  const way = [...passed, inner];
  if (inner === outer) return way;
  for (const [next, seen] of before.get(inner) ?? [])
    if (seen === world && !way.includes(next)) {
      const found = wayTo(outer, next, way);
      if (found !== null) return found;
    }
  return null;
}

function noteEnd(task: Task, lock: Lock): void {
  task.locks.splice(task.locks.lastIndexOf(lock), 1);
}

/** Announces that the task takes `lock`, which it does not hold: it would wait for itself. */
export function acquires(lock: Lock, site = 0): Access | null {
  lock.refuseRecursion();
  return point(AccessKind.ACQUIRE, lock, "", site);
}

/** Announces that the task gives `lock` back. */
export function releases(lock: Lock, site = 0): Access | null {
  return point(AccessKind.RELEASE, lock, "", site);
}

/** A sleeping lock. */
export class Mutex extends Lock {
  *lock(): Step<void> {
    if (this.sim.spinlocksHeld() > 0) throw new LockError(`${current().name} takes the mutex ${this.lockClass} with a spinlock held`);
    yield acquires(this);
    if (this.holder !== null) yield* this.waitForHolder();
    this.take();
  }

  private *waitForHolder(): Step<void> {
    this.refuseRecursion();
    while (this.holder !== null) yield* this.sim.wait(this);
  }

  /** True if it was free and is now held. Whoever only tries a lock waits for nobody: that is no part of the order. */
  *tryLock(): Step<boolean> {
    yield writes(this, "holder");
    if (this.holder !== null) return false;
    const task = current();
    this.holder = task;
    if (!STRAIGHT) task.locks.push(this);
    return true;
  }

  *unlock(): Step<void> {
    yield releases(this);
    this.give();
  }
}

/**
 * A spinning lock, interrupts off: its holder never blocks. Under run-to-completion nobody can find it taken, so the straight
 * build has none: who holds what, in which order, and that nobody waits under one, is the stepped build's to check.
 */
export class Spinlock extends Lock {
  *lock(): Step<void> {
    yield acquires(this);
    if (STRAIGHT) return;
    while (this.holder !== null) yield* this.spin();
    this.take();
    current().spins++;
  }

  *unlock(): Step<void> {
    yield releases(this);
    if (STRAIGHT) return;
    this.give();
    current().spins--;
  }

  private *spin(): Step<void> {
    this.refuseRecursion();
    if (!this.sim.explored) throw new LockError(`${this.lockClass} is held by ${this.holder?.name ?? "nobody"} across a sleep`);
    yield acquires(this);
  }
}
