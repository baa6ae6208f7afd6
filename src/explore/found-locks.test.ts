import { describe, expect, it } from "vitest";
import { guarded } from "../sim/access.js";
import { KernelList, ListLink } from "../sim/list.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { WorkQueue } from "../sim/workqueue.js";
import { explore } from "./explorer.js";
import { type Found, itFinds, scenario } from "./found.fixture.js";
import { Cell } from "./small.fixture.js";

class Account {
  balance = 0;
  readonly lock: Spinlock;
  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "account");
  }
}
guarded(Account, (account) => account.lock, "balance");

const CASES: Found[] = [
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

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("found without anyone asking: locks and sections", () => {
  itFinds(CASES);

  it("not: sections of two domains, left in the order in which they were entered", () => {
    expect(explore(legal)).toMatchObject({ verdict: "ok", exhausted: true });
  });
});
