import { describe, expect, it } from "vitest";
import { EventfdContext } from "../host/eventfd.js";
import { counts, guarded } from "../sim/access.js";
import { Ev } from "../sim/event.js";
import { Lifetime, UseAfterFree } from "../sim/lifetime.js";
import { KernelList, ListLink } from "../sim/list.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { explore } from "./explorer.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

class Account {
  balance = 0;
  readonly lock: Spinlock;
  readonly lifetime = new Lifetime("account");
  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "account");
    this.lifetime.spans(this, this.lock);
  }
}
guarded(Account, (account) => account.lock, "balance");

/** References, of which no lifetime hears: what it announces says all. */
class Counted {
  remaining = 1;
  *get(): Step<void> {
    yield counts(this, "remaining");
    if (this.remaining === 0) throw new UseAfterFree("taken too late");
    this.remaining++;
  }
  *put(): Step<void> {
    yield counts(this, "remaining");
    this.remaining--;
  }
}

function* freeing(account: Account): Step<void> {
  yield* new Cell().get();
  account.lifetime.free();
}

class Nothing extends WorkItem {
  override *work(): Step<void> {}
}

/** Tasks over what `build` makes; nothing is asked of them. */
function scenario(build: (sim: Sim) => readonly (() => Step<void>)[]): Scenario {
  return () => {
    const sim = new Sim();
    return { sim, contexts: build(sim).map((body, i) => new Task(`task ${i}`, body)), check: () => null };
  };
}

