import { describe, expect, it } from "vitest";
import { EventfdContext } from "../host/eventfd.js";
import { guarded } from "../sim/access.js";
import { Mutex, Spinlock } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { explore } from "./explorer.js";
import { Cell, Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

class Account {
  balance = 0;
  readonly lock: Spinlock;
  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "account");
  }
}
guarded(Account, (account) => account.lock, "balance");

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
    "a section left that is not the innermost",
    /^LockError: task 0 leaves an outer section that is not its innermost/,
    scenario((sim) => {
      const [outer, inner] = [new Srcu(sim, "outer"), new Srcu(sim, "inner")];
      return [
        function* () {
          const section = yield* outer.readLock();
          yield* inner.readLock();
          yield* outer.readUnlock(section);
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
    "a flag that nobody sets",
    /^deadlock: task 0 .*waits for Cell/,
    scenario((sim) => {
      const cell = new Cell();
      return [() => sim.wait(cell)];
    }),
  ],
  [
    "two that each look for what the other does afterwards",
    /^livelock: after 400 steps no end .*: task 0 and task 1 go round/,
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

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("found without anyone asking", () => {
  it.each(CASES)("%s", (_name, message, program) => {
    expect(explore(program, { accesses: 400 })).toMatchObject({ verdict: "violation", message: expect.stringMatching(message) });
  });
});
