import { describe, expect, it } from "vitest";
import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { Icc } from "../../arch/gic/icc.js";
import { IchVmcr } from "../../arch/gic/gich.js";
import { run } from "../../sim/step.js";
import { AttrMachine, GICD, GICR } from "./vgic-attr.fixture.js";
import { VgicConfig, type VgicIrq } from "./vgic-irq.js";
import { restore, save } from "./vgic-migrate.fixture.js";

const SGI = 0x10000;

/** A stream of numbers below a bound; the same seed, the same numbers. */
function stream(seed: number): (bound: number) => number {
  let state = seed * 2654435761 + 1;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % bound;
  };
}

/** Active interrupts of each vCPU, the one acknowledged last at the end. */
type Stacks = readonly number[][];

/** A guest that has programmed everything differently and is in the middle of its interrupts. */
function lived(seed: number): { machine: AttrMachine; stacks: Stacks } {
  const below = stream(seed);
  const machine = AttrMachine.f0({ ids: [0, 3, 17, 1] });
  const stacks: Stacks = [[], [], [], []];
  const word = (): number => ((below(0x10000) << 16) | below(0x10000)) >>> 0;
  machine.store(GICD, 2);
  machine.dist.cpus.forEach((cpu, i) => {
    const base = GICR + 0x20000 * i + SGI;
    machine.store(base + 0x180, 0xffffffff);
    machine.store(base + 0x100, word());
    for (let offset = 0x400; offset < 0x420; offset += 4) machine.store(base + offset, word());
    machine.store(GICR + 0x20000 * i + 0x78, BigInt(word()) << 16n, 8);
    for (const [encoding, value] of [[Icc.PMR, 0xf8], [Icc.BPR1, 3 + below(3)], [Icc.IGRPEN1, 1], [Icc.CTLR, 0x8c00]] as const) machine.must(machine.setSysreg(encoding, BigInt(value), cpu.affinity));
  });
  for (let intid = 32; intid < 96; intid++) {
    machine.store(GICD + 0x400 + intid, below(0xf0), 1);
    machine.store(GICD + 0x6000 + 8 * intid, [0, 3, 0x101, 1, 0x999][below(5)]);
  }
  for (let offset = 0xc08; offset < 0xc18; offset += 4) machine.store(GICD + offset, word());
  for (const offset of [0x104, 0x108]) machine.store(GICD + offset, word());
  for (let n = 0; n < 60; n++) act(machine, stacks, below);
  return { machine, stacks };
}

function act(machine: AttrMachine, stacks: Stacks, below: (bound: number) => number): void {
  const vcpu = below(4);
  const intid = 32 + below(64);
  switch (below(7)) {
    case 0:
      return machine.store(GICD + 0x200 + (intid >> 5) * 4, 1 << (intid & 31));
    case 1:
      run(machine.vgic.inject(vcpu, 16 + below(16), below(3) > 0, null));
      return;
    case 2:
      run(machine.vgic.guestSysregWrite(vcpu, Icc.SGI1R, (below(16) << 24) | 0xb, below(2) << 8));
      return;
    case 3:
    case 4:
      run(machine.vgic.inject(-1, intid, below(3) > 0, null));
      return;
    case 5:
      return machine.inGuest(vcpu, (vif) => {
        const taken = stacks[vcpu].length < 3 ? run(vif.acknowledge(1)) : SPURIOUS_INTID;
        if (taken !== SPURIOUS_INTID) stacks[vcpu].push(taken);
      });
    default:
      return machine.inGuest(vcpu, (vif) => {
        const ended = stacks[vcpu].pop();
        if (ended !== undefined) run(vif.endOfInterrupt(1, ended));
      });
  }
}

/** What of an interrupt the architecture knows (I16). The wire of an edge interrupt is nobody's business. */
const shapeOf = (irq: VgicIrq) => ({
  enabled: irq.enabled,
  latch: irq.pendingLatch,
  line: irq.config === VgicConfig.LEVEL && irq.lineLevel,
  active: irq.active,
  priority: irq.priority,
  group: irq.group,
  config: irq.config,
  mpidr: irq.mpidr,
  target: irq.targetVcpu === null ? null : irq.targetVcpu.index,
});

const imageOf = (machine: AttrMachine) => ({
  enabled: machine.dist.enabled,
  revision: machine.dist.implementationRev,
  propbaser: [machine.dist.propbaserLow, machine.dist.propbaserHigh],
  spis: machine.dist.spis.map(shapeOf),
  cpus: machine.dist.cpus.map((cpu) => ({
    irqs: cpu.privateIrqs.map(shapeOf),
    listed: cpu.apList.intids().toSorted((a, b) => a - b),
    vmcr: cpu.vmcr,
    active: [...cpu.ap0r, ...cpu.ap1r],
    pendbaser: [cpu.pendbaserLow, cpu.pendbaserHigh],
  })),
});