const CASES: [string, RegExp, Scenario][] = [
  [
    "a lock-protected field touched while another context has the lock",
    /^SilentAccess: Account\.balance touched without its lock by task 1/,
    scenario((sim) => {
      const account = new Account(sim);
      const cell = new Cell();
      const careful = function* (): Step<void> {
        yield* account.lock.lock();
        account.balance++;
        yield* account.lock.unlock();
      };
      const careless = function* (): Step<void> {
        if ((yield* cell.get()) === 0) account.balance++;
      };
      return [careful, careless];
    }),
  ],
  [
    "a lock given back by who does not hold it",
    /^LockError: mutex is not held by task 0/,
    scenario((sim) => {
      const lock = new Mutex(sim, "mutex");
      return [
        function* () {
          yield* lock.unlock();
        },
      ];
    }),
  ],
  [
    "a lock taken twice",
    /^LockError: task 0 takes mutex twice/,
    scenario((sim) => {
      const lock = new Mutex(sim, "mutex");
      return [
        function* () {
          yield* lock.lock();
          yield* lock.lock();
        },
      ];
    }),
  ],
  [
    "a sleeping lock under a spinlock",
    /^LockError: task 0 takes the mutex mutex with a spinlock held/,
    scenario((sim) => {
      const [spinlock, mutex] = [new Spinlock(sim, "spinlock"), new Mutex(sim, "mutex")];
      return [
        function* () {
          yield* spinlock.lock();
          yield* mutex.lock();
        },
      ];
    }),
  ],
  [
    "a sleep under a spinlock",
    /^Deadlock: task 0 would sleep with a spinlock held/,
    scenario((sim) => {
      const spinlock = new Spinlock(sim, "spinlock");
      const cell = new Cell();
      return [
        function* () {
          yield* spinlock.lock();
          yield* sim.wait(cell);
        },
      ];
    }),
  ],
  [
    "a wait for a grace period inside its own section",
    /^LockError: task 0 waits for srcu inside its own reader section/,
    scenario((sim) => {
      const srcu = new Srcu(sim, "srcu");
      return [
        function* () {
          yield* srcu.readLock();
          yield* srcu.synchronize();
        },
      ];
    }),
  ],
  [
    "a section left with another index than it was entered with",
    /^LockError: task 0 leaves a section of srcu with 1, which is not what it was given when it entered/,
    scenario((sim) => {
      const srcu = new Srcu(sim, "srcu");
      return [
        function* () {
          const section = yield* srcu.readLock();
          yield* srcu.readUnlock(section + 1);
        },
      ];
    }),
  ],
  [
    "a section left with the index of one before, which a grace period lies behind",
    /^LockError: task 0 leaves a section of srcu with 0, /,
    scenario((sim) => {
      const srcu = new Srcu(sim, "srcu");
      return [
        function* () {
          const first = yield* srcu.readLock();
          yield* srcu.readUnlock(first);
          yield* srcu.synchronize();
          yield* srcu.readLock();
          yield* srcu.readUnlock(first);
        },
      ];
    }),
  ],
  [
    "a section left by who has not entered it",
    /^LockError: task 1 leaves a section of srcu and is in none/,
    scenario((sim) => {
      const srcu = new Srcu(sim, "srcu");
      const cell = new Cell();
      return [
        function* () {
          yield* srcu.readLock();
          yield* cell.set(1);
        },
        function* () {
          yield* sim.wait(cell);
          yield* srcu.readUnlock(0);
        },
      ];
    }),
  ],
  [
    "a wait for a grace period under a spinlock, with no reader inside",
    /^Deadlock: task 0 would sleep with a spinlock held/,
    scenario((sim) => {
      const [spinlock, srcu] = [new Spinlock(sim, "spinlock"), new Srcu(sim, "srcu")];
      return [
        function* () {
          yield* spinlock.lock();
          yield* srcu.synchronize();
        },
      ];
    }),
  ],
  [
    "a flush of work under a spinlock, with nothing queued",
    /^Deadlock: task 0 would sleep with a spinlock held/,
    scenario((sim) => {
      const [spinlock, queue] = [new Spinlock(sim, "spinlock"), new WorkQueue(sim, "events")];
      return [
        function* () {
          yield* spinlock.lock();
          yield* queue.drain();
        },
      ];
    }),
  ],
  [
    "three locks whose orders close a circle, by one context and without any deadlock",
    /^LockError: task 0 takes C then A; elsewhere the order is A, B, C$/,
    scenario((sim) => {
      const [a, b, c] = ["A", "B", "C"].map((name) => new Mutex(sim, name));
      return [
        function* () {
          for (const [outer, inner] of [[a, b], [b, c], [c, a]]) {
            yield* outer.lock();
            yield* inner.lock();
            yield* inner.unlock();
            yield* outer.unlock();
          }
        },
      ];
    }),
  ],
  [
    "a mutex kept by a context that has ended",
    /^LockError: task 0 has ended and holds mutex$/,
    scenario((sim) => [() => new Mutex(sim, "mutex").lock()]),
  ],
  [
    "a spinlock kept by a context that has ended",
    /^LockError: task 0 has ended and holds spinlock$/,
    scenario((sim) => [() => new Spinlock(sim, "spinlock").lock()]),
  ],
  [
    "a mutex that was only tried, and kept",
    /^LockError: task 0 has ended and holds mutex$/,
    scenario((sim) => [
      function* () {
        yield* new Mutex(sim, "mutex").tryLock();
      },
    ]),
  ],
  [
    "a reader section that nobody leaves",
    /^LockError: task 0 has ended inside a reader section$/,
    scenario((sim) => [
      function* () {
        yield* new Srcu(sim, "srcu").readLock();
      },
    ]),
  ],
  [
    "a signal of an eventfd whose last reference may be gone",
    /^UseAfterFree: the freed eventfd 0 is used by task 0/,
    scenario((sim) => {
      const eventfd = new EventfdContext(sim, 0, 0);
      return [() => eventfd.signal(), () => eventfd.put()];
    }),
  ],
  [
    "an element of a list used behind the reader's section",
    /^UseAfterFree: the freed Object is used by task 0/,
    scenario((sim) => {
      const srcu = new Srcu(sim, "srcu");
      const [list, link] = [new KernelList<object>(), new ListLink<object>({})];
      run(list.addHead(link));
      return [
        function* () {
          const section = yield* srcu.readLock();
          const found = yield* list.first();
          yield* srcu.readUnlock(section);
          if (found !== null) yield* list.next(link);
        },
        function* () {
          yield* list.remove(link);
          yield* srcu.synchronize();
          link.poison();
        },
      ];
    }),
  ],
  [
    "a list changed by two at once",
    /^LockError: task 1 changes a list in the middle of a change by task 0/,
    scenario(() => {
      const list = new KernelList<number>();
      const links = [0, 1].map((key) => new ListLink(key));
      for (const link of links) run(list.addTail(link));
      return links.map((link) => () => list.remove(link));
    }),
  ],
  [
    "a reference taken behind the last one that was dropped",
    /^UseAfterFree: the freed eventfd 0 is used by task 0/,
    scenario((sim) => {
      const eventfd = new EventfdContext(sim, 0, 0);
      return [
        function* () {
          eventfd.get();
          yield* eventfd.put();
        },
        () => eventfd.put(),
      ];
    }),
  ],
  [
    "the same of an object that announces both",
    /^UseAfterFree: taken too late/,
    scenario(() => {
      const counted = new Counted();
      return [
        function* () {
          yield* counted.get();
          yield* counted.put();
        },
        () => counted.put(),
      ];
    }),
  ],
  [
    "a lock that lies in what was freed",
    /^UseAfterFree: the freed account is used by task 0/,
    scenario((sim) => {
      const cell = new Cell();
      const account = new Account(sim);
      return [
        function* () {
          yield* account.lock.lock();
          yield* account.lock.unlock();
        },
        function* () {
          yield* cell.get();
          account.lifetime.free();
        },
      ];
    }),
  ],
  [
    "memory freed twice",
    /^UseAfterFree: the freed account is freed once more by task [01]/,
    scenario((sim) => {
      const account = new Account(sim);
      return [0, 1].map(() => () => freeing(account));
    }),
  ],
  [
    "work that is queued and freed",
    /^UseAfterFree: the freed work is used by events/,
    scenario((sim) => {
      const queue = new WorkQueue(sim, "events");
      const [item, lifetime] = [new Nothing(), new Lifetime("work")];
      lifetime.spans(item);
      return [
        function* () {
          yield* queue.queue(item);
          lifetime.free();
        },
      ];
    }),
  ],
  [
    "a flag that nobody sets",
    /^deadlock: task 0 .*waits for Cell/,
    scenario((sim) => {
      const cell = new Cell();
      return [() => sim.wait(cell)];
    }),
  ],
  [
    "two that each look for what the other does afterwards",
    /^livelock: after \d+ steps no end .*: task 0 and task 1 go round/,
    scenario(() => {
      const done = [new Cell(), new Cell()];
      const second = (own: Cell, other: Cell): (() => Step<void>) =>
        function* () {
          while ((yield* other.get()) === 0);
          yield* own.set(1);
        };
      return [second(done[0], done[1]), second(done[1], done[0])];
    }),
  ],
];

