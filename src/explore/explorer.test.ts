import { describe, expect, it } from "vitest";
import { Ev } from "../sim/event.js";
import { KernelList, ListLink } from "../sim/list.js";
import { Mutex } from "../sim/lock.js";
import { PersonError } from "../sim/person-error.js";
import { Sim } from "../sim/sim.js";
import { Srcu } from "../sim/srcu.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { explore, replay } from "./explorer.js";
import type { Property } from "./property.js";
import { counter } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";
import { parseSchedule, printSchedule } from "./schedule.js";
import type { Scenario } from "./trial.js";

const ok = (): null => null;

const counting = (isLocked: boolean): Scenario => () => counter(2, isLocked).program();

/** Writers of `counts[i]` accesses, each to a cell of its own. */
function writers(counts: readonly number[]): Scenario {
  return () => ({
    sim: new Sim(),
    contexts: counts.map((count, i) => {
      const cell = new Cell();
      return new Task(`writer ${i}`, function* () {
        for (let n = 0; n < count; n++) yield* cell.set(n);
      });
    }),
    check: ok,
  });
}

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

function mutexes(classes: readonly [string, string]): Scenario {
  return () => {
    const sim = new Sim();
    const [a, b] = [new Mutex(sim, classes[0]), new Mutex(sim, classes[1])];
    const task = (name: string, first: Mutex, second: Mutex): Task =>
      new Task(name, function* () {
        yield* first.lock();
        yield* second.lock();
        yield* second.unlock();
        yield* first.unlock();
      });
    return { sim, contexts: [task("one", a, b), task("two", b, a)], check: ok };
  };
}

/** A reader that walks a list while its only element is taken off and freed. */
function reclaim(waits: boolean): Scenario {
  return () => {
    const sim = new Sim();
    const srcu = new Srcu(sim, "list_srcu");
    const list = new KernelList<string>();
    const link = new ListLink("element");
    run(list.addHead(link));
    const reader = new Task("reader", function* () {
      const section = yield* srcu.readLock();
      const found = yield* list.first();
      if (found !== null) yield* list.next(link);
      yield* srcu.readUnlock(section);
    });
    const writer = new Task("writer", function* () {
      yield* list.remove(link);
      if (waits) yield* srcu.synchronize();
      link.poison();
    });
    return { sim, contexts: [reader, writer], check: ok };
  };
}

class Once extends WorkItem {
  constructor(readonly cell: Cell) {
    super();
  }
  override *work(): Step<void> {
    yield* this.cell.set(1);
  }
}

describe.runIf(STRAIGHT)("the explorer in the straight build", () => {
  it("says which build to use", () => {
    expect(() => explore(counting(true))).toThrow(PersonError);
  });
});

describe("schedules", () => {
  it("print and parse", () => {
    expect(printSchedule([0, 0, 0, 1, 2, 2])).toBe("a3bc2");
    expect(parseSchedule("a3bc2")).toEqual([0, 0, 0, 1, 2, 2]);
    expect(parseSchedule("")).toEqual([]);
    expect(printSchedule(parseSchedule("a3b~"))).toBe("a3b~");
    for (const wrong of ["3a", "a0", "a-1", "a b", "a~b", "a~~"]) expect(() => parseSchedule(wrong)).toThrow(PersonError);
  });
});

