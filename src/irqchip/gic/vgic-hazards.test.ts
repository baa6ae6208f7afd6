import { describe, expect, it } from "vitest";
import { run, STRAIGHT, type Step } from "../../sim/step.js";
import { interleave } from "./interleave.fixture.js";
import { VgicStage } from "../../explore/stages/vgic-stage.js";
import type { Hazards } from "../../sim/hazards.js";
import { checkInvariants } from "./vgic-invariants.fixture.js";
import * as state from "./vgic-state.js";

/** Does any interleaving go wrong? `second` answers what must hold at the end. */
function goesWrong(make: () => VgicStage, first: (h: VgicStage) => Step<unknown>, second: (h: VgicStage) => Step<() => boolean>): boolean {
  for (let at = 0, last = 1; at < last; at++) {
    const h = make();
    let holds = (): boolean => true;
    last = interleave(
      () => first(h),
      function* () {
        holds = yield* second(h);
      },
      at,
    );
    if (!holds()) return true;
  }
  return false;
}

const prepared = (hazards: Partial<Hazards>): VgicStage => {
  const h = new VgicStage({ ids: [0, 1, 2], nrIrqs: 64, hazards });
  h.enable(40);
  return h;
};

/** Each with the switch that brings its hazard back; true: it went wrong. */
const SCENARIOS: { name: string; hazards: Partial<Hazards>; needsSteps: boolean; run(hazards: Partial<Hazards>): boolean }[] = [
  {
    name: "R30: inserted into the list of a vCPU that is no longer the target",
    hazards: { insertWithoutRecheck: true },
    needsSteps: true,
    run: (hazards) =>
      goesWrong(
        () => prepared(hazards),
        (h) => h.vgic.inject(-1, 40, true, null),
        function* (h) {
          yield* state.writeRouter(h.dist, h.irq(40), 1);
          const wasListed = h.irq(40).apList !== null;
          return () => wasListed || h.irq(40).vcpu === h.cpu(1);
        },
      ),
  },
  {
    name: "R31: moved to a vCPU that is no longer the target",
    hazards: { moveWithoutRecheck: true },
    needsSteps: true,
    run: (hazards) =>
      goesWrong(
        () => {
          const h = prepared(hazards);
          h.inject(40);
          run(state.writeRouter(h.dist, h.irq(40), 1));
          return h;
        },
        (h) => h.vgic.processUpdate(0),
        function* (h) {
          yield* state.writeRouter(h.dist, h.irq(40), 2);
          const hasMoved = h.irq(40).apList === h.cpu(1).apList;
          return () => hasMoved || h.irq(40).vcpu === h.cpu(2);
        },
      ),
  },
  {
    name: "R32: an active interrupt leaves the vCPU that has to end it",
    hazards: { moveActive: true },
    needsSteps: false,
    run(hazards) {
      const h = prepared(hazards);
      h.inject(40);
      expect(h.iar(0)).toBe(40);
      run(state.writeRouter(h.dist, h.irq(40), 1));
      h.cycle(0);
      h.eoi(40, 0);
      h.cycle(1);
      h.exit(0);
      h.exit(1);
      return h.isActive(40);
    },
  },
  {
    name: "R33: active for ever after ICACTIVER",
    hazards: { activeWithoutHalt: true },
    needsSteps: false,
    run(hazards) {
      const h = prepared(hazards);
      h.inject(40);
      expect(h.iar(0)).toBe(40);
      h.changeActive(40, false, 1);
      h.exit(0);
      return h.isActive(40);
    },
  },
  {
    name: "R36: the physical interrupt stays active behind a line that fell",
    hazards: { neverResample: true },
    needsSteps: false,
    run(hazards) {
      const h = prepared(hazards);
      run(h.vgic.mapPhysicalIrq(0, 27, 27));
      h.enable(27);
      run(h.gic.setActive(0, 27, true));
      h.inject(27, true, 0);
      h.cycle(0);
      h.exit(0);
      return h.gic.isActive(0, 27);
    },
  },
  {
    name: "R37: a vCPU that looks when it is told finds nothing",
    hazards: { kickBeforeInsert: true },
    needsSteps: false,
    run(hazards) {
      const h = prepared(hazards);
      let found = false;
      h.vm.vcpus[0].requestIrqPending = function* () {
        found = yield* h.vgic.isPendingFor(0);
      };
      h.inject(40);
      return !found;
    },
  },
];

describe("each rule, on and off", () => {
  for (const scenario of SCENARIOS)
    it(scenario.name, () => {
      if (STRAIGHT && scenario.needsSteps) return;
      expect(scenario.run({})).toBe(false);
      expect(scenario.run(scenario.hazards)).toBe(true);
    });

  it("the controller itself stays whole with a rule off", () => {
    const h = prepared({ insertWithoutRecheck: true, moveWithoutRecheck: true, activeWithoutHalt: true });
    h.inject(40);
    h.cycle(0);
    expect(checkInvariants(h, new Set())).toEqual([]);
  });
});
