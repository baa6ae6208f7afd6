import { describe, expect, it } from "vitest";
import { run, STRAIGHT, type Step } from "../../sim/step.js";
import { interleave } from "./interleave.fixture.js";
import { VgicStage } from "../../explore/stages/vgic-stage.js";
import { checkInvariants, isEligible } from "./vgic-invariants.fixture.js";
import { VgicConfig, type VgicIrq } from "./vgic-irq.js";
import { dispatchSgiV3 } from "./vgic-sgi.js";
import * as state from "./vgic-state.js";

const EDGE_SPI = 40;
const LEVEL_SPI = 41;

const NOBODY: ReadonlySet<VgicIrq> = new Set();

type Work = (h: VgicStage) => Step<unknown>;

/** What may run on vCPU 0's own thread, from outside of the guest. */
const OWN: Record<string, Work> = {
  enter: (h) => h.vm.enter(h.vm.vcpus[0]),
  exit: (h) => h.vm.exit(h.vm.vcpus[0]),
  *"process update"(h) {
    yield* h.vm.exit(h.vm.vcpus[0]);
    yield* h.vgic.processUpdate(0);
  },
};

/** What may run anywhere at the same time. */
const OTHER: Record<string, Work> = {
  edge: (h) => h.vgic.inject(-1, EDGE_SPI, true, null),
  "line up": (h) => h.vgic.inject(-1, LEVEL_SPI, true, null),
  "line down": (h) => h.vgic.inject(-1, LEVEL_SPI, false, null),
  SGI: (h) => dispatchSgiV3(h.dist, h.cpu(1), 0x05000001, 0, true),
  disable: (h) => state.clearEnabled(h.dist, h.irq(EDGE_SPI)),
  enable: (h) => state.setEnabled(h.dist, h.irq(EDGE_SPI), false),
  route: (h) => state.writeRouter(h.dist, h.irq(EDGE_SPI), 1),
  unpend: (h) => state.clearPending(h.dist, h.irq(EDGE_SPI), false),
  off: (h) => state.writeDistEnable(h.dist, false, false),
  "update of vCPU 1": (h) => h.vgic.processUpdate(1),
};

/** Where the interrupts are before: by what the guest has done with them. */
const BEFORE: Record<string, (h: VgicStage) => void> = {
  idle: () => {},
  pending: raiseBoth,
  loaded: (h) => {
    raiseBoth(h);
    h.enter(0);
  },
  active: (h) => {
    raiseBoth(h);
    h.iar(0);
  },
  moving: (h) => {
    raiseBoth(h);
    run(state.writeRouter(h.dist, h.irq(EDGE_SPI), 1));
  },
};

function raiseBoth(h: VgicStage): void {
  h.inject(EDGE_SPI);
  h.inject(LEVEL_SPI);
}

function prepared(before: (h: VgicStage) => void): VgicStage {
  const h = new VgicStage({ ids: [0, 1], nrLr: 1, nrIrqs: 64 });
  h.enable(EDGE_SPI);
  h.enable(LEVEL_SPI, 0x80, VgicConfig.LEVEL);
  before(h);
  return h;
}

/** Runs both at every point; the invariants hold then, and after an exit of each vCPU everything is where it should be. */
function race(before: (h: VgicStage) => void, first: Work, second: Work): void {
  for (let at = 0, last = 1; at < last; at++) {
    const h = prepared(before);
    last = interleave(() => first(h), () => second(h), at);
    const irqs = [h.irq(EDGE_SPI), h.irq(LEVEL_SPI), h.irq(5, 0)];
    expect(checkInvariants(h, NOBODY)).toEqual([]);
    for (const vcpu of [0, 1]) h.cycle(vcpu);
    for (const vcpu of [0, 1]) h.exit(vcpu);
    for (const irq of irqs) if (isEligible(h, irq)) expect(irq.vcpu?.index).toBe(irq.targetVcpu?.index);
    expect(checkInvariants(h, NOBODY)).toEqual([]);
  }
}

describe("two contexts, every interleaving of one in the other", () => {
  if (STRAIGHT) {
    it("needs the stepped build", () => expect(Object.keys(OWN).length).toBe(3));
    return;
  }
  for (const [beforeName, before] of Object.entries(BEFORE))
    for (const [name, own] of Object.entries(OWN))
      it(`${name} of vCPU 0, interrupts ${beforeName}, against everything else`, () => {
        for (const other of Object.values(OTHER)) {
          race(before, own, other);
          race(before, other, own);
        }
      });
  for (const [name, one] of Object.entries(OTHER))
    it(`${name} against everything else, interrupts pending`, () => {
      for (const other of Object.values(OTHER)) race(raiseBoth, one, other);
    });
});
