import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IchHcr, IchMisr, IchVmcr } from "../../arch/gic/gich.js";
import { LrV2 } from "../../arch/gic/list-register.js";
import { run } from "../../sim/step.js";
import { Gichv2 } from "./gich.js";
import { GicV2 } from "./gicv2.js";
import { GicV3 } from "./gicv3.js";
import { Ichv3 } from "./ich.js";

// Sections A10.3 to A10.6 of gic-v3.md and 2.4, 2.5 of host-irq.md written down a second time, plainly.

const LRS = 3;
const SPURIOUS = 1023;
type Group = 0 | 1;

interface PlainLr {
  intid: number;
  priority: number;
  group: Group;
  pending: boolean;
  active: boolean;
  eoi: boolean;
  /** 0: not HW */
  physical: number;
}

interface Control {
  mask: number;
  bpr0: number;
  bpr1: number;
  common: boolean;
  split: boolean;
  on: readonly [boolean, boolean];
  enables: number;
}

const EMPTY: PlainLr = { intid: 0, priority: 0, group: 0, pending: false, active: false, eoi: false, physical: 0 };
const RESET: Control = { mask: 0xf0, bpr0: 2, bpr1: 3, common: false, split: false, on: [true, true], enables: 0 };

class PlainInterface {
  lrs: PlainLr[] = Array.from({ length: LRS }, () => ({ ...EMPTY }));
  /** Active group priorities by group; GICv2 does not tell them apart. */
  active: { priority: number; group: Group }[] = [];
  control = RESET;
  eoiCount = 0;
  readonly physicallyActive = new Set<number>();

  constructor(private readonly knowsGroups: boolean) {}

  preemption(priority: number, group: Group): number {
    const { bpr0, bpr1, common } = this.control;
    const lowest = group === 0 ? bpr0 + 1 : common ? bpr0 + 1 : bpr1;
    return priority - (priority % 2 ** lowest);
  }

  running = (): number => Math.min(0xff, ...this.active.map((each) => each.priority));

  candidate(): PlainLr | undefined {
    const ready = this.lrs.filter((lr) => lr.pending && !lr.active && this.control.on[lr.group]);
    return ready.find((lr) => ready.every((other) => lr.priority <= other.priority));
  }

  isSignalled(group: Group): boolean {
    const lr = this.candidate();
    return lr !== undefined && lr.group === group && lr.priority < this.control.mask && this.preemption(lr.priority, group) < this.running();
  }

  acknowledge(group: Group): number {
    const lr = this.candidate();
    if (lr === undefined || !this.isSignalled(group)) return SPURIOUS;
    lr.pending = false;
    lr.active = true;
    const priority = this.preemption(lr.priority, group);
    if (!this.active.some((each) => each.priority === priority && (each.group === group || !this.knowsGroups))) this.active.push({ priority, group });
    return lr.intid;
  }

  end(group: Group, intid: number): void {
    if (intid >= 1020 || this.active.length === 0) return;
    const dropped = this.running();
    const first = this.active.filter((each) => each.priority === dropped).sort((a, b) => a.group - b.group)[0];
    this.active.splice(this.active.indexOf(first), 1);
    if (this.control.split) return;
    const lr = this.lrs.find((each) => each.active && each.intid === intid);
    if (lr === undefined) this.eoiCount = (this.eoiCount + 1) % 32;
    else if ((lr.group === group || !this.knowsGroups) && this.preemption(lr.priority, lr.group) === dropped) this.finish(lr);
  }

  deactivate(intid: number): void {
    if (!this.control.split || intid >= 1020) return;
    const lr = this.lrs.find((each) => each.active && each.intid === intid);
    if (lr === undefined) this.eoiCount = (this.eoiCount + 1) % 32;
    else this.finish(lr);
  }

  private finish(lr: PlainLr): void {
    lr.active = false;
    this.physicallyActive.delete(lr.physical);
  }

  bits = (is: (lr: PlainLr) => boolean): number => this.lrs.reduce((word, lr, i) => word | (is(lr) ? 1 << i : 0), 0);
  isInvalid = (lr: PlainLr): boolean => !lr.pending && !lr.active;
  eisr = (): number => this.bits((lr) => this.isInvalid(lr) && lr.physical === 0 && lr.eoi);
  elrsr = (): number => this.bits((lr) => this.isInvalid(lr) && (lr.physical !== 0 || !lr.eoi));

