import { describe, expect, it } from "vitest";
import { Mutex } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { Cell, enumerate, program, reduce, Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

const PLAIN = 250_000;
const cells = (n: number): Cell[] => Array.from({ length: n }, () => new Cell());
const values = (all: readonly Cell[]): string => all.map(({ value }) => value).join();
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** N tasks, each given its number, over some cells. */
function tasks(n: number, cellCount: number, body: (i: number, all: Cell[], sim: Sim) => () => Step<void>): Scenario {
  return () => {
    const sim = new Sim();
    const all = cells(cellCount);
    return program({ sim, contexts: range(n).map((i) => new Task(`t${i}`, body(i, all, sim))) }, () => values(all));
  };
}

const writers = (n: number): Scenario =>
  tasks(n, 1, (i, [x]) => function* () {
    yield* x.set(i);
  });

const readers = (n: number): Scenario =>
  tasks(n + 1, 1, (i, [x]) => function* () {
    if (i === 0) yield* x.set(1);
    else yield* x.get();
  });

const readersOfTwo = (n: number, writes: number): Scenario =>
  tasks(n + 1, 1, (i, [x]) => function* () {
    for (let k = 0; k < (i === 0 ? writes : 1); k++)
      if (i === 0) yield* x.set(k);
      else yield* x.get();
  });

const independent = (n: number, steps: number): Scenario =>
  tasks(n, n, (i, all) => function* () {
    for (let k = 0; k < steps; k++) yield* all[i].set(k);
  });

/** Flanagan, Godefroid: who writes cell i has read cell i-1; one reader looks for the last zero. */
const lastZero = (n: number): Scenario =>
  tasks(n + 1, n + 1, (i, all) => function* () {
    if (i === 0) for (let k = n; (yield* all[k].get()) !== 0; ) k--;
    else {
      const before = yield* all[i - 1].get();
      yield* all[i].set(before + 1);
    }
  });

/** Flanagan, Godefroid, POPL 2005: tasks take inodes, and a block for each that has none. */
const fileSystem = (n: number, inodes = 32, blocks = 26): Scenario => () => {
  const sim = new Sim();
  const [inode, busy] = [cells(inodes), cells(blocks)];
  const locks = (count: number, name: string): Mutex[] => range(count).map(() => new Mutex(sim, name));
  const [lockI, lockB] = [locks(inodes, "inode"), locks(blocks, "block")];
  const task = (t: number): Task =>
    new Task(`t${t}`, function* () {
      const i = t % inodes;
      yield* lockI[i].lock();
      if ((yield* inode[i].get()) === 0)
        for (let found = false, b = (i * 2) % blocks; !found; b = (b + 1) % blocks) {
          yield* lockB[b].lock();
          found = (yield* busy[b].get()) === 0;
          if (found) {
            yield* busy[b].set(1);
            yield* inode[i].set(b + 1);
          }
          yield* lockB[b].unlock();
        }
      yield* lockI[i].unlock();
    });
  return program({ sim, contexts: range(n).map(task) }, () => values([...inode, ...busy]));
};

/** Each task takes lock i and then lock i+1. */
const lockChain = (n: number): Scenario => () => {
  const sim = new Sim();
  const locks = range(n + 1).map((i) => new Mutex(sim, `lock ${i}`));
  const log: number[] = [];
  const task = (i: number): Task =>
    new Task(`t${i}`, function* () {
      yield* locks[i].lock();
      yield* locks[i + 1].lock();
      yield* locks[i + 1].unlock();
      yield* locks[i].unlock();
    });
  return program({ sim, contexts: range(n).map(task) }, () => log.join());
};

const oneLock = (n: number): Scenario => () => {
  const sim = new Sim();
  const lock = new Mutex(sim, "lock");
  const x = new Cell();
  const task = (i: number): Task =>
    new Task(`t${i}`, function* () {
      yield* lock.lock();
      const before = yield* x.get();
      yield* x.set(2 * before + i);
      yield* lock.unlock();
    });
  return program({ sim, contexts: range(n).map(task) }, () => values([x]));
};

/** Two philosophers may wait for each other for ever: classes that end so count too. */
const philosophers = (n: number): Scenario => () => {
  const sim = new Sim();
  const forks = range(n).map(() => new Mutex(sim, "fork"));
  const task = (i: number): Task =>
    new Task(`t${i}`, function* () {
      yield* forks[i].lock();
      yield* forks[(i + 1) % n].lock();
      yield* forks[(i + 1) % n].unlock();
      yield* forks[i].unlock();
    });
  return program({ sim, contexts: range(n).map(task) }, () => "all have eaten");
};

/** Producers fill a cell and wake one consumer, whose body takes what it finds. */
const producers = (n: number): Scenario => () => {
  const sim = new Sim();
  const x = new Cell();
  const seen: number[] = [];
  const consumer = new Task("consumer", function* () {
    seen.push(yield* x.get());
  });
  const task = (i: number): Task =>
    new Task(`t${i}`, function* () {
      yield* x.add(1);
      sim.wake(consumer, 0);
    });
  return program({ sim, contexts: range(n).map(task) }, () => seen.join());
};

/** One waits for a flag that another sets, after a write of its own. */
const barber = (customers: number): Scenario => () => {
  const sim = new Sim();
  const [chair, served] = cells(2);
  const customer = (i: number): Task =>
    new Task(`customer ${i}`, function* () {
      if (yield* chair.swap(0, i + 1)) return;
      yield* served.add(10);
    });
  const cutter = new Task("barber", function* () {
    yield* sim.wait(chair);
    yield* served.add(1);
    yield* chair.set(0);
  });
  return program({ sim, contexts: [cutter, ...range(customers).map(customer)] }, () => values([chair, served]));
};

/** Flanagan, Godefroid: each task hashes its messages into one table, free of collisions up to eleven tasks. */
const SIZE = 128;
const indexer = (n: number): Scenario => () => {
  const sim = new Sim();
  const table = cells(SIZE);
  const task = (t: number): Task =>
    new Task(`t${t}`, function* () {
      for (let m = 1; m <= 4; m++) {
        const w = m * 11 + t;
        for (let h = (w * 7) % SIZE; !(yield* table[h].swap(0, w)); ) h = (h + 1) % SIZE;
      }
    });
  return program({ sim, contexts: range(n).map(task) }, () => values(table));
};

class Add extends WorkItem {
  constructor(
    private readonly cell: Cell,
    private readonly value: number,
  ) {
    super();
  }
  override *work(): Step<void> {
    const before = yield* this.cell.get();
    yield* this.cell.set(2 * before + this.value);
  }
}

const queued = (n: number): Scenario => () => {
  const sim = new Sim();
  const x = new Cell();
  const queue = new WorkQueue(sim, "events");
  const task = (i: number): Task =>
    new Task(`t${i}`, function* () {
      const item = new Add(x, i);
      yield* queue.queue(item);
      yield* queue.flush(item);
    });
  return program({ sim, contexts: range(n).map(task) }, () => values([x]));
};

/** SB, the litmus test: each writes its own cell and reads the other's. */
const storeBuffer: Scenario = tasks(2, 4, (i, all) => function* () {
  yield* all[i].set(1);
  yield* all[2 + i].set((yield* all[1 - i].get()) + 1);
});

/** IRIW: two write, two read both in opposite order. */
const iriw: Scenario = tasks(4, 2, (i, all) => function* () {
  if (i < 2) yield* all[i].set(1);
  else {
    yield* all[i - 2].get();
    yield* all[3 - i].get();
  }
});

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("partial-order reduction", () => {
  const known: [string, Scenario, number][] = [
    ...range(5).map((n): [string, Scenario, number] => [`${n + 1} writers of one cell: n!`, writers(n + 1), factorial(n + 1)]),
    ...range(5).map((n): [string, Scenario, number] => [`a writer and ${n + 1} readers: 2^n`, readers(n + 1), 2 ** (n + 1)]),
    ...range(3).map((n): [string, Scenario, number] => [`${n + 1} writes and 3 readers: (n+1)^3`, readersOfTwo(3, n + 1), (n + 2) ** 3]),
    ["four tasks of three steps that share nothing: 1", independent(4, 3), 1],
    ["three tasks under one lock: 3!", oneLock(3), 6],
    ["four tasks under one lock: 4!", oneLock(4), 24],
    ["a chain of 4 tasks and 5 locks: each of the 3 inner locks is taken in either order", lockChain(4), 8],
    // The numbers of the table in POPL 2014, section 9, for optimal DPOR.
    ["file system of 13", fileSystem(13), 1],
    ["file system of 14", fileSystem(14), 2],
    ["file system of 16", fileSystem(16), 8],
    ["file system of 19", fileSystem(19), 64],
    ["indexer of 11", indexer(11), 1],
    ["indexer of 12", indexer(12), 8],
    ["last zero of 5", lastZero(5), 64],
    ["last zero of 10", lastZero(10), 3328],
    ["a writer and 8 readers", readers(8), 256],
    ["store buffers: 3", storeBuffer, 3],
    ["independent reads of independent writes: 2^4 - 1, as no two readers may disagree", iriw, 15],
  ];
  it.each(known)("%s", (_name, scenario, classes) => {
    const { executions } = reduce(scenario);
    expect(executions).toBe(classes);
  });

  const compared: [string, Scenario][] = [
    ["4 writers", writers(4)],
    ["a writer and 3 readers", readers(3)],
    ["last zero of 2", lastZero(2)],
    ["2 tasks of a file system over one inode", fileSystem(2, 1, 2)],
    ["a chain of 3 locks", lockChain(2)],
    ["3 under one lock", oneLock(3)],
    ["2 philosophers", philosophers(2)],
    ["3 philosophers", philosophers(3)],
    ["2 producers by wake", producers(2)],
    ["3 producers by wake", producers(3)],
    ["a barber and 2 customers", barber(2)],
    ["a work item queued by two", queued(2)],
    ["indexer of 2", indexer(2)],
    ["store buffers", storeBuffer],
    ["independent reads", iriw],
  ];
  it.each(compared)("%s: one execution of each class of the plain enumeration, and every outcome of it", (_name, scenario) => {
    const plain = enumerate(scenario, PLAIN);
    const { executions, outcomes } = reduce(scenario);
    if (plain === null) throw new Error("too many executions to enumerate");
    expect({ executions, outcomes }).toEqual({ executions: plain.traces.size, outcomes: plain.outcomes });
  });
});
