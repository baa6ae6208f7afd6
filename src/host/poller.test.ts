import { describe, expect, it } from "vitest";
import { Context } from "../sim/context.js";
import { Cost, PRIMITIVES } from "../sim/cost.js";
import { Ev, TraceBuffer } from "../sim/event.js";
import { Sim } from "../sim/sim.js";
import { run, type Step } from "../sim/step.js";
import { EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { EventfdContext, EventfdFile } from "./eventfd.js";
import { Poller } from "./poller.js";

/** An event loop that notes what it finds and takes the counts. */
class Loop extends Context {
  readonly poller: Poller;
  readonly log: string[] = [];
  runs = 0;
  takes = true;

  constructor(readonly sim: Sim) {
    super("loop", "user", 0);
    this.poller = new Poller(this, this);
  }

  *wakeThread(thread: Context): Step<boolean> {
    const isWoken = this.sim.isIdle(thread);
    this.sim.wake(thread, this.sim.costOf(Cost.wake));
    if (isWoken) this.sim.emit(Ev.sched_wakeup, thread.name, thread.kind);
    return isWoken;
  }

  override *body(): Step<void> {
    this.runs++;
    for (let item = yield* this.poller.next(); item !== null; item = yield* this.poller.next()) {
      this.log.push(`${item.token}:${item.ready}@${this.sim.now()}`);
      if (!(item.file instanceof EventfdFile)) continue;
      const { context } = item.file;
      yield* context.waiters.lock.lock();
      if (this.takes || this.log.length >= 3) yield* context.consume();
      yield* context.waiters.lock.unlock();
    }
  }
}

function world() {
  const costs = new Float64Array(PRIMITIVES.length);
  costs[Cost.wake] = 50;
  const trace = new TraceBuffer();
  const sim = new Sim({ costs, trace });
  const eventfd = (count = 0): EventfdFile => new EventfdFile(new EventfdContext(sim, count, 0), true);
  return { sim, trace, loop: new Loop(sim), eventfd };
}

describe("a poller", () => {
  it("wakes its thread once for many signals, a wake-up later, and reports each ready file", () => {
    const { sim, trace, loop, eventfd } = world();
    const [a, b] = [eventfd(), eventfd()];
    run(loop.poller.add(a, EPOLLIN, 1));
    run(loop.poller.add(b, EPOLLIN, 2));
    run(a.context.signal());
    run(b.context.signal());
    run(a.context.signal());
    run(sim.settle());
    expect(loop.log).toEqual(["1:1@50", "2:1@50"]);
    expect(loop.runs).toBe(1);
    expect(trace.lines("sched_wakeup")).toEqual(["sched_wakeup(loop,user)"]);
  });

  it("samples a file that is ready when it is added", () => {
    const { sim, loop, eventfd } = world();
    run(loop.poller.add(eventfd(4), EPOLLIN, 9));
    run(sim.settle());
    expect(loop.log).toEqual(["9:1@50"]);
  });

  it("reports a level until it is gone, and nothing that went before the thread ran", () => {
    const { sim, loop, eventfd } = world();
    const [a, b] = [eventfd(), eventfd()];
    loop.takes = false;
    run(loop.poller.add(a, EPOLLIN, 1));
    run(loop.poller.add(b, EPOLLIN, 2));
    run(a.context.signal());
    run(b.context.signal());
    run(b.context.waiters.lock.lock());
    run(b.context.consume());
    run(b.context.waiters.lock.unlock());
    run(sim.settle());
    expect(loop.log).toEqual(["1:1@50", "1:1@50", "1:1@50"]);
  });

  it("ignores events that nobody asked for, and always takes a hang-up of a file that lives on", () => {
    const { sim, loop, eventfd } = world();
    const a = eventfd();
    run(loop.poller.add(a, EPOLLIN, 1));
    run(a.context.waiters.wake(EPOLLOUT));
    expect(sim.isQuiet()).toBe(true);
    run(a.context.waiters.wake(EPOLLHUP));
    expect(sim.isQuiet()).toBe(false);
    run(sim.settle());
    expect(loop.log).toEqual([]);
  });

  it("forgets what is removed and what is closed", () => {
    const { sim, loop, eventfd } = world();
    const [a, b, c] = [eventfd(), eventfd(), eventfd()];
    run(loop.poller.add(a, EPOLLIN, 1));
    const second = run(loop.poller.add(b, EPOLLIN, 2));
    run(loop.poller.add(c, EPOLLIN, 3));
    for (const file of [a, b, c]) run(file.context.signal());
    run(loop.poller.remove(second));
    run(c.put());
    run(sim.settle());
    expect(loop.log).toEqual(["1:1@50"]);
    run(b.context.signal());
    expect(sim.isQuiet()).toBe(true);
  });
});
