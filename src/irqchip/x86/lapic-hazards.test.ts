import { describe, expect, it } from "vitest";
import { run, STRAIGHT, type Step } from "../../sim/step.js";
import { interleave } from "../gic/interleave.fixture.js";
import { LapicHarness } from "./lapic.fixture.js";
import type { Hazards } from "../../sim/hazards.js";
import { FakePort, post, type Posted } from "./posted.fixture.js";
import type { PostedHost } from "./posted-interrupts.js";

/** Hazards X4, X11 to X15 (x86-irqchip.md 18): each with the switch that takes its rule away. */
interface World {
  readonly h: LapicHarness;
  readonly port: FakePort;
  readonly host: PostedHost;
  readonly all: Posted[];
}

function world(hazards: Partial<Hazards>, cpus = 1): World {
  const h = new LapicHarness({ cpus, hazards }).enable();
  const port = new FakePort();
  return { h, port, ...post(h, port) };
}

/** Does any place to enter `second` during `first` go wrong? `holds` is asked at the end. */
function goesWrong<W>(make: () => W, first: (w: W) => Step<unknown>, second: (w: W) => Step<unknown>, holds: (w: W) => boolean): boolean {
  for (let at = 0, last = 1; at < last; at++) {
    const w = make();
    last = interleave(
      () => first(w),
      () => second(w),
      at,
    );
    if (!holds(w)) return true;
  }
  return false;
}

function* byDevice(w: World, vector: number): Step<void> {
  const { descriptor } = w.all[0].posted;
  const nv = yield* descriptor.postByDevice(vector, false);
  if (nv >= 0) yield* w.port.send(w.host.apicIdOf(descriptor.notifyDestination), nv);
}

/** The vector is in the IRR, or a notification of it will make the vCPU sync. */
const willBeSeen = ({ h, all, port }: World, vector: number): boolean => {
  if (h.requested(vector).length > 0) return true;
  return run(all[0].posted.descriptor.isOn()) && port.sent.length > 0;
};

const SCENARIOS: { name: string; hazards: Partial<Hazards>; needsSteps: boolean; run(hazards: Partial<Hazards>): boolean }[] = [
  {
    name: "X4: a vector that is only posted is missing in the handled vectors, its EOI reaches nobody",
    hazards: { scanWithoutMerge: true },
    needsSteps: false,
    run(hazards) {
      const { h } = world(hazards);
      h.deliver({ vector: 0x77, isLevel: true });
      h.ioapic.entries = [{ destination: 5, isLogical: false, vector: 0x77 }];
      run(h.at(0).handled.rescan());
      h.take();
      h.eoi();
      return h.ioapic.eois.length === 0;
    },
  },
  {
    name: "X11: ON cleared after the PIR was read: the vector posted between sleeps",
    hazards: { clearOnLate: true },
    needsSteps: true,
    run: (hazards) =>
      goesWrong(
        () => {
          const w = world(hazards);
          run(byDevice(w, 0x41));
          w.port.sent.length = 0;
          return w;
        },
        (w) => w.all[0].posted.sync(w.h.at(0)),
        (w) => byDevice(w, 0x42),
        (w) => willBeSeen(w, 0x42),
      ),
  },
  {
    name: "X12: posted while notifications were suppressed, nobody syncs after the load",
    hazards: { loadWithoutCheck: true },
    needsSteps: true,
    run: (hazards) =>
      goesWrong(
        () => {
          const w = world(hazards);
          run(w.all[0].posted.put("preempted"));
          return w;
        },
        (w) => w.all[0].posted.load(0),
        (w) => byDevice(w, 0x42),
        (w) => {
          // The entry after the load syncs.
          run(w.all[0].posted.sync(w.h.at(0)));
          return w.h.requested(0x42).length > 0;
        },
      ),
  },
  {
    name: "X13: posted before the wake-up vector was in place, the blocked vCPU sleeps on",
    hazards: { blockWithoutCheck: true },
    needsSteps: true,
    run: (hazards) =>
      goesWrong(
        () => world(hazards),
        (w) => w.all[0].posted.put("blocking"),
        (w) => byDevice(w, 0x42),
        (w) => {
          // Outside the guest 0xf2 means nothing.
          if (w.port.sent.includes("f1>0")) run(w.host.wakeupHandler(0));
          return w.all[0].vcpu.wakes > 0;
        },
      ),
  },
  {
    name: "X14: taken off the wrong CPU's wake-up list, others on it are lost and it stays on its own",
    hazards: { unlistFromNewCpu: true },
    needsSteps: false,
    run(hazards) {
      const { host, all } = world(hazards, 3);
      run(all[2].posted.put("blocking"));
      run(all[1].posted.put("blocking"));
      run(all[1].posted.load(2));
      return !(host.listed(2).includes(2) && !host.listed(1).includes(1));
    },
  },
  {
    name: "X15: the hint set before the bit: a take between clears it, the vector is invisible",
    hazards: { hintBeforeBit: true },
    needsSteps: true,
    run: (hazards) => goesWrong(oneRequested(hazards), (h) => h.at(0).setIrr(0x42), (h) => h.at(0).take(0x41), sees),
  },
  {
    name: "X15: the hint cleared after the look: a request between is invisible",
    hazards: { hintClearedLast: true },
    needsSteps: true,
    run: (hazards) => goesWrong(oneRequested(hazards), (h) => h.at(0).take(0x41), (h) => h.at(0).setIrr(0x42), sees),
  },
];

const oneRequested = (hazards: Partial<Hazards>) => (): LapicHarness => {
  const h = new LapicHarness({ hazards }).enable();
  h.deliver({ vector: 0x41 });
  return h;
};
const sees = (h: LapicHarness): boolean => run(h.at(0).highestRequest()) === 0x42;

describe("each rule, on and off", () => {
  for (const scenario of SCENARIOS)
    it.skipIf(STRAIGHT && scenario.needsSteps)(scenario.name, () => {
      expect(scenario.run({})).toBe(false);
      expect(scenario.run(scenario.hazards)).toBe(true);
    });
});
