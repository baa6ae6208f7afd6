import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run, type Step } from "../sim/step.js";
import { EBADF, EBUSY, EINVAL } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { VirqfdSlot, virqfdsOf } from "./virqfd.js";
import { VfioStage } from "../explore/stages/vfio-stage.js";

const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = uapi;
const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK, VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = uapi;

/** A receiver with a thread: what INTx of PCI needs. */
class Slot extends VirqfdSlot {
  protected override readonly hasThread = true;
  handled = 0;
  injected = 0;
  wants = false;
  override *onSignal(): Step<boolean> {
    this.handled++;
    return this.wants;
  }
  override *onInject(): Step<void> {
    this.injected++;
  }
}

function slot() {
  const world = new VfioStage();
  return { world, slot: new Slot(virqfdsOf(world.machine.host)), U: world.eventfd() };
}

describe("virqfd (9)", () => {
  it("refuses a closed descriptor, another kind of file, and an occupied slot, in this order", () => {
    const { world, slot: s, U } = slot();
    expect(run(s.enable(world.process, 99))).toBe(-EBADF);
    expect(run(s.enable(world.process, world.open("/dev/vfio/vfio")))).toBe(-EINVAL);
    expect(run(s.enable(world.process, U))).toBe(0);
    expect(run(s.enable(world.process, U))).toBe(-EBUSY);
    expect(run(s.enable(world.process, 99))).toBe(-EBADF);
  });

  it("23.8, vector 39: runs its handler for a count that is already there, and leaves the count", () => {
    const { world, slot: s } = slot();
    const U = world.eventfd(3);
    run(s.enable(world.process, U));
    expect([s.handled, world.count(U)]).toEqual([1, 3]);
    world.signal(U);
    expect([s.handled, world.count(U)]).toEqual([2, 0]);
  });

  it("runs the thread in the worker when the handler asks for it", () => {
    const { world, slot: s, U } = slot();
    run(s.enable(world.process, U));
    world.signal(U);
    world.settle();
    expect(s.injected).toBe(0);
    s.wants = true;
    world.signal(U);
    expect(s.injected).toBe(0);
    run(s.flushThread());
    expect([s.handled, s.injected]).toEqual([2, 1]);
  });

  it("23.6: after disable has returned nothing of it runs, and a queued thread has run", () => {
    const { world, slot: s, U } = slot();
    run(s.enable(world.process, U));
    s.wants = true;
    world.signal(U);
    run(s.disable());
    const before = [s.handled, s.injected];
    expect(before).toEqual([1, 1]);
    world.signal(U);
    world.settle();
    expect([s.handled, s.injected]).toEqual(before);
    expect(run(s.enable(world.process, U))).toBe(0);
  });

  it("23.7, vectors 41, 109: ends when the eventfd's last file goes, once, also against a disable", () => {
    const { world, slot: s, U } = slot();
    run(s.enable(world.process, U));
    const { cleanup } = virqfdsOf(world.machine.host);
    cleanup.hold();
    world.close(U);
    expect(run(s.isOccupied())).toBe(false);
    cleanup.letGo();
    run(s.disable());
    expect(cleanup.done).toBe(1);
    expect(run(s.enable(world.process, world.eventfd()))).toBe(0);
  });

  it("disable of an empty slot still waits for a shutdown under way", () => {
    const { world, slot: s, U } = slot();
    run(s.enable(world.process, U));
    world.close(U);
    expect(virqfdsOf(world.machine.host).cleanup.done).toBe(0);
    run(s.disable());
    expect(virqfdsOf(world.machine.host).cleanup.done).toBe(1);
  });
});

type Action = "line up" | "line down" | "unmask" | "mask" | "signal U" | "signal M" | "swap" | "remove" | "drop U" | "install U";
const ACTIONS: Action[] = ["line up", "line down", "unmask", "mask", "signal U", "signal M", "swap", "remove", "drop U", "install U"];

/** A level interrupt under any order of what user space and the device can do. */
class Level {
  readonly world = new VfioStage();
  readonly d = this.world.ready().d;
  readonly U = this.world.eventfd();
  private readonly M = this.world.eventfd();
  private readonly fds = [this.world.eventfd(), this.world.eventfd()];
  private at = 0;
  isLineUp = false;

  constructor() {
    this.set(EVENTFD | TRIGGER, this.fds[0]);
    this.set(EVENTFD | UNMASK, this.U);
    this.set(EVENTFD | MASK, this.M);
  }

  private set(flags: number, ...data: number[]): void {
    const result = this.world.setIrqs(this.d, 0, flags, 0, flags === (NONE | TRIGGER) ? 0 : 1, ...data);
    if (result !== 0 && result !== -EBUSY) throw new Error(`SET_IRQS ${flags}: ${result}`);
  }

  do(action: Action): void {
    if (action === "line up" || action === "line down") {
      this.isLineUp = action === "line up";
      this.world.line(this.isLineUp);
    } else if (action === "unmask") this.set(NONE | UNMASK);
    else if (action === "mask") this.set(NONE | MASK);
    else if (action === "signal U") this.world.signal(this.U);
    else if (action === "signal M") this.world.signal(this.M);
    else if (action === "swap") this.set(EVENTFD | TRIGGER, this.fds[(this.at = 1 - this.at)]);
    else if (action === "remove") this.set(NONE | TRIGGER);
    else this.set(EVENTFD | UNMASK, action === "drop U" ? -1 : this.U);
    this.world.settle();
  }

  irq() {
    const irq = this.world.driver.deviceOf(this.world.a.name)?.irqs[0];
    if (irq === undefined) throw new Error("the device has lost its interrupt");
    return irq;
  }
}

describe("invariants of a level interrupt (23.1 to 23.3, 23.29), for any order of events", () => {
  it("hold after every step", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...ACTIONS), { maxLength: 25 }), (actions) => {
        const level = new Level();
        const { trace } = level.world.machine;
        for (const action of actions) {
          level.do(action);
          const irq = level.irq();
          const desc = level.world.machine.desc(level.world.machine.level);
          const unmasks = trace.lines("vfio_unmask").length;
          expect(irq.signals).toBeLessThanOrEqual(1 + unmasks);
          // 23.3, and what a trigger adds: the line is disabled once for each reason.
          const isMasked = run(irq.isMasked());
          expect(desc.depth).toBe((isMasked ? 1 : 0) + (irq.isSignalling ? 0 : 1));
          // 23.2: up, installed and not masked would be an interrupt on its way, but everything is quiet.
          expect(level.isLineUp && irq.isSignalling && !isMasked).toBe(false);
          expect(trace.lines("eventfd_refused", "irq_warning")).toEqual([]);
        }
      }),
      { numRuns: 60, seed: 7 },
    );
  });
});