const legal = scenario((sim) => {
  const [outer, inner] = [new Srcu(sim, "outer"), new Srcu(sim, "inner")];
  return [
    function* () {
      const [first, second] = [yield* outer.readLock(), yield* inner.readLock()];
      yield* outer.readUnlock(first);
      yield* inner.readUnlock(second);
    },
  ];
});

/** Two that give way to each other: in turn, for ever. */
const yielding = scenario((sim) => {
  const [a, b] = [new Mutex(sim, "A"), new Mutex(sim, "B")];
  const both = (first: Mutex, second: Mutex): (() => Step<void>) =>
    function* () {
      for (;;) {
        yield* first.lock();
        const isDone = yield* second.tryLock();
        if (isDone) yield* second.unlock();
        yield* first.unlock();
        if (isDone) return;
      }
    };
  return [both(a, b), both(b, a)];
});

const STRATEGIES = ["preemption", "dfs", "dpor"] as const;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("found without anyone asking", () => {
  it.each(CASES)("%s", (_name, message, program) => {
    expect(explore(program, { accesses: 400 })).toMatchObject({ verdict: "violation", message: expect.stringMatching(message) });
  });

  it.each(CASES)("%s: also by the reduction", (name, message, program) => {
    const { violation } = search(protocolOf(name, program), { strategy: "dpor", steps: 400, shrink: false });
    expect(violation?.message).toMatch(message);
  });

  it("not: sections of two domains, left in the order in which they were entered", () => {
    expect(explore(legal)).toMatchObject({ verdict: "ok", exhausted: true });
  });

  it.each(STRATEGIES)("two that make way for each other for ever, in the first execution: %s", (strategy) => {
    const { violation, executions } = search(protocolOf("yielding", yielding), { strategy });
    expect(violation?.message).toMatch(/^livelock: .*: task 0 and task 1 go round$/);
    expect(executions).toBe(1);
  });

  it("a property that looks at state when it hears of an event is refused: it would be in no order with who changes that", () => {
    const cell = new Cell();
    const looking: Scenario = () => {
      const sim = new Sim();
      const task = new Task("task", function* () {
        yield* new Cell().get();
        sim.emit(Ev.srcu_wait, "x");
      });
      const property = { name: "nosy", sentence: "", hears: ["srcu_wait"] as const, hear: () => (cell.value === 1 ? "late" : null) };
      return { sim, contexts: [task], properties: [property], check: () => null };
    };
    for (const strategy of STRATEGIES)
      expect(() => search(protocolOf("looking", looking), { strategy })).toThrow(/^property nosy: its hear\(\) looks at Cell\.value: it may go by events alone, and looks at state in check\(\) or end\(\)$/);
  });
});
