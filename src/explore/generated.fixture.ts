import { type Countable, counts, writes } from "../sim/access.js";
import { Context } from "../sim/context.js";
import { Lifetime } from "../sim/lifetime.js";
import { KernelList, ListLink } from "../sim/list.js";
import { Ev } from "../sim/event.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run, type Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { SUSPECT } from "./circle.js";
import type { Property } from "./property.js";
import { Cell } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

/** Reads in a row: more than a context may make before it is asked whether it goes round. */
const SCAN = SUSPECT + 8;

/** What a task may do; each with two small numbers. A scan is left to programs of few steps besides. */
export const OPS = ["get", "set", "swap", "locked", "spinlocked", "try", "wait", "queue", "flush", "drain", "wake", "rouse", "cancel", "ask", "section", "grace", "emit", "nap", "flag", "flagged", "put", "raise", "take", "poke", "visit", "free"] as const;
/** Of lists that are read in a section or outside of any; more steps than the others. */
export const LIST_OPS = ["walk", "unlink", "snip", "append"] as const;
export interface Op {
  readonly name: (typeof OPS)[number] | (typeof LIST_OPS)[number] | "scan";
  readonly a: number;
  readonly b: number;
}
export type Plan = readonly (readonly Op[])[];

class Helper extends Context {
  constructor(
    name: string,
    private readonly program: () => Step<void>,
  ) {
    super(name, "worker", 0);
  }
  override *body(): Step<void> {
    yield* this.program();
  }
}

class Add extends WorkItem {
  constructor(
    private readonly cell: Cell,
    private readonly value: number,
  ) {
    super();
  }
  override *work(): Step<void> {
    yield* this.cell.add(this.value);
  }
}

/** A condition that names nothing, over state that no access announces. */
class Nameless {
  isSet = false;
  isOpen(): boolean {
    return this.isSet;
  }
}

/** An object with references; who drops the last one writes to a cell. Who comes later finds it freed, and goes on. */
class Held implements Countable {
  value = 0;
  private readonly lifetime = new Lifetime("held");

  constructor(
    private readonly cell: Cell,
    public remaining: number,
  ) {}

  *put(): Step<boolean> {
    yield counts(this, "remaining");
    if (this.remaining === 0) return false;
    this.lifetime.lower(--this.remaining);
    if (this.remaining > 0) return false;
    this.lifetime.free();
    yield* this.cell.add(100);
    return true;
  }

  /** Takes a reference, by an access that announces it. */
  *raise(): Step<string> {
    yield counts(this, "remaining");
    return this.take();
  }

  /** The same by one that announces something else. */
  take(): string {
    if (!this.lifetime.isAlive()) return "freed";
    this.lifetime.raise(this.remaining++);
    return "held";
  }

  /** Looks whether it is alive. */
  visit(): string {
    return this.lifetime.isAlive() ? "alive" : "freed";
  }

  /** What it finds there, and whether it is alive. */
  *poke(): Step<string> {
    yield writes(this, "value");
    return `${this.value++}${this.remaining > 0 ? "" : " freed"}`;
  }
}

/** What the tasks of one program share. */
class Ground {
  readonly sim = new Sim();
  readonly cells = [new Cell(), new Cell()];
  readonly mutexes = [new Mutex(this.sim, "mutex"), new Mutex(this.sim, "mutex")];
  readonly spinlock = new Spinlock(this.sim, "spinlock");
  readonly queue = new WorkQueue(this.sim, "events");
  readonly items = [new Add(this.cells[0], 10), new Add(this.cells[1], 20)];
  readonly srcu = new Srcu(this.sim, "srcu");
  readonly held = [new Held(this.cells[0], 1), new Held(this.cells[1], 2)];
  readonly log: string[][] = [];
  readonly flag = new Nameless();
  readonly heard: number[] = [];
  /** Freed by whoever comes first. */
  readonly blobs = [new Lifetime("blob"), new Lifetime("blob")];
  readonly list = new KernelList<number>();
  readonly links = [0, 1].map((key) => new ListLink(key));
  readonly helper = new Helper("helper", () => this.help());
  private helped = 0;

  constructor() {
    for (const link of this.links) run(this.list.addTail(link));
  }

  private *help(): Step<void> {
    this.helped++;
    const seen = yield* this.cells[0].get();
    yield* this.cells[1].set(seen + this.helped);
  }