/** Ends what is active and takes what is left, everything at rest: INTIDs by vCPU. */
function finish(machine: AttrMachine, stacks: Stacks): number[][] {
  for (const irq of [...machine.dist.spis, ...machine.dist.cpus.flatMap((cpu) => cpu.privateIrqs)]) {
    run(irq.lock.lock());
    irq.lineLevel = false;
    run(irq.lock.unlock());
  }
  return stacks.map((stack, vcpu) => {
    const taken: number[] = [];
    for (const intid of stack.toReversed()) machine.inGuest(vcpu, (vif) => run(vif.endOfInterrupt(1, intid)));
    for (let intid = 0; intid !== SPURIOUS_INTID && taken.length < 200; )
      machine.inGuest(vcpu, (vif) => {
        intid = run(vif.acknowledge(1));
        if (intid === SPURIOUS_INTID) return;
        taken.push(intid);
        run(vif.endOfInterrupt(1, intid));
      });
    return taken.toSorted((a, b) => a - b);
  });
}

/** Everybody looks once, so that what should be elsewhere is: what was listed where it no longer belongs has moved. */
function settle(machine: AttrMachine): void {
  for (let round = 0; round < 2; round++) for (let vcpu = 0; vcpu < 4; vcpu++) machine.inGuest(vcpu, () => {});
}

describe("save and restore by attributes (gic-v3.md A3.10, I16)", () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))("a restored VM is the saved one, seed %i", (seed) => {
    const { machine, stacks } = lived(seed);
    settle(machine);
    const target = AttrMachine.f0({ ids: [0, 3, 17, 1] });
    restore(target, save(machine));
    expect(imageOf(target)).toEqual(imageOf(machine));
    settle(target);
    expect(imageOf(target)).toEqual(imageOf(machine));
    expect(save(target)).toEqual(save(machine));
    expect(finish(target, stacks)).toEqual(finish(machine, stacks));
    expect(target.dist.cpus.map((cpu) => [cpu.ap0r[0], cpu.ap1r[0]])).toEqual(stacks.map(() => [0, 0]));
  });

  it("the runs above have met every kind of state", () => {
    const all = Array.from({ length: 40 }, (_, seed) => imageOf(lived(seed).machine));
    const irqs = all.flatMap((image) => [...image.spis, ...image.cpus.flatMap((cpu) => cpu.irqs)]);
    const has = (what: (irq: (typeof irqs)[number]) => boolean): boolean => irqs.some(what);
    expect([
      has((irq) => irq.active && irq.latch),
      has((irq) => irq.active && irq.line),
      has((irq) => irq.active && !irq.latch && !irq.line),
      has((irq) => irq.latch && irq.line),
      has((irq) => irq.line && !irq.enabled),
      has((irq) => irq.latch && irq.target === null),
      all.some((image) => image.cpus.some((cpu) => cpu.active.filter((bits) => (bits & (bits - 1)) !== 0).length > 0)),
    ]).toEqual([true, true, true, true, true, true, true]);
  });

  it("an interrupt restored as active gives no acknowledge, and takes an end (selftest vgic_irq, A13)", () => {
    const machine = AttrMachine.f0();
    machine.must(machine.setDist(0, 2));
    machine.must(machine.setDist(0x104, 1 << 8));
    machine.must(machine.setDist(0x304, 1 << 8));
    for (const [encoding, value] of [[Icc.PMR, 0xf8n], [Icc.IGRPEN1, 1n], [Icc.AP1R0, 1n]] as const) machine.must(machine.setSysreg(encoding, value));
    machine.inGuest(0, (vif) => {
      expect(run(vif.acknowledge(1))).toBe(SPURIOUS_INTID);
      run(vif.endOfInterrupt(1, 40));
    });
    expect([machine.dist32(0x304), machine.sysreg(Icc.AP1R0), machine.dist.cpus[0].vmcr >>> IchVmcr.PMR_SHIFT]).toEqual([0, 0, 0xf8]);
  });

  it("restored before the distributor is enabled, nothing is listed: CTLR comes first (A9.1)", () => {
    const order = (ctlrFirst: boolean): number[] => {
      const machine = AttrMachine.f0();
      if (ctlrFirst) machine.must(machine.setDist(0, 2));
      machine.must(machine.setDist(0x104, 1 << 8));
      machine.must(machine.setDist(0x204, 1 << 8));
      if (!ctlrFirst) machine.must(machine.setDist(0, 2));
      return machine.dist.cpus[0].apList.intids();
    };
    expect([order(true), order(false)]).toEqual([[40], []]);
  });
});
