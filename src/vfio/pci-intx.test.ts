import { describe, expect, it } from "vitest";
import { Handler } from "../explore/stages/host-stage.js";
import { Irqf } from "../host/irq/types.js";
import { run } from "../sim/step.js";
import { EAGAIN, EBADF, EBUSY, EINVAL, ENOTTY } from "../uapi/errno.js";
import { BOOL, CLOSED, EVENTFD, INTX, MASK, NONE, PciStage, type PciStageOptions, pipeOf, TRIGGER, UNMASK } from "../explore/stages/pci-stage.js";

function ready(options: PciStageOptions = {}) {
  const world = new PciStage(options);
  const fds = world.ready();
  expect(fds.d).toBeGreaterThanOrEqual(0);
  return { world, ...fds };
}

/** Vector 31's start: INTx with trigger E. */
function triggered(options: PciStageOptions = {}) {
  const { world, ...fds } = ready(options);
  const E = world.eventfd();
  expect(world.setIrqs(fds.d, INTX, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
  world.machine.zero();
  return { world, ...fds, E };
}

/** Vector 31's end: asserted once, signalled, masked. */
function masked(options: PciStageOptions = {}) {
  const all = triggered(options);
  all.world.intx(true);
  expect(all.world.take(all.E)).toBe(1);
  return all;
}

describe("INTx", () => {
  it("vector 31: one signal, then automasked by DisINTx", () => {
    const { world, E } = masked();
    world.intx(true);
    expect([world.take(E), world.isDisIntx]).toEqual([-EAGAIN, true]);
  });

  it("vector 32: an unmask with the line asserted signals again and leaves it masked", () => {
    const { world, d, E } = masked();
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect([world.take(E), world.isDisIntx]).toEqual([1, true]);
  });

  it("vector 33: an unmask after the line fell clears DisINTx; the next assertion signals", () => {
    const { world, d, E } = masked();
    world.intx(false);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    expect([world.isDisIntx, world.take(E)]).toEqual([false, -EAGAIN]);
    world.intx(true);
    expect([world.take(E), world.take(E)]).toEqual([1, -EAGAIN]);
  });

  it("vector 34: UNMASK BOOL asks by its byte", () => {
    const { world, d } = masked();
    world.intx(false);
    expect(world.setIrqs(d, INTX, BOOL | UNMASK, 0, 1, 0)).toBe(0);
    expect(world.isDisIntx).toBe(true);
    expect(world.setIrqs(d, INTX, BOOL | UNMASK, 0, 1, 1)).toBe(0);
    expect(world.isDisIntx).toBe(false);
  });

  it("vector 35: masked is a boolean: two masks, one unmask", () => {
    const { world, d } = triggered();
    for (let i = 0; i < 2; i++) expect(world.setIrqs(d, INTX, NONE | MASK, 0, 1)).toBe(0);
    expect(world.isDisIntx).toBe(true);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    expect(world.isDisIntx).toBe(false);
  });

  it("vector 36: is neither masked nor unmasked while it is not the mode", () => {
    const { world, d } = ready();
    expect(world.setIrqs(d, INTX, NONE | MASK, 0, 1)).toBe(-EINVAL);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(-EINVAL);
  });

  it("vector 37: takes no eventfd that masks", () => {
    const { world, d } = triggered();
    expect(world.setIrqs(d, INTX, EVENTFD | MASK, 0, 1, world.eventfd())).toBe(-ENOTTY);
  });

  it("vector 38: an unmask eventfd is installed once; its descriptor is judged first", () => {
    const { world, d } = triggered();
    const U = world.eventfd();
    const P = pipeOf(world);
    const install = (fd: number): number => world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, fd);
    expect([U, U, CLOSED, P, -1, -1].map(install)).toEqual([0, -EBUSY, -EBADF, -EINVAL, 0, 0]);
  });

  it("vector 39: an unmask eventfd that has a count already unmasks during the call, and keeps its count", () => {
    const { world, d } = masked();
    world.intx(false);
    const U = world.eventfd(3);
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U)).toBe(0);
    expect([world.isDisIntx, world.count(U)]).toEqual([false, 3]);
  });

  it("vector 40: an unmask by eventfd with the line asserted signals from the worker, and stays masked", () => {
    const { world, d, E } = masked();
    const U = world.eventfd();
    world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U);
    world.signal(U);
    // 23.29: nothing is signalled inside the wake-up.
    expect(world.count(E)).toBe(0);
    world.settle();
    expect([world.take(E), world.isDisIntx, world.count(U)]).toEqual([1, true, 0]);
    expect(world.machine.trace.lines("eventfd_refused")).toEqual([]);
  });

  it("vector 41: closing the unmask eventfd removes it", () => {
    const { world, d } = triggered();
    const U = world.eventfd();
    world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, U);
    world.close(U);
    world.settle();
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, world.eventfd())).toBe(0);
  });

  it("vector 42: without a trigger INTx stays on and masks itself; a new trigger finds it masked", () => {
    const { world, d } = triggered();
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, -1)).toBe(0);
    world.intx(true);
    const E2 = world.eventfd();
    expect(world.isDisIntx).toBe(true);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E2)).toBe(0);
    expect([world.take(E2), world.isDisIntx, run(world.vfioA.irqs.intx.isMasked())]).toEqual([-EAGAIN, true, true]);
  });

  it("vector 43: is enabled without a trigger by -1", () => {
    const { world, d } = ready();
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, -1)).toBe(0);
    expect(run(world.vfioA.irqs.mode.get())).toBe(INTX);
  });

  it("vector 44: the loopback signals and masks nothing", () => {
    const { world, d, E } = triggered();
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 1)).toBe(0);
    expect([world.take(E), world.isDisIntx]).toEqual([1, false]);
  });

  it("vectors 45, 46: the user's DisINTx silences everything; clearing it tells what is pending", () => {
    const { world, d, E } = triggered();
    expect(world.configWrite(d, 4, 2, 0x0406)).toBe(2);
    expect(run(world.vfioA.irqs.mode.isVirqDisabled())).toBe(true);
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 1)).toBe(0);
    world.intx(true);
    expect([world.take(E), world.isDisIntx]).toEqual([-EAGAIN, true]);
    expect(world.configWrite(d, 4, 2, 0x0006)).toBe(2);
    expect([world.take(E), world.isDisIntx]).toEqual([1, true]);
  });

  it("vector 47: is disabled by a count of 0, once", () => {
    const { world, d, E } = triggered();
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0)).toBe(0);
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0)).toBe(-EINVAL);
    world.intx(true);
    expect(world.take(E)).toBe(-EAGAIN);
  });

  it("vector 48: a trigger that is no eventfd changes nothing", () => {
    const { world, d } = ready();
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, CLOSED)).toBe(-EBADF);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, pipeOf(world))).toBe(-EINVAL);
    expect(run(world.vfioA.irqs.mode.get())).toBe(5);
  });

  it("vectors 49, 50: SET_IRQS takes one action and one kind of data, in its order of checks", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    const raw = (...words: number[]): number => world.call(d, 0x3b6e, ...words);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER | MASK, 0, 1, E)).toBe(-ENOTTY);
    expect(world.setIrqs(d, INTX, EVENTFD, 0, 1, E)).toBe(-ENOTTY);
    expect(world.setIrqs(d, INTX, EVENTFD | NONE | TRIGGER, 0, 1, E)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER | 0x40, INTX, 0, 1)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, INTX, 1, 0xffff_ffff)).toBe(-EINVAL);
    expect(raw(19, NONE | TRIGGER, INTX, 0, 1)).toBe(-EINVAL);
    expect(raw(20, EVENTFD | TRIGGER, INTX, 0, 1)).toBe(-EINVAL);
    expect(raw(20, NONE | TRIGGER, 5, 0, 1)).toBe(-EINVAL);
  });

  it("8.7: without DisINTx it is refused a line that another driver has", () => {
    const { world, d } = ready({ hasBrokenIntxMasking: true });
    const other = new Handler(function* () {});
    expect(run(world.machine.host.requestIrq(world.machine.level, other, 0, "other", other))).toBe(0);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(-EBUSY);
    expect(run(world.vfioA.irqs.mode.get())).toBe(5);
  });

  it("8.3: on a shared line a handler that finds nothing pending says that it is not its own", () => {
    const { world, d, E } = triggered();
    const other = world.wire.input();
    const sharer = new Handler(() => other.setLevel(false));
    expect(run(world.machine.host.requestIrq(world.machine.level, sharer, Irqf.SHARED, "sharer", sharer))).toBe(0);
    run(other.setLevel(true));
    world.settle();
    expect([world.take(E), world.isDisIntx, sharer.runs]).toEqual([-EAGAIN, false, 1]);
    world.intx(true);
    expect([world.take(E), world.isDisIntx, sharer.runs, d > 0]).toEqual([1, true, 2, true]);
  });
});

