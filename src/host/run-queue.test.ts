import { describe, expect, it } from "vitest";
import type { Context } from "../sim/context.js";
import { costTable } from "../scenario/profile.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { BusyThread } from "./busy-thread.js";
import { GicHost } from "./gic/gic-host.js";
import { GicV3 } from "./gic/gicv3.js";
import { RunQueue, type RunQueueGroup } from "./run-queue.js";

const SLICE_NS = 1000;

/** CPUs that share threads; nothing costs time, so that turns are exact. */
class Turns {
  readonly trace = new TraceBuffer();
  readonly sim: Sim;
  readonly host: GicHost;
  private readonly group: RunQueueGroup = { sliceNs: SLICE_NS, queues: [], endsLeft: Infinity };

  constructor(cpus: number, costs = new Float64Array(costTable(COST_PROFILES[0]).length)) {
    this.sim = new Sim({ cpus: cpus + 1, trace: this.trace, costs });
    this.host = new GicHost(this.sim, new GicV3({ cpus, interrupts: 64 }));
    for (let cpu = 0; cpu < cpus; cpu++) RunQueue.add(this.sim, this.host.cpus[cpu], this.group);
  }

  thread(name: string, cpu: number, busyNs = Infinity): BusyThread {
    return new BusyThread(name, cpu, this.sim, this.host.cpus, busyNs);
  }

  start(...threads: Context[]): void {
    for (const thread of threads) this.sim.wake(thread, 0);
  }

  wake(thread: BusyThread): void {
    run(this.host.wakeThread(thread));
  }

  until(ns: number): void {
    run(this.sim.runUntil(ns));
  }

  /** Changes of thread as "time cpu:name". */
  get switches(): string[] {
    return this.trace.events.filter((each) => each.name === "sched_switch").map(({ timeNs, args }) => `${timeNs} ${args[0]}:${args[1]}`);
  }
}

describe("threads that share CPUs", () => {
  it("have a CPU by turns, each for a slice, in the order in which they came", () => {
    const turns = new Turns(1);
    turns.start(turns.thread("a", 0), turns.thread("b", 0), turns.thread("c", 0));
    turns.until(4500);
    expect(turns.switches).toEqual(["0 0:a", "1000 0:b", "2000 0:c", "3000 0:a", "4000 0:b"]);
  });

  it("one alone is not disturbed, and one that comes waits for the slice that has begun", () => {
    const turns = new Turns(1);
    turns.start(turns.thread("a", 0));
    turns.until(2500);
    turns.start(turns.thread("b", 0));
    turns.until(4000);
    expect(turns.switches).toEqual(["0 0:a", "2500 0:b", "3500 0:a"]);
  });

  it("one that slept takes the CPU at once, and the one that it took it from goes on before those that wait longer", () => {
    const turns = new Turns(1);
    const sleeper = turns.thread("s", 0, 100);
    turns.start(turns.thread("a", 0), turns.thread("b", 0));
    turns.until(300);
    turns.wake(sleeper);
    turns.until(900);
    expect(turns.switches).toEqual(["0 0:a", "300 0:s", "400 0:a"]);
  });

  it("however often it is taken from one, that one has a slice and no more before the next", () => {
    const turns = new Turns(1);
    const sleeper = turns.thread("s", 0, 100);
    turns.start(turns.thread("a", 0), turns.thread("b", 0));
    for (let i = 0; i < 4; i++) {
      turns.until(200 + 300 * i);
      turns.wake(sleeper);
    }
    turns.until(2000);
    expect(turns.switches).toEqual(["0 0:a", "200 0:s", "300 0:a", "500 0:s", "600 0:a", "800 0:s", "900 0:a", "1100 0:s", "1200 0:a", "1400 0:b"]);
  });

  it("one that slept does not take it from another that slept, before the end of that one's slice", () => {
    const turns = new Turns(1);
    const [first, second] = [turns.thread("s", 0, 600), turns.thread("t", 0, 600)];
    turns.start(turns.thread("a", 0));
    turns.until(100);
    turns.wake(first);
    turns.until(200);
    turns.wake(second);
    turns.until(2000);
    expect(turns.switches).toEqual(["0 0:a", "100 0:s", "700 0:t", "1300 0:a"]);
  });

  it("one that wakes while its CPU is busy goes to an idle one", () => {
    const turns = new Turns(2);
    turns.start(turns.thread("a", 0));
    turns.until(100);
    const sleeper = turns.thread("s", 0, 100);
    turns.wake(sleeper);
    turns.until(500);
    expect([turns.switches, sleeper.cpu]).toEqual([["0 0:a", "100 1:s", "200 1:idle"], 1]);
  });

  it("a CPU that has nothing to do takes what waits longest for the fullest one", () => {
    const turns = new Turns(2);
    const passing = turns.thread("p", 1, 1500);
    turns.start(turns.thread("a", 0), turns.thread("b", 0), turns.thread("c", 0), passing);
    turns.until(5000);
    // After the switch at 1000, c waits longer than a.
    expect(turns.switches.filter((each) => each.includes(" 1:"))).toEqual(["0 1:p", "1500 1:c"]);
  });

  it("a thread that is awake is not woken again: it neither jumps the queue nor counts", () => {
    const turns = new Turns(1);
    const waiting = turns.thread("b", 0);
    turns.start(turns.thread("a", 0), waiting);
    turns.until(100);
    turns.wake(waiting);
    turns.until(900);
    expect([turns.switches, turns.host.cpus[0].wakeups]).toEqual([["0 0:a"], 0]);
  });

  it("every thread gets as much as every other", () => {
    const turns = new Turns(3);
    turns.start(...Array.from({ length: 12 }, (_, i) => turns.thread(`t${i}`, i % 3)));
    turns.until(40_000);
    const had = new Map<string, number>();
    for (const each of turns.switches) had.set(each.split(":")[1], (had.get(each.split(":")[1]) ?? 0) + 1);
    expect([...had.values()].sort()).toEqual(new Array(12).fill(10));
  });
});
