import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UseAfterFree } from "../sim/list.js";
import { Sim } from "../sim/sim.js";
import { run } from "../sim/step.js";
import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMFILE } from "../uapi/errno.js";
import { EFD_NONBLOCK, EFD_SEMAPHORE, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { eventfd2, eventfdContextOf } from "./eventfd.js";
import { pipe2 } from "./pipe.js";
import { Process } from "./process.js";
import { Thread } from "./thread.fixture.js";
import { BUFFER, MAX, world, write, read, fileOf, poll, contextOf, Note } from "./eventfd.fixture.js";

describe("eventfd vectors", () => {
  it("vector 1: an unknown flag is EINVAL", () => {
    expect(eventfd2(world().process, 0, 0x4)).toBe(-EINVAL);
  });

  it("vector 2: a read takes the count, the next finds nothing", () => {
    const { process } = world();
    const fd = eventfd2(process, 3, EFD_NONBLOCK);
    expect(read(process, fd)).toBe(3n);
    expect(read(process, fd)).toBe(-EAGAIN);
  });

  it("vector 3: a semaphore gives one at a time", () => {
    const { process } = world();
    const fd = eventfd2(process, 3, EFD_SEMAPHORE);
    expect(read(process, fd)).toBe(1n);
    expect(fileOf(process, fd).fdinfo()).toBe(`eventfd-count: ${" ".repeat(15)}2\neventfd-id: 0\neventfd-semaphore: 1\n`);
  });

  it("vector 4: 2^64-1 cannot be written", () => {
    const { process } = world();
    expect(write(process, eventfd2(process, 0, EFD_NONBLOCK), MAX)).toBe(-EINVAL);
  });

  it("vector 5: at 2^64-2 it is readable and not writable", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, EFD_NONBLOCK);
    expect(write(process, fd, MAX - 1n)).toBe(8);
    expect(poll(process, fd)).toBe(EPOLLIN);
    expect(write(process, fd, 1n)).toBe(-EAGAIN);
  });

  it("vector 6: only the kernel's signal reaches 2^64-1, and nothing passes it", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, EFD_NONBLOCK);
    write(process, fd, MAX - 1n);
    run(contextOf(process, fd).signal());
    expect(poll(process, fd)).toBe(EPOLLIN | EPOLLERR);
    run(contextOf(process, fd).signal());
    expect(contextOf(process, fd).count).toBe(MAX);
  });

  it("vector 7: a short read and any write but 8 bytes are EINVAL", () => {
    const { process } = world();
    const fd = eventfd2(process, 1, EFD_NONBLOCK);
    expect(read(process, fd, 4)).toBe(-EINVAL);
    expect(write(process, fd, 1n, 4)).toBe(-EINVAL);
    expect(write(process, fd, 1n, 16)).toBe(-EINVAL);
    expect(read(process, fd, 16)).toBe(1n);
  });

  it("vector 8: writing 0 succeeds and changes nothing", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, EFD_NONBLOCK);
    expect(write(process, fd, 0n)).toBe(8);
    expect(poll(process, fd)).toBe(EPOLLOUT);
  });
});

