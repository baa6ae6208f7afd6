import { Mutex } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import type { Protocol } from "./protocol.js";
import { Cell, Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

export const protocolOf = (name: string, program: Scenario): Protocol => ({ name, title: name, source: "", program });

/** Tasks that add one by reading and writing, under a lock or not. */
export const counter = (tasks: number, isLocked: boolean): Protocol =>
  protocolOf(`counter ${tasks} ${isLocked}`, () => {
    const sim = new Sim();
    const cell = new Cell();
    const lock = new Mutex(sim, "counter");
    const task = (name: string): Task =>
      new Task(name, function* () {
        if (isLocked) yield* lock.lock();
        const value = yield* cell.get();
        yield* cell.set(value + 1);
        if (isLocked) yield* lock.unlock();
      });
    const contexts = Array.from({ length: tasks }, (_, i) => task(`task ${i}`));
    return { sim, contexts, check: () => null, end: () => (cell.value === tasks ? null : `the count is ${cell.value}, not ${tasks}`) };
  });

export const deadlock = protocolOf("deadlock", () => {
  const sim = new Sim();
  const [a, b] = [new Mutex(sim, "fork"), new Mutex(sim, "fork")];
  const task = (name: string, first: Mutex, second: Mutex): Task =>
    new Task(name, function* () {
      yield* first.lock();
      yield* second.lock();
      yield* second.unlock();
      yield* first.unlock();
    });
  return { sim, contexts: [task("left", a, b), task("right", b, a)], check: () => null };
});

/** Two tasks on one cell: more executions than one unit may make. */
export const long = protocolOf("long", () => {
  const cell = new Cell();
  const task = (i: number): Task =>
    new Task(`task ${i}`, function* () {
      for (let n = 0; n < 6; n++) yield* cell.add(i + 1);
    });
  return { sim: new Sim(), contexts: [task(0), task(1)], check: () => null };
});

/** Broken only in an order that a search from the first one comes to late. */
export const deep = protocolOf("deep", () => {
  const cell = new Cell();
  const log: number[] = [];
  const task = (i: number): Task =>
    new Task(`task ${i}`, function* () {
      for (let n = 0; n < 5; n++) {
        yield* cell.add(1);
        log.push(i);
      }
    });
  return { sim: new Sim(), contexts: [task(0), task(1)], check: () => null, end: () => (log.join("") === "1010101010" ? "the order is taken in turn" : null) };
});

/** What a worker loads: the protocol of that name. */
export async function loadProtocol(source: unknown): Promise<Protocol> {
  const found = [long, deep, deadlock, counter(3, false)].find(({ name }) => name === source);
  if (found === undefined) throw new Error(`no protocol ${String(source)}`);
  return found;
}
