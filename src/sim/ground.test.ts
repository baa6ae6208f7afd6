import { describe, expect, it } from "vitest";
import { guarded, SilentAccess, shared, writes } from "./access.js";
import { Context, setCurrent } from "./context.js";
import { LockError, Mutex, Spinlock } from "./lock.js";
import { Deadlock, Sim } from "./sim.js";
import { Srcu } from "./srcu.js";
import { run, STRAIGHT, type Step } from "./step.js";
import { WorkItem, WorkQueue } from "./workqueue.js";

class Counter {
  value = 0;
  *announced(): Step<number> {
    yield writes(this, "value");
    return ++this.value;
  }
  *silent(): Step<number> {
    return ++this.value;
  }
}
shared(Counter, "value");

class Account {
  balance = 0;
  constructor(readonly lock: Spinlock) {}
  *deposit(): Step<void> {
    yield* this.lock.lock();
    this.balance++;
    yield* this.lock.unlock();
  }
  *steal(): Step<void> {
    this.balance--;
  }
}
guarded(Account, (a) => a.lock, "balance");

class Task extends Context {
  constructor(
    name: string,
    private readonly program: () => Step<void>,
  ) {
    super(name, "user", 0);
  }
  override *body(): Step<void> {
    yield* this.program();
  }
}

class Note extends WorkItem {
  runs = 0;
  override *work(): Step<void> {
    this.runs++;
  }
}

describe("access points", () => {
  it("pass an announced access and report a silent one in the stepped tempo", () => {
    const counter = new Counter();
    expect(run(counter.announced())).toBe(1);
    if (STRAIGHT) expect(run(counter.silent())).toBe(2);
    else expect(() => run(counter.silent())).toThrow(SilentAccess);
  });

  it("report state touched without its lock", () => {
    const account = new Account(new Spinlock(new Sim(), "account"));
    run(account.deposit());
    expect(account.balance).toBe(1);
    if (!STRAIGHT) expect(() => run(account.steal())).toThrow(SilentAccess);
  });
});

describe("locks", () => {
  it("report an inverted order", () => {
    if (STRAIGHT) return;
    const sim = new Sim();
    const a = new Mutex(sim, "test a");
    const b = new Mutex(sim, "test b");
    run(a.lock());
    run(b.lock());
    run(b.unlock());
    run(a.unlock());
    run(b.lock());
    expect(() => run(a.lock())).toThrow(LockError);
    run(b.unlock());
  });

  it("refuse a sleep under a spinlock and an endless wait", () => {
    const sim = new Sim();
    const spin = new Spinlock(sim, "spin");
    run(spin.lock());
    expect(() => run(sim.wait({ isOpen: () => false }))).toThrow(Deadlock);
    run(spin.unlock());
    expect(() => run(sim.wait({ isOpen: () => false }))).toThrow(Deadlock);
  });
});

describe("SRCU", () => {
  it("waits for sections entered before, not for later ones, and never for itself", () => {
    const sim = new Sim();
    const srcu = new Srcu(sim, "irq_srcu");
    const log: string[] = [];
    const gate = { isOpen: () => log.includes("writer") };
    sim.wake(
      new Task("reader", function* () {
        const section = yield* srcu.readLock();
        expect(() => run(srcu.synchronize())).toThrow(STRAIGHT ? Deadlock : LockError);
        yield* sim.wait(gate);
        yield* srcu.readUnlock(section);
      }),
      0,
    );
    sim.wake(
      new Task("writer", function* () {
        log.push("writer");
        const later = yield* srcu.readLock();
        yield* srcu.readUnlock(later);
        log.push("left");
      }),
      1,
    );
    run(sim.settle());
    run(srcu.synchronize());
    log.push("grace");
    expect(log).toEqual(["writer", "left", "grace"]);
  });
});

describe.skipIf(STRAIGHT)("grace periods at once", () => {
  it("are as many as there are writers, each over when the sections of before it have been left, whoever has entered since", () => {
    const sim = new Sim();
    sim.explored = true;
    const srcu = new Srcu(sim, "irq_srcu");
    const idle = (name: string): Task => new Task(name, function* () {});
    const as = <T>({ task }: Task, does: () => T): T => {
      const before = setCurrent(task);
      const done = does();
      setCurrent(before);
      return done;
    };
    const reader = idle("reader");
    const early = as(reader, () => run(srcu.readLock()));
    const writers = Array.from({ length: 40 }, (_, i) =>
      as(idle(`writer ${i}`), () => {
        const step = srcu.synchronize();
        for (let at = 0; at < 3; at++) expect(step.next().done).toBe(false);
        return step;
      }),
    );
    const isOver = (step: (typeof writers)[number]): boolean => step.next().done === true;
    const late = as(reader, () => run(srcu.readLock()));
    expect(writers.some(isOver)).toBe(false);
    as(reader, () => run(srcu.readUnlock(early)));
    expect(writers.every(isOver)).toBe(true);
    const last = as(idle("last"), () => srcu.synchronize());
    for (let at = 0; at < 3; at++) expect(last.next().done).toBe(false);
    as(reader, () => run(srcu.readUnlock(late)));
    expect(isOver(last)).toBe(true);
  });
});

describe("work queues", () => {
  it("merge a pending item, run again when queued during a run, and flush", () => {
    const sim = new Sim();
    const queue = new WorkQueue(sim, "events");
    const item = new Note();
    queue.hold();
    expect(run(queue.queue(item))).toBe(true);
    expect(run(queue.queue(item))).toBe(false);
    queue.letGo();
    run(queue.flush(item));
    expect(item.runs).toBe(1);
    run(queue.queue(item));
    run(queue.drain());
    expect(item.runs).toBe(2);
    expect(sim.isQuiet()).toBe(true);
  });
});

describe("time", () => {
  it("runs contexts in time order, first woken first among equals", () => {
    const sim = new Sim({ cpus: 1 });
    const log: string[] = [];
    for (const [name, at] of [["c", 30], ["a", 10], ["b", 10]] as const)
      sim.wake(
        new Task(name, function* () {
          log.push(`${name}@${sim.now()}`);
        }),
        at,
      );
    run(sim.settle());
    expect(log).toEqual(["a@10", "b@10", "c@30"]);
  });
});