describe("what automasking costs (host-irq.md 1.12)", () => {
  function oneInterrupt(options: PciStageOptions) {
    const { world, d, E } = triggered(options);
    const before = run(world.A.configCycles());
    world.intx(true);
    const atHandler = run(world.A.configCycles()) - before;
    world.intx(false);
    expect(world.take(E)).toBe(1);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect(world.take(E)).toBe(-EAGAIN);
    return { counts: world.machine.counts(world.machine.level), atHandler, cycles: run(world.A.configCycles()) - before, world };
  }

  it("host-irq vector 39: with DisINTx the line drops before its end: taken once, no chip access, two device accesses each way", () => {
    const { counts, atHandler, cycles, world } = oneInterrupt({});
    expect([counts, atHandler, cycles, world.isDisIntx]).toEqual(["t1 k1 m0 u0", 2, 4, false]);
  });

  it("host-irq vector 40: without DisINTx, lazily (6.17) taken twice, unlazily (6.18) once", () => {
    expect(oneInterrupt({ hasBrokenIntxMasking: true, vfio: { unlazyIntx: false } }).counts).toBe("t2 k1 m1 u1");
    expect(oneInterrupt({ hasBrokenIntxMasking: true }).counts).toBe("t1 k1 m1 u1");
  });

  it("nointxmask takes DisINTx from everyone", () => {
    expect(oneInterrupt({ vfio: { nointxmask: true } }).counts).toBe("t1 k1 m1 u1");
  });
});

