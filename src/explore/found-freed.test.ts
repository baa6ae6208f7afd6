import { describe } from "vitest";
import { EventfdContext } from "../host/eventfd.js";
import { counts } from "../sim/access.js";
import { Lifetime, UseAfterFree } from "../sim/lifetime.js";
import { KernelList, ListLink } from "../sim/list.js";
import { Spinlock } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { type Found, itFinds, scenario } from "./found.fixture.js";
import { Cell } from "./small.fixture.js";

class Account {
  readonly lock: Spinlock;
  readonly lifetime = new Lifetime("account");
  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "account");
    this.lifetime.spans(this, this.lock);
  }
}

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

const CASES: Found[] = [
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
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("found without anyone asking: what was freed", () => {
  itFinds(CASES);
});
