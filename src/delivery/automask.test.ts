import { beforeEach, describe, expect, it } from "vitest";
import { builtinBoard } from "../board/builtin.js";
import type { MechanismName } from "../board/assign.js";
import { findDevice } from "../board/find-device.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { run } from "../sim/step.js";
import { Machine } from "./machine.js";
import { Delivery } from "./run.js";

// The vectors of host-irq.md 8.2 and 8.3 that need a guest and VFIO: fixture PV, a device of a GICv3 host on an SPI,
// bound to vfio-platform, served by a spinning guest on a CPU of its own (CPU 2 here).

const VCPU_CPU = 2;

function fixture(trigger: "level-high" | "edge-rising", mechanism: MechanismName): Delivery {
  const board = builtinBoard("virt", { assumeIommu: true });
  if (board === undefined) throw new Error("no board virt");
  const template = findDevice(board, "/virtio_mmio@a000000");
  const interrupt = { ...template.interrupts[0], index: 0, trigger };
  const device = { ...template, interrupts: [interrupt] };
  const workload = workloadSchema.parse({ interrupts: 1 });
  const request = { board, device, interrupts: [interrupt], workload, profile: COST_PROFILES[0], mechanisms: [mechanism] };
  return Delivery.prepare(request, mechanism, [interrupt]);
}

/** What happened since the fixture stood: taken, kstat, maskOps, unmaskOps of the line, and what the meter saw. */
class Counted {
  private readonly before: number[];

  constructor(readonly delivery: Delivery) {
    this.before = this.lineCounts();
    delivery.machine.sim.traceTo(delivery.meter);
  }

  get line() {
    return this.delivery.sources[0];
  }

  private lineCounts(): number[] {
    const { taken, kstat, maskOps, unmaskOps } = this.delivery.machine.host.counts(this.line.irq);
    return [taken, kstat, maskOps, unmaskOps];
  }

  raise(times = 1): this {
    for (let i = 0; i < times; i++) {
      run(this.line.source.raise());
      run(this.delivery.machine.sim.settle());
    }
    return this;
  }

  /** [taken, kstat, maskOps, unmaskOps] */
  get tkmu(): number[] {
    return this.lineCounts().map((count, i) => count - this.before[i]);
  }

  get exits(): object {
    return Object.fromEntries(this.delivery.meter.exitsByReason);
  }
}

describe("PV: a level line, automasked", () => {
  let pv: Counted;
  beforeEach(() => {
    pv = new Counted(fixture("level-high", "irqfd+resample"));
  });

  it("vector 34: one device interrupt is taken twice, masked and unmasked once; two exits and one reschedule IPI", () => {
    pv.raise();
    const { meter } = pv.delivery;
    expect(pv.tkmu).toEqual([2, 1, 1, 1]);
    expect([meter.triggerSignals, meter.resampleSignals, meter.ipis]).toEqual([1, 1, 1]);
    expect(pv.exits).toEqual({ IRQ: 2 });
  });

  it("vector 35: the same with the line affine to the vCPU's own CPU, without an IPI", () => {
    run(pv.delivery.machine.host.setAffinity(pv.line.irq, [VCPU_CPU]));
    pv.raise();
    expect(pv.tkmu).toEqual([2, 1, 1, 1]);
    expect(pv.exits).toEqual({ IRQ: 2 });
    expect(pv.delivery.meter.ipis).toBe(0);
  });

  it("vector 36: 500 interrupts are 500 times the same", () => {
    pv.raise(500);
    expect(pv.tkmu).toEqual([1000, 500, 500, 500]);
    expect(pv.exits).toEqual({ IRQ: 1000 });
  });

  it("vector 37: a guest that ends without serving gets the line again", () => {
    Object.defineProperty(pv.line.source, "accessesToService", { value: 2 });
    pv.raise();
    expect(pv.tkmu).toEqual([4, 2, 2, 2]);
    expect([pv.delivery.meter.triggerSignals, pv.delivery.meter.resampleSignals]).toEqual([2, 2]);
    expect(pv.line.source.counts).toMatchObject({ delivered: 1, lost: 0 });
  });

  it("vector 56: the guest's end of a level interrupt is a maintenance exit, and the host never takes PPI 25", () => {
    const { host } = pv.delivery.machine;
    const taken = (): number => host.cpus.reduce((sum, cpu) => sum + cpu.interrupts, 0);
    const before = taken();
    pv.raise();
    expect(pv.exits).toEqual({ IRQ: 2 });
    expect(taken() - before).toBe(3); // the line twice, the kick once
  });
});

it("vector 38: an edge is taken once, never masked, one exit", () => {
  const pv = new Counted(fixture("edge-rising", "irqfd")).raise();
  expect(pv.tkmu).toEqual([1, 1, 0, 0]);
  expect(pv.exits).toEqual({ IRQ: 1 });
});

it("vector 42: a forwarded line is taken once, never masked; the guest's end deactivates it without an exit", () => {
  const pv = new Counted(fixture("level-high", "forward")).raise();
  expect(pv.tkmu).toEqual([1, 1, 0, 0]);
  expect(pv.exits).toEqual({ IRQ: 1 });
  expect(pv.delivery.meter.resampleSignals).toBe(0);
  const { machine } = pv.delivery;
  if (!(machine instanceof Machine)) throw new Error("no machine with a GIC");
  expect(machine.host.gic.isActive(0, pv.line.intid)).toBe(false);
});
