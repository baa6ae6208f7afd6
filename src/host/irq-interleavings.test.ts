import { describe, expect, it } from "vitest";
import { EdgeDevice, LevelDevice } from "../device/line-device.js";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { Spinlock } from "../sim/lock.js";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { GicEdgeInput, GicLevelInput } from "./gic-input.js";
import { Fixture, Task } from "./irq.fixture.js";
import { type IrqAction, Irqf, IrqReturn, type IrqThreadAction } from "./irq-types.js";

// The descriptor layer under every order of a handler on CPU 0 and callers on CPU 1 (up to two preemptions).

/** A VFIO-like owner of a line: `masked` under a spinlock that the handler takes too. */
class Owner implements IrqAction {
  masked = false;
  signals = 0;
  readonly lock: Spinlock;
  constructor(
    private readonly f: Fixture,
    private readonly irq: number,
    private readonly guest: Task | null,
  ) {
    this.lock = new Spinlock(f.sim, "vfio irqlock");
  }
  *handler(): Step<number> {
    yield* this.lock.lock();
    const isMine = !this.masked;
    if (isMine) {
      yield* this.f.host.disableIrqNosync(this.irq);
      this.masked = true;
      this.signals++;
    }
    yield* this.lock.unlock();
    if (isMine && this.guest !== null) this.f.sim.wake(this.guest, 0);
    return isMine ? IrqReturn.HANDLED : IrqReturn.NONE;
  }
  *unmask(): Step<void> {
    yield* this.lock.lock();
    if (this.masked) {
      this.masked = false;
      yield* this.f.host.enableIrq(this.irq);
    }
    yield* this.lock.unlock();
  }
}

function clean(scenario: () => Program): number {
  const result = explore(scenario, { preemptions: 2, limit: 20_000 });
  expect(result.verdict === "violation" ? `${result.message}\n${result.trace.join("\n")}` : "ok").toBe("ok");
  return result.interleavings;
}

const quiet = (f: Fixture): string | null => {
  for (const irq of [f.level, f.edge]) {
    const desc = f.desc(irq);
    if (desc.inProgress || desc.threadsActive !== 0) return `irq ${irq} is still being handled`;
    if (desc.actions !== null && desc.isDisabled !== desc.depth > 0) return `irq ${irq}: depth ${desc.depth}, DISABLED ${desc.isDisabled}`;
    if (f.gic.isEnabled(0, desc.data.hwirq) === desc.isMasked) return `irq ${irq}: MASKED is not what the chip does`;
  }
  return null;
};

/** Handlers of one line never run on two CPUs (I3). */
const ok = (): null => null;

