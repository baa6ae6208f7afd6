import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { eventfd2 } from "./eventfd.js";
import { world, write, read, contextOf, Note, Taker, Relay } from "./eventfd.fixture.js";

describe("wait queues", () => {
  it("call priority entries first, pollers newest first, sleepers last in their order", () => {
    const { process } = world();
    const { waiters } = contextOf(process, eventfd2(process, 0, 0));
    const log: string[] = [];
    run(waiters.lock.lock());
    waiters.addSleeper(new Note("s1", log));
    waiters.addSleeper(new Note("s2", log));
    run(waiters.lock.unlock());
    run(waiters.addEntry(new Note("p1", log)));
    expect(run(waiters.addPriorityExclusive(new Note("irqfd", log)))).toBe(true);
    run(waiters.addEntry(new Note("p2", log)));
    expect(run(waiters.addPriorityExclusive(new Note("second", log)))).toBe(false);
    run(waiters.wake(EPOLLIN));
    expect(log.map((line) => line.split(":")[0])).toEqual(["irqfd", "p2", "p1", "s1", "s2"]);
  });

  it("stop at an exclusive entry that takes the event, at a negative answer, and not at a poller that says 1", () => {
    const answers = (irqfd: number, poller: number): string[] => {
      const { process } = world();
      const { waiters } = contextOf(process, eventfd2(process, 0, 0));
      const log: string[] = [];
      run(waiters.addEntry(new Note("last", log)));
      run(waiters.addEntry(new Note("poller", log, poller)));
      run(waiters.addPriorityExclusive(new Note("irqfd", log, irqfd)));
      run(waiters.wake(EPOLLIN));
      return log.map((line) => line.split(":")[0]);
    };
    expect(answers(1, 0)).toEqual(["irqfd"]);
    expect(answers(0, 1)).toEqual(["irqfd", "poller", "last"]);
    expect(answers(0, -1)).toEqual(["irqfd", "poller"]);
  });

  it("keep the order under any additions and removals", () => {
    const kinds = fc.constantFrom("poller", "sleeper", "priority", "remove");
    fc.assert(
      fc.property(fc.array(fc.tuple(kinds, fc.nat(20)), { maxLength: 30 }), (operations) => {
        const { process } = world();
        const { waiters } = contextOf(process, eventfd2(process, 0, 0));
        let model: Note[] = [];
        let priority: Note | null = null;
        operations.forEach(([kind, index], i) => {
          const note = new Note(`${kind}${i}`, []);
          if (kind === "poller") {
            run(waiters.addEntry(note));
            model.splice(priority === null ? 0 : 1, 0, note);
          } else if (kind === "sleeper") {
            run(waiters.lock.lock());
            waiters.addSleeper(note);
            run(waiters.lock.unlock());
            model.push(note);
          } else if (kind === "priority") {
            expect(run(waiters.addPriorityExclusive(note))).toBe(priority === null);
            if (priority === null) model.unshift((priority = note));
          } else if (model.length > 0) {
            const gone = model[index % model.length];
            run(waiters.removeEntry(gone));
            if (gone === priority) priority = null;
            model = model.filter((other) => other !== gone);
          }
          expect(waiters.entries()).toEqual(model);
        });
      }),
      { numRuns: 60 },
    );
  });

  it("let an irqfd take signals and let a hang-up reach everybody", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, 0);
    const context = contextOf(process, fd);
    const log: string[] = [];
    const taker = new Taker(context);
    run(context.waiters.addEntry(new Note("poller", log)));
    run(context.waiters.addPriorityExclusive(taker));
    run(context.signal());
    run(context.signal());
    expect([taker.wakes, context.count, context.signals, log.length]).toEqual([2, 0n, 2, 0]);
    run(process.close(fd));
    expect(log).toEqual([`poller:${EPOLLHUP}`]);
  });

  it("consume and unlink under one hold, and wake writers only when something was taken", () => {
    const { process } = world();
    const context = contextOf(process, eventfd2(process, 2, 0));
    const log: string[] = [];
    const taker = new Taker(context);
    run(context.waiters.addPriorityExclusive(taker));
    run(context.waiters.addEntry(new Note("writer", log)));
    expect(run(context.removeWaitAndConsume(taker))).toBe(true);
    expect(log).toEqual([`writer:${EPOLLOUT}`]);
    expect(run(context.removeWaitAndConsume(taker))).toBe(false);
    expect([log.length, context.count, context.waiters.entries().length]).toEqual([1, 0n, 1]);
  });
});

describe("the recursion guard", () => {
  it("refuses a signal from inside the wake-up of a signal or a write, not from a last close", () => {
    const { process, trace } = world();
    const first = eventfd2(process, 0, 0);
    const second = contextOf(process, eventfd2(process, 0, 0));
    const relay = new Relay(second);
    run(contextOf(process, first).waiters.addEntry(relay));
    run(contextOf(process, first).signal());
    expect([relay.depth, second.count, second.signals]).toEqual([1, 0n, 0]);
    write(process, first, 1n);
    expect(second.count).toBe(0n);
    read(process, first);
    expect(second.count).toBe(0n);
    expect(trace.lines("eventfd_signal", "eventfd_refused")).toEqual(["eventfd_signal(0)", "eventfd_refused(1)", "eventfd_refused(1)", "eventfd_refused(1)"]);
    run(process.close(first));
    expect([relay.depth, second.count]).toEqual([0, 1n]);
  });
});