  misr(): number {
    const { enables, on } = this.control;
    const when = (enable: number, condition: boolean, bit: number): number => ((enables & enable) !== 0 && condition ? bit : 0);
    return (
      (this.eisr() === 0 ? 0 : IchMisr.EOI) |
      when(IchHcr.UIE, this.lrs.filter((lr) => !this.isInvalid(lr)).length <= 1, IchMisr.U) |
      when(IchHcr.LRENPIE, this.eoiCount > 0, IchMisr.LRENP) |
      when(IchHcr.NPIE, !this.lrs.some((lr) => lr.pending && !lr.active), IchMisr.NP) |
      when(IchHcr.VGRP0EIE, on[0], IchMisr.VGRP0E) |
      when(IchHcr.VGRP0DIE, !on[0], IchMisr.VGRP0D) |
      when(IchHcr.VGRP1EIE, on[1], IchMisr.VGRP1E) |
      when(IchHcr.VGRP1DIE, !on[1], IchMisr.VGRP1D)
    );
  }
}

/** The image of a list register in each version's layout. */
function load(fast: Ichv3 | Gichv2, index: number, lr: PlainLr): void {
  const state = (lr.pending ? 1 : 0) | (lr.active ? 2 : 0);
  if (fast.version === 3) {
    fast.lrLo[index] = lr.intid;
    fast.lrHi[index] = (state << 30) | (lr.physical === 0 ? (lr.eoi ? 1 << 9 : 0) : (1 << 29) | lr.physical) | (lr.group << 28) | (lr.priority << 16);
  } else {
    const link = lr.physical === 0 ? (lr.eoi ? LrV2.EOI : 0) : LrV2.HW | (lr.physical << LrV2.PINTID_SHIFT);
    fast.lrLo[index] = lr.intid | link | ((lr.priority >> 3) << LrV2.PRIORITY_SHIFT) | (state << 28) | (lr.group << 30);
  }
}

const priorities = fc.constantFrom(0x00, 0x40, 0x48, 0x80, 0xa0, 0xa8, 0xf0);
const flags = fc.record({ priority: priorities, group: fc.constantFrom<Group>(0, 1), pending: fc.constant(true), active: fc.constantFrom(false, false, false, true), eoi: fc.boolean(), isHw: fc.constantFrom(false, false, true) });
const group = fc.constantFrom<Group>(0, 1);
const actions = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("load" as const), index: fc.nat(LRS - 1), flags }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("acknowledge" as const), group }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("end" as const), group, isOwn: fc.constantFrom(true, true, true, false), odd: fc.constantFrom(40, 41, 42, 99, SPURIOUS) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("deactivate" as const), intid: fc.constantFrom(40, 41, 42, 99) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("control" as const),
        control: fc.record({
          mask: fc.constantFrom(0xf0, 0xf8, 0x80),
          bpr0: fc.integer({ min: 2, max: 7 }),
          bpr1: fc.integer({ min: 3, max: 7 }),
          common: fc.boolean(),
          split: fc.boolean(),
          on: fc.constantFrom<readonly [boolean, boolean]>([true, true], [true, true], [false, true], [true, false]),
          enables: fc.constantFrom(0, IchHcr.UIE, IchHcr.LRENPIE, IchHcr.NPIE, 0xfe),
        }),
      }),
    },
  ),
  { minLength: 1, maxLength: 80, size: "max" },
);
type Action = typeof actions extends fc.Arbitrary<(infer T)[]> ? T : never;

class Pair {
  private last = SPURIOUS;
  private lastGroup: Group = 0;
  private readonly slow: PlainInterface;

  constructor(
    private readonly gic: GicV2 | GicV3,
    private readonly fast: Ichv3 | Gichv2,
  ) {
    this.slow = new PlainInterface(fast.version === 3);
    fast.hcr = IchHcr.EN;
    this.program();
  }