describe.skipIf(STRAIGHT)("interleavings", () => {
  it("K5: automask against a guest on another CPU: no condition is lost, and the line ends open", () => {
    const runs = clean(() => {
      const f = new Fixture();
      f.sim.traceTo(null);
      const device = new LevelDevice(f.sim, "nic", new GicLevelInput(f.gic, 40));
      const guest = new Task("guest", 1, function* () {
        yield* device.service();
        yield* owner.unmask();
      });
      const owner = new Owner(f, f.level, guest);
      f.request(f.level, owner);
      const hardware = new Task("hardware", 2, function* () {
        yield* device.raise();
        yield* device.raise();
      });
      const end = (): string | null => {
        if (device.counts.lost > 0) return `${device.counts.lost} conditions are lost`;
        return f.desc(f.level).depth === 0 ? quiet(f) : `depth ends as ${f.desc(f.level).depth}`;
      };
      return { sim: f.sim, contexts: [hardware], check: ok, end };
    });
    expect(runs).toBeGreaterThan(100);
  });

  it("K3, K4: edges against disable and enable: none is lost, none is handled for nothing more than the resend", () => {
    clean(() => {
      const f = new Fixture();
      f.sim.traceTo(null);
      const device = new EdgeDevice(f.sim, "timer", new GicEdgeInput(f.gic, 41));
      const action: IrqAction = {
        *handler(): Step<number> {
          return (yield* device.service()) > 0 ? IrqReturn.HANDLED : IrqReturn.NONE;
        },
      };
      f.request(f.edge, action);
      const raiser = new Task("hardware", 2, function* () {
        yield* device.raise();
      });
      const toggler = new Task("toggler", 1, function* () {
        yield* f.host.disableIrqNosync(f.edge);
        yield* f.host.enableIrq(f.edge);
      });
      const end = (): string | null => (device.counts.lost > 0 ? "the edge is lost" : quiet(f));
      return { sim: f.sim, contexts: [raiser, toggler], check: ok, end };
    });
  });

  it("I2: after free_irq has returned, its handler neither runs nor starts", () => {
    clean(() => {
      const f = new Fixture();
      f.sim.traceTo(null);
      const state = { isFreed: false, isInside: false, late: false };
      const action: IrqAction = {
        *handler(): Step<number> {
          if (state.isFreed) state.late = true;
          state.isInside = true;
          yield* f.gic.setSpi(40, false);
          state.isInside = false;
          return IrqReturn.HANDLED;
        },
      };
      f.request(f.level, action, 0, f);
      const raiser = new Task("hardware", 2, function* () {
        yield* f.gic.setSpi(40, true);
      });
      const remover = new Task("rmmod", 1, function* () {
        yield* f.host.freeIrq(f.level, f);
        state.isFreed = true;
        if (state.isInside) state.late = true;
      });
      return { sim: f.sim, contexts: [raiser, remover], check: () => (state.late ? "the handler runs after free_irq" : null), end: () => quiet(f) };
    });
  });

  it("I2: one sharer leaves, the other misses nothing", () => {
    clean(() => {
      const f = new Fixture();
      f.sim.traceTo(null);
      const device = new LevelDevice(f.sim, "nic", new GicLevelInput(f.gic, 40));
      const leaver: IrqAction = {
        *handler(): Step<number> {
          return IrqReturn.NONE;
        },
      };
      const stayer: IrqAction = {
        *handler(): Step<number> {
          return (yield* device.service()) > 0 ? IrqReturn.HANDLED : IrqReturn.NONE;
        },
      };
      f.request(f.level, leaver, Irqf.SHARED);
      f.request(f.level, stayer, Irqf.SHARED);
      const raiser = new Task("hardware", 2, function* () {
        yield* device.raise();
      });
      const remover = new Task("rmmod", 1, function* () {
        yield* f.host.freeIrq(f.level, leaver);
      });
      return { sim: f.sim, contexts: [raiser, remover], check: ok, end: () => (device.counts.lost > 0 ? "a condition is lost" : quiet(f)) };
    });
  });

  it("a ONESHOT thread against its handler, disable and enable: the line ends open and serviced", () => {
    clean(() => {
      const f = new Fixture();
      f.sim.traceTo(null);
      const device = new LevelDevice(f.sim, "nic", new GicLevelInput(f.gic, 40));
      const primary: IrqAction = {
        *handler(): Step<number> {
          return IrqReturn.WAKE_THREAD;
        },
      };
      const thread: IrqThreadAction = {
        *thread(): Step<number> {
          yield* device.service();
          return IrqReturn.HANDLED;
        },
      };
      run(f.host.requestThreadedIrq(f.level, primary, thread, Irqf.ONESHOT, "nic", f));
      const raiser = new Task("hardware", 2, function* () {
        yield* device.raise();
      });
      const toggler = new Task("toggler", 1, function* () {
        yield* f.host.disableIrqNosync(f.level);
        yield* f.host.enableIrq(f.level);
      });
      const end = (): string | null => {
        if (device.counts.lost > 0) return "a condition is lost";
        return f.desc(f.level).threadsOneshot === 0 ? quiet(f) : "a thread still holds the line";
      };
      return { sim: f.sim, contexts: [raiser, toggler], check: ok, end };
    });
  });
});
