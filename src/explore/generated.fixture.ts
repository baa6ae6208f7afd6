import { type Countable, counts, writes } from "../sim/access.js";
import { Context } from "../sim/context.js";
import { Ev } from "../sim/event.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import type { Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { SUSPECT } from "./circle.js";
import type { Property } from "./property.js";
import { Cell } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

/** Reads in a row: more than a context may make before it is asked whether it goes round. */
const SCAN = SUSPECT + 8;

/** What a task may do; each with two small numbers. A scan is left to programs of few steps besides. */
export const OPS = ["get", "set", "swap", "locked", "spinlocked", "try", "wait", "queue", "flush", "drain", "wake", "rouse", "cancel", "ask", "section", "grace", "emit", "nap", "flag", "flagged", "put", "poke"] as const;
export interface Op {
  readonly name: (typeof OPS)[number] | "scan";
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

/** An object with references; who drops the last one writes to a cell. */
class Held implements Countable {
  value = 0;

  constructor(
    private readonly cell: Cell,
    public remaining: number,
  ) {}

  *put(): Step<boolean> {
    yield counts(this, "remaining");
    if (this.remaining === 0 || --this.remaining > 0) return false;
    yield* this.cell.add(100);
    return true;
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
  readonly helper = new Helper("helper", () => this.help());
  private helped = 0;

  private *help(): Step<void> {
    this.helped++;
    const seen = yield* this.cells[0].get();
    yield* this.cells[1].set(seen + this.helped);
  }

  *act({ name, a, b }: Op, log: string[]): Step<void> {
    const { sim, cells, mutexes, spinlock, queue, items, srcu, held } = this;
    const cell = cells[a];
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
    else if (name === "emit") sim.emit(Ev.kvm_set_irq, a, b, 0);
    else sim.wake(this.helper, 10 * (a + 1)); // a timer: its time is the clock's when it fires
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