  perform(action: Action): void {
    const { fast, slow } = this;
    switch (action.do) {
      case "load":
        return this.load(action.index, action.flags);
      case "acknowledge": {
        const own = fast.version === 3 ? action.group : (slow.candidate()?.group ?? 0);
        const intid = run(fast.acknowledge(own));
        expect(intid).toBe(slow.acknowledge(own));
        if (intid !== SPURIOUS) [this.last, this.lastGroup] = [intid, own];
        return;
      }
      case "end": {
        const [which, intid] = action.isOwn ? [this.lastGroup, this.last] : [action.group, action.odd];
        run(fast.endOfInterrupt(which, intid));
        return slow.end(which, intid);
      }
      case "deactivate":
        run(fast.deactivate(action.intid));
        return slow.deactivate(action.intid);
      case "control":
        slow.control = action.control;
        this.program();
    }
  }

  /** As the hypervisor does: only into a list register that is empty or ended; a HW one stands for an active interrupt. */
  private load(index: number, { isHw, ...fields }: { priority: number; group: Group; pending: boolean; active: boolean; eoi: boolean; isHw: boolean }): void {
    const { slow } = this;
    if (!slow.isInvalid(slow.lrs[index])) return;
    const physical = isHw ? 60 + index : 0;
    slow.lrs[index] = { ...fields, intid: 40 + index, physical, active: fields.active && !isHw };
    if (isHw) {
      slow.physicallyActive.add(physical);
      run(this.gic.setActive(0, physical, true));
    }
    load(this.fast, index, slow.lrs[index]);
    run(this.fast.update());
  }

  private program(): void {
    const { mask, bpr0, bpr1, common, split, on, enables } = this.slow.control;
    const bits = (on[0] ? IchVmcr.ENG0 : 0) | (on[1] ? IchVmcr.ENG1 : 0) | (common ? IchVmcr.CBPR : 0) | (split ? IchVmcr.EOIM : 0) | IchVmcr.ACK_CTL | IchVmcr.FIQ_EN;
    this.fast.vmcr = bits | (bpr1 << IchVmcr.BPR1_SHIFT) | (bpr0 << IchVmcr.BPR0_SHIFT) | (mask << IchVmcr.PMR_SHIFT);
    this.fast.hcr = IchHcr.EN | enables;
    this.slow.eoiCount = 0;
    run(this.fast.update());
  }

  compare(): void {
    const { fast, slow, gic } = this;
    const shift = fast.version === 3 ? 30 : 28;
    const words = fast.version === 3 ? fast.lrHi : fast.lrLo;
    const seen = {
      states: [...words].map((word) => (word >>> shift) & 3),
      running: fast.runningPriority(),
      signals: [fast.isSignalled(0), fast.isSignalled(1)],
      eisr: fast.eisr(),
      elrsr: fast.elrsr(),
      misr: fast.misr(),
      eoiCount: fast.hcr >>> 27,
      maintenance: gic.lineLevel(0, 25),
      physical: [60, 61, 62].filter((intid) => gic.isActive(0, intid)),
    };
    const right = {
      states: slow.lrs.map((lr) => (lr.pending ? 1 : 0) | (lr.active ? 2 : 0)),
      running: slow.running(),
      signals: [slow.isSignalled(0), slow.isSignalled(1)],
      eisr: slow.eisr(),
      elrsr: slow.elrsr(),
      misr: slow.misr(),
      eoiCount: slow.eoiCount,
      maintenance: slow.misr() !== 0,
      physical: [60, 61, 62].filter((intid) => slow.physicallyActive.has(intid)),
    };
    if (JSON.stringify(seen) !== JSON.stringify(right)) expect(seen).toEqual(right);
  }
}

const machines: readonly [string, () => Pair][] = [
  [
    "GICv3",
    () => {
      const gic = new GicV3({ cpus: 1, interrupts: 64, listRegisters: LRS });
      return new Pair(gic, gic.ich(0));
    },
  ],
  [
    "GICv2",
    () => {
      const gic = new GicV2({ cpus: 1, interrupts: 64, listRegisters: LRS });
      return new Pair(gic, gic.gich(0));
    },
  ],
];

describe("the virtual CPU interface follows gic-v3.md A10", () => {
  it.each(machines)("%s", (_name, make) => {
    fc.assert(
      fc.property(actions, (list) => {
        const pair = make();
        for (const action of list) {
          pair.perform(action);
          pair.compare();
        }
      }),
      { numRuns: 200, seed: 21 },
    );
  });
});