  *act({ name, a, b }: Op, log: string[]): Step<void> {
    const { sim, cells, mutexes, spinlock, queue, items, srcu, held } = this;
    const cell = cells[a];
    if (LIST_OPS.some((each) => each === name)) return yield* this.actOnList(name, a, b, log);
    if (name === "get") log.push(`${yield* cell.get()}`);
    else if (name === "set") yield* cell.set(b + 1);
    else if (name === "swap") log.push(`${yield* cell.swap(b, b + 1)}`);
    else if (name === "locked") {
      yield* mutexes[a].lock();
      log.push(`${yield* cells[b].add(3)}`);
      yield* mutexes[a].unlock();
    } else if (name === "spinlocked") {
      yield* spinlock.lock();
      const before = yield* cell.get();
      yield* cell.set(before + 1);
      yield* spinlock.unlock();
    } else if (name === "try") {
      if (yield* mutexes[a].tryLock()) {
        yield* cells[b].add(5);
        yield* mutexes[a].unlock();
      } else log.push("busy");
    } else if (name === "wait") yield* sim.wait(cell);
    else if (name === "flagged") yield* sim.wait(this.flag);
    else if (name === "flag") {
      yield* cell.get();
      this.flag.isSet = true;
    } else if (name === "queue") log.push(`${yield* queue.queue(items[a])}`);
    else if (name === "flush") yield* queue.flush(items[a]);
    else if (name === "drain") yield* queue.drain();
    else if (name === "wake") sim.wake(this.helper, 0);
    else if (name === "rouse") {
      log.push(`${sim.isIdle(this.helper)}`);
      sim.wake(this.helper, 0);
    } else if (name === "scan") for (let i = 0; i < SCAN; i++) yield* cell.get();
    else if (name === "cancel") sim.cancel(this.helper);
    else if (name === "ask") log.push(`${sim.isIdle(this.helper)}`);
    else if (name === "section") {
      const section = yield* srcu.readLock();
      log.push(`${yield* cell.get()}`);
      yield* srcu.readUnlock(section);
    } else if (name === "grace") yield* srcu.synchronize();
    else if (name === "put") log.push(`${yield* held[a].put()}`);
    else if (name === "poke") log.push(yield* held[a].poke());
    else if (name === "raise") log.push(yield* held[a].raise());
    else if (name === "take" || name === "visit") {
      yield* cells[b].get();
      log.push(name === "take" ? held[a].take() : `${held[a].visit()} ${this.blobs[a].isAlive()}`);
    } else if (name === "free") {
      yield* cells[b].get();
      if (this.blobs[a].isAlive()) this.blobs[a].free();
    }
    else if (name === "emit") sim.emit(Ev.kvm_set_irq, a, b, 0);
    else sim.wake(this.helper, 10 * (a + 1)); // a timer: its time is the clock's when it fires
  }

  /** `a`: which element; `b`: in a section, or behind a grace period. */
  private *actOnList(name: Op["name"], a: number, b: number, log: string[]): Step<void> {
    const { list, links, srcu, mutexes } = this;
    if (name === "walk") {
      const section = b === 1 ? yield* srcu.readLock() : -1;
      let seen = "";
      for (let at = yield* list.first(); at !== null; at = yield* list.next(links[at])) seen += at;
      log.push(seen);
      if (section >= 0) yield* srcu.readUnlock(section);
      return;
    }
    if (name !== "snip") yield* mutexes[0].lock();
    const isOn = list.has(links[a]);
    if (name === "append" && !isOn) yield* list.addTail(links[a]);
    if (name !== "append" && isOn) yield* list.remove(links[a]);
    log.push(`${isOn} ${list.isEmpty()}`);
    if (name !== "snip") yield* mutexes[0].unlock();
    if (name !== "unlink" || !isOn) return;
    if (b === 1) yield* srcu.synchronize();
    links[a].poison();
  }

  outcome(): string {
    const clock = this.sim.clock[0];
    return [this.cells.map(({ value }) => value).join(), ...this.log.map((log) => log.join()), this.heard.join(), this.helped, clock].join(" | ");
  }
}

export const scenarioOf = (plan: Plan): Scenario => () => {
  const ground = new Ground();
  const property: Property = {
    name: "order",
    sentence: "keeps the order of what it hears",
    hears: ["kvm_set_irq"],
    hear({ args: [a, b], context }) {
      ground.heard.push(Number(a), Number(b), context.length, context.charCodeAt(1));
      return null;
    },
  };
  const contexts = plan.map((ops, i) => {
    const log: string[] = [];
    ground.log.push(log);
    return new Helper(`t${i}`, function* () {
      for (const op of ops) yield* ground.act(op, log);
    });
  });
  return { sim: ground.sim, contexts, properties: [property], check: () => null, outcome: () => ground.outcome() };
};