describe("INTx without DisINTx", () => {
  it("fires again at once when it is unmasked with the line up", () => {
    const { world, d, E } = masked({ hasBrokenIntxMasking: true });
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect([world.take(E), run(world.vfioA.irqs.intx.isMasked())]).toEqual([1, true]);
  });

  it("is enabled masked while the user has it disabled", () => {
    const { world, d } = ready({ hasBrokenIntxMasking: true });
    world.configWrite(d, 4, 2, 0x0406);
    const E = world.eventfd();
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    world.intx(true);
    expect(world.take(E)).toBe(-EAGAIN);
    world.configWrite(d, 4, 2, 0x0006);
    expect(world.take(E)).toBe(1);
  });
});

describe("INTx before Linux 6.9 (profile v5)", () => {
  const isRequested = (world: PciStage): boolean => world.machine.desc(world.machine.level).depth === 0;

  it.each([{}, { hasBrokenIntxMasking: true }])("vectors 42, 43: -1 gives the host's line back, and the mode stays: %o", (options) => {
    const { world, d } = triggered({ ...options, vfio: { releasesIntxLine: true } });
    const minusOne = (): number => world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, -1);
    expect([isRequested(world), minusOne(), isRequested(world), run(world.vfioA.irqs.mode.get())]).toEqual([true, 0, false, INTX]);
    world.intx(true);
    expect(world.isDisIntx).toBe(false);
    const E2 = world.eventfd();
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E2)).toBe(0);
    world.settle();
    expect([world.take(E2), world.take(E2)]).toEqual([1, -EAGAIN]);
    expect([world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0), isRequested(world)]).toEqual([0, false]);
    expect([minusOne(), run(world.vfioA.irqs.mode.get()), isRequested(world), world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0)]).toEqual([0, INTX, false, 0]);
  });

  it("a line that was masked stays masked with its next trigger, until it is unmasked", () => {
    const { world, d } = triggered({ hasBrokenIntxMasking: true, vfio: { releasesIntxLine: true } });
    const E2 = world.eventfd();
    world.setIrqs(d, INTX, NONE | MASK, 0, 1);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E2)).toBe(0);
    expect([run(world.vfioA.irqs.intx.isMasked()), isRequested(world)]).toEqual([true, false]);
    world.intx(true);
    expect(world.take(E2)).toBe(-EAGAIN);
    expect(world.setIrqs(d, INTX, NONE | UNMASK, 0, 1)).toBe(0);
    world.settle();
    expect(world.take(E2)).toBe(1);
  });
});

describe("INTx and power", () => {
  it("23.10: what the user has masked is not unmasked by a resume", () => {
    const { world, d } = triggered();
    run(world.vfioA.irqs.suspend());
    expect(world.isDisIntx).toBe(true);
    run(world.vfioA.irqs.resume());
    expect(world.isDisIntx).toBe(false);
    world.setIrqs(d, INTX, NONE | MASK, 0, 1);
    run(world.vfioA.irqs.suspend());
    run(world.vfioA.irqs.resume());
    expect(world.isDisIntx).toBe(true);
  });

  it("8.8: a suspend masks nothing of a function whose INTx is not in use", () => {
    const { world } = ready();
    run(world.vfioA.irqs.suspend());
    expect(world.isDisIntx).toBe(false);
  });

  it("a function whose INTx is hidden has no pin, no interrupt, and keeps DisINTx", () => {
    const { world, d } = ready({ vfio: { nointx: new Set(["pci8086,10d3"]) } });
    expect(world.configRead(d, 0x3d, 1)).toBe(0);
    expect(world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, world.eventfd())).toBe(-EINVAL);
    expect(world.isDisIntx).toBe(true);
    world.setIrqs(d, 1, EVENTFD | TRIGGER, 0, 1, world.eventfd());
    world.setIrqs(d, 1, NONE | TRIGGER, 0, 0);
    expect(world.isDisIntx).toBe(true);
  });
});