describe("an eventfd", () => {
  it("wakes with EPOLLIN on a write of 0", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, 0);
    const log: string[] = [];
    run(contextOf(process, fd).waiters.addEntry(new Note("poller", log)));
    write(process, fd, 0n);
    expect(log).toEqual([`poller:${EPOLLIN}`]);
  });

  it("never wraps and never loses: any mix of writes, signals and reads equals a 64-bit model", () => {
    const edge = fc.oneof(fc.bigInt(0n, MAX), fc.bigInt(0n, 3n), fc.bigInt(MAX - 3n, MAX), fc.bigInt(0xffff_fffen, 0x1_0000_0001n));
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), value: edge }),
      fc.record({ kind: fc.constantFrom("read" as const, "signal" as const), value: fc.constant(0n) }),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.integer({ min: 0, max: 0xffff_ffff }), fc.array(operation), (isSemaphore, initial, operations) => {
        const { process } = world();
        const fd = eventfd2(process, initial, EFD_NONBLOCK | (isSemaphore ? EFD_SEMAPHORE : 0));
        let count = BigInt(initial);
        for (const { kind, value } of operations) {
          if (kind === "signal") {
            run(contextOf(process, fd).signal());
            if (count < MAX) count++;
          } else if (kind === "write") {
            const fits = MAX - count > value;
            expect(write(process, fd, value)).toBe(value === MAX ? -EINVAL : fits ? 8 : -EAGAIN);
            if (value !== MAX && fits) count += value;
          } else {
            const taken = isSemaphore && count > 0n ? 1n : count;
            expect(read(process, fd)).toBe(count === 0n ? -EAGAIN : taken);
            count -= taken;
          }
          expect(contextOf(process, fd).count).toBe(count);
          const ready = (count > 0n ? EPOLLIN : 0) | (count < MAX - 1n ? EPOLLOUT : 0) | (count === MAX ? EPOLLERR : 0);
          expect(poll(process, fd)).toBe(ready);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("outlives its file: a context reference still signals, the last one frees", () => {
    const { process } = world();
    const fd = eventfd2(process, 0, 0);
    const context = eventfdContextOf(process, fd);
    if (typeof context === "number") throw new Error("no context");
    const log: string[] = [];
    run(context.waiters.addEntry(new Note("poller", log)));
    const copy = process.dup(fd);
    run(process.close(fd));
    expect(log).toEqual([]);
    run(process.close(copy));
    expect(log).toEqual([`poller:${EPOLLHUP}`]);
    run(context.signal());
    expect(context.count).toBe(1n);
    run(context.put());
    expect(() => run(context.signal())).toThrow(UseAfterFree);
  });

  it("has an id that is unique while it lives and used again afterwards", () => {
    const { process } = world();
    const fds = [0, 1, 2].map(() => eventfd2(process, 0, 0));
    expect(fds.map((fd) => contextOf(process, fd).id)).toEqual([0, 1, 2]);
    run(process.close(fds[1]));
    expect(contextOf(process, eventfd2(process, 0, 0)).id).toBe(1);
    expect(contextOf(process, eventfd2(process, 0, 0)).id).toBe(3);
  });

  it("is told from other descriptors by EBADF and EINVAL", () => {
    const { process } = world();
    const ends = pipe2(process);
    if (typeof ends === "number") throw new Error("no pipe");
    expect(eventfdContextOf(process, -1)).toBe(-EBADF);
    expect(eventfdContextOf(process, 77)).toBe(-EBADF);
    expect(eventfdContextOf(process, ends[0])).toBe(-EINVAL);
  });

  it("gives EFAULT for memory that is not there: a write changes nothing, a read has taken the count", () => {
    const { process } = world();
    const fd = eventfd2(process, 5, EFD_NONBLOCK);
    expect(run(process.write(fd, 4, 8))).toBe(-EFAULT);
    expect(contextOf(process, fd).count).toBe(5n);
    expect(run(process.read(fd, 4, 8))).toBe(-EFAULT);
    expect(contextOf(process, fd).count).toBe(0n);
  });

  it("is refused without a free descriptor", () => {
    const process = new Process(new Sim(), "small", { descriptorLimit: 1 });
    expect(eventfd2(process, 0, 0)).toBe(0);
    expect(eventfd2(process, 0, 0)).toBe(-EMFILE);
  });
});

describe("blocking", () => {
  it("a reader sleeps until somebody writes", () => {
    const { process, sim } = world();
    const fd = eventfd2(process, 0, 0);
    sim.wake(
      new Thread("writer", function* () {
        process.memory.setU64(BUFFER + 64, 7);
        yield* process.write(fd, BUFFER + 64, 8);
      }),
      100,
    );
    expect(read(process, fd)).toBe(7n);
    expect(contextOf(process, fd).waiters.entries()).toEqual([]);
  });

  it("a writer sleeps until its value fits", () => {
    const { process, sim } = world();
    const fd = eventfd2(process, 0, 0);
    write(process, fd, MAX - 1n);
    sim.wake(
      new Thread("reader", function* () {
        yield* process.read(fd, BUFFER + 64, 8);
      }),
      100,
    );
    expect(write(process, fd, 2n)).toBe(8);
    expect(contextOf(process, fd).count).toBe(2n);
  });

  it("a signal to the thread ends both sleeps with EINTR", () => {
    const { process, sim } = world();
    const fd = eventfd2(process, 0, 0);
    const results: number[] = [];
    const sleeper = new Thread("sleeper", function* () {
      results.push(yield* process.read(fd, BUFFER, 8));
      sleeper.signalPending = false;
    });
    sim.wake(sleeper, 0);
    sim.wake(
      new Thread("killer", function* () {
        sleeper.signalPending = true;
      }),
      10,
    );
    run(sim.settle());
    expect(results).toEqual([-EINTR]);
  });

  it("what came together with a signal is taken", () => {
    const { process, sim } = world();
    const fd = eventfd2(process, 0, 0);
    const results: number[] = [];
    const sleeper = new Thread("sleeper", function* () {
      results.push(yield* process.read(fd, BUFFER, 8));
      results.push(yield* process.read(fd, BUFFER, 8));
      sleeper.signalPending = false;
    });
    sim.wake(sleeper, 0);
    sim.wake(
      new Thread("writer", function* () {
        process.memory.setU64(BUFFER + 64, 7);
        yield* process.write(fd, BUFFER + 64, 8);
        sleeper.signalPending = true;
      }),
      10,
    );
    run(sim.settle());
    expect(results).toEqual([8, -EINTR]);
  });
});