describe.skipIf(STRAIGHT)("the explorer", () => {
  it("asks a program's properties: of every event they hear, after every access, and at the end", () => {
    const first = (wanted: number): Scenario => () => {
      const sim = new Sim();
      const cell = new Cell();
      const raise = (gsi: number): Task =>
        new Task(`raise ${gsi}`, function* () {
          yield* cell.set(gsi);
          sim.emit(Ev.kvm_set_irq, gsi, 1, 0);
        });
      const heard: number[] = [];
      const order: Property = {
        name: "order",
        sentence: "the first event is the wanted one",
        hears: ["kvm_set_irq"],
        hear({ args: [gsi] }) {
          heard.push(Number(gsi));
          return heard[0] === wanted ? null : `${heard[0]} came first`;
        },
      };
      const last: Property = { name: "last", sentence: "one stays", end: () => (cell.value === 1 ? null : `${cell.value} stays`) };
      return { sim, contexts: [raise(1), raise(2)], properties: [order, last], check: ok };
    };
    expect(explore(first(1))).toMatchObject({ verdict: "violation", message: "2 stays" });
    expect(explore(first(2))).toMatchObject({ verdict: "violation", message: "1 came first" });
  });

  it("finds a lost update with one preemption, and none with a lock", () => {
    const found = explore(counting(false));
    expect(found).toMatchObject({ verdict: "violation", message: "the count is 1, not 2" });
    if (found.verdict !== "violation") throw new Error("unreachable");
    expect(found.schedule).toBe("a2b3a");
    expect(found.trace.map((line) => line.replace(/ src\/\S+/, ""))).toEqual([
      "task 0: reads Cell.value",
      "task 1: reads Cell.value",
      "task 1: writes Cell.value",
      "task 0: writes Cell.value",
    ]);
    expect(explore(counting(true), { preemptions: Infinity })).toMatchObject({ verdict: "ok", exhausted: true });
    expect(explore(counting(false), { preemptions: 0 })).toEqual({ verdict: "ok", interleavings: 2, exhausted: true });
  });

  it("replays a schedule to the same violation, goes on where it ends, and refuses one that does not fit", () => {
    expect(replay(counting(false), "a2b3a")).toMatchObject({ verdict: "violation", message: "the count is 1, not 2", schedule: "a2b3a" });
    expect(replay(counting(false), "a2b2")).toMatchObject({ verdict: "violation", schedule: "a2b3a" });
    expect(replay(counting(false), "")).toMatchObject({ verdict: "ok" });
    expect(() => replay(counting(false), "a4")).toThrow(PersonError);
    expect(() => replay(counting(false), "z")).toThrow("nobody of this letter");
  });

  it("runs every interleaving of independent writers once: their number is the multinomial", () => {
    for (const counts of [[1], [2, 2], [3, 4], [1, 1, 1, 1], [2, 3]]) {
      const steps = counts.map((n) => n + 1); // an entry is a step
      const total = steps.reduce((sum, n) => sum + n, 0);
      const expected = steps.reduce((product, n) => product / factorial(n), factorial(total));
      expect(explore(writers(counts), { preemptions: Infinity })).toEqual({ verdict: "ok", interleavings: expected, exhausted: true });
    }
  });

  it("counts preemptions: n writers have n! interleavings without any", () => {
    expect(explore(writers([3, 3, 3]), { preemptions: 0 })).toEqual({ verdict: "ok", interleavings: 6, exhausted: true });
    // a^k b* a^(4-k), an entry among the steps, for each order and each of three places.
    expect(explore(writers([3, 3]), { preemptions: 1 })).toMatchObject({ interleavings: 2 + 2 * 3 });
  });

  it("gives up at its limit and says so", () => {
    expect(explore(writers([5, 5]), { preemptions: Infinity, limit: 10 })).toEqual({ verdict: "ok", interleavings: 10, exhausted: false });
  });

  it("finds the deadlock of two mutexes taken in opposite order, and the order itself without one", () => {
    expect(explore(mutexes(["same", "same"]))).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^deadlock: one .*Mutex; two .*Mutex$/) });
    expect(explore(mutexes(["a", "b"]), { preemptions: 0 })).toMatchObject({ verdict: "violation", message: expect.stringContaining("the order is the other way round") });
  });

  it("finds a use after free in a list whose writer does not wait, and none with a grace period", () => {
    expect(explore(reclaim(false))).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^UseAfterFree: /) });
    expect(explore(reclaim(true), { preemptions: Infinity })).toMatchObject({ verdict: "ok", exhausted: true });
  });

  it("finds a silent access", () => {
    const scenario: Scenario = () => {
      const cell = new Cell();
      const task = new Task("one", function* () {
        yield* cell.silent();
      });
      return { sim: new Sim(), contexts: [task], check: ok };
    };
    expect(explore(scenario)).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^SilentAccess: /) });
  });

  it("checks after every access", () => {
    const scenario: Scenario = () => {
      const cell = new Cell();
      const task = new Task("one", function* () {
        yield* cell.set(1);
        yield* cell.set(0);
      });
      return { sim: new Sim(), contexts: [task], check: () => (cell.value === 0 ? null : "the value is not 0") };
    };
    expect(explore(scenario)).toMatchObject({ verdict: "violation", message: "the value is not 0", schedule: "a2" });
  });

  it("runs the workers that contexts wake, beside them", () => {
    const seen = new Set<string>();
    const scenario: Scenario = () => {
      const sim = new Sim();
      const cell = new Cell();
      const queue = new WorkQueue(sim, "events");
      const item = new Once(cell);
      let before = -1;
      const task = new Task("one", function* () {
        yield* queue.queue(item);
        before = yield* cell.get();
        yield* queue.flush(item);
        seen.add(`${before}, then ${yield* cell.get()}`);
      });
      return { sim, contexts: [task], check: ok };
    };
    expect(explore(scenario)).toMatchObject({ verdict: "ok", exhausted: true });
    expect([...seen].sort()).toEqual(["0, then 1", "1, then 1"]);
  });

  it("lets others move when a reader spins, and reports what never ends", () => {
    const spin = (ends: boolean): Scenario => () => {
      const sim = new Sim();
      const flag = new Cell();
      const reader = new Task("reader", function* () {
        while ((yield* flag.get()) === 0);
      });
      const writer = new Task("writer", function* () {
        yield* flag.set(ends ? 1 : 0);
      });
      return { sim, contexts: [writer, reader], check: ok };
    };
    expect(explore(spin(true))).toMatchObject({ verdict: "ok", exhausted: true });
    expect(explore(spin(false), { accesses: 1000 })).toMatchObject({ verdict: "violation", message: "livelock: after 0 steps no end within 5000 more in which every context has its turn: reader goes round" });
  });
});
