import { describe, expect, it } from "vitest";
import { Random } from "../sim/random.js";
import { run } from "../sim/step.js";
import { PHYSICAL } from "./physical-target.js";
import type { Observation, Target } from "./target.js";
import type { ArmStep, ArmVector } from "./vector.js";
import { VIRTUAL } from "./virtual-target.js";
import { hexOf } from "./word.js";

/*
 * Where the architecture leaves no choice, KVM's GIC and the hardware's give a guest the same answers. So what is known to
 * differ stays out (README-qemu.md, gic.md D7): equal priorities, a level interrupt pended by ISPENDR, the distributor
 * switched off with something pending, a group changed or an ISACTIVER written while something is active, ends out of order.
 */

const CPUS = 2;
const OPERATIONS = 150;
const VECTOR: ArmVector = { id: "differential", title: "", machine: "virt,gic-version=3,its=on", cpus: CPUS, steps: [] };

interface Line {
  readonly intid: number;
  readonly isEdge: boolean;
  level: 0 | 1;
}

/** A virtual and a physical GICv3 that are given the same steps. */
class Pair {
  readonly differences: string[] = [];
  private readonly virtual: Target = VIRTUAL.make(VECTOR, "newest");
  private readonly physical: Target = PHYSICAL.make(VECTOR, "newest");

  perform(step: object): Observation {
    const virtual = run(this.virtual.perform(step as ArmStep));
    const physical = run(this.physical.perform(step as ArmStep));
    if (String(virtual) !== String(physical)) this.differences.push(`${JSON.stringify(step)}: virtual ${String(virtual)}, physical ${String(physical)}`);
    return physical;
  }

  write(cpu: number, reg: string, off: number, value: number, size = 4, rd = cpu): void {
    this.perform({ op: "write", cpu, reg, rd, off: hexOf(off), size, value: hexOf(value) });
  }

  read(cpu: number, reg: string, off: number): void {
    this.perform({ op: "read", cpu, reg, off: hexOf(off), size: 4 });
  }

  sysWrite(cpu: number, reg: string, value: number, high = 0): void {
    this.perform({ op: "sysWrite", cpu, reg, value: hexOf(value, high) });
  }

  sysRead(cpu: number, reg: string): number {
    return Number(this.perform({ op: "sysRead", cpu, reg }));
  }
}

/** Both groups on, SGIs 0 to 7 and six SPIs of CPU 0 enabled, every priority its own; some SPIs are in group 0. */
function setUp(pair: Pair, random: Random, eoiMode: 0 | 1): Line[] {
  const priorities = Array.from({ length: 31 }, (_, i) => i * 8);
  const priority = (): number => priorities.splice(random.below(priorities.length), 1)[0];
  pair.write(0, "GICD_CTLR", 0, 3);
  for (let cpu = 0; cpu < CPUS; cpu++) {
    pair.write(cpu, "GICR_IGROUPR0", 0x10080, -1);
    pair.write(cpu, "GICR_ISENABLER0", 0x10100, 0xff);
    pair.sysWrite(cpu, "ICC_PMR_EL1", 0xf8);
    pair.sysWrite(cpu, "ICC_BPR1_EL1", 3);
    pair.sysWrite(cpu, "ICC_IGRPEN0_EL1", 1);
    pair.sysWrite(cpu, "ICC_IGRPEN1_EL1", 1);
    pair.sysWrite(cpu, "ICC_CTLR_EL1", eoiMode << 1);
  }
  for (let sgi = 0; sgi < 8; sgi++) {
    const own = priority();
    for (let cpu = 0; cpu < CPUS; cpu++) pair.write(cpu, "GICR_IPRIORITYR", 0x10400 + sgi, own, 1);
  }
  return Array.from({ length: 6 }, (_, i): Line => {
    const intid = 32 * (i + 1) + random.below(32);
    const isEdge = random.below(2) === 1;
    const word = 4 * (intid >> 5);
    pair.write(0, "GICD_IGROUPR", 0x80 + word, random.below(3) === 0 ? 0 : -1);
    pair.write(0, "GICD_ICFGR", 0xc00 + 4 * (intid >> 4), isEdge ? 2 << (2 * (intid & 15)) : 0);
    pair.write(0, "GICD_IPRIORITYR", 0x400 + intid, priority(), 1);
    pair.write(0, "GICD_ISENABLER", 0x100 + word, 1 << (intid & 31));
    return { intid, isEdge, level: 0 };
  });
}

/** One thing that the guest or a device does; interrupts are ended in the reverse order of their acknowledges. */
function operate(pair: Pair, random: Random, lines: readonly Line[], taken: [intid: number, group: number][][], dropped: number[]): void {
  const cpu = random.below(CPUS);
  const line = lines[random.below(lines.length)];
  const word = 4 * (line.intid >> 5);
  const bit = 1 << (line.intid & 31);
  switch (random.below(9)) {
    case 0:
    case 1:
      line.level = line.level === 0 ? 1 : 0;
      return void pair.perform({ op: "setIrq", intid: line.intid, level: line.level });
    case 2:
      return pair.sysWrite(cpu, "ICC_SGI1R_EL1", (random.below(8) << 24) | random.below(8), random.below(4) === 0 ? 0x100 : 0);
    case 3:
    case 4: {
      const group = random.below(3) === 0 ? 0 : 1;
      const intid = pair.sysRead(cpu, `ICC_IAR${group}_EL1`);
      if (intid < 1020) taken[cpu].push([intid, group]);
      return;
    }
    case 5: {
      const last = taken[cpu].pop();
      if (last === undefined) return;
      pair.sysWrite(cpu, `ICC_EOIR${last[1]}_EL1`, last[0]);
      if (last[0] >= 32) dropped.push(last[0]);
      else pair.sysWrite(cpu, "ICC_DIR_EL1", last[0]);
      return;
    }
    case 6:
      if (dropped.length > 0) pair.sysWrite(cpu, "ICC_DIR_EL1", dropped.splice(random.below(dropped.length), 1)[0]);
      return pair.sysWrite(cpu, "ICC_PMR_EL1", random.below(2) === 0 ? 0xf8 : random.below(32) * 8);
    case 7:
      if (random.below(2) === 0) return pair.write(cpu, "GICD_ISENABLER", (random.below(2) === 0 ? 0x100 : 0x180) + word, bit);
      return pair.write(cpu, "GICD_ISPENDR", (line.isEdge && random.below(2) === 0 ? 0x200 : 0x280) + word, bit);
    default:
      for (const offset of [0x200, 0x300]) pair.read(0, "GICD", offset + word);
      for (const offset of [0x10200, 0x10300]) pair.read(cpu, "GICR", offset);
      for (const reg of ["ISR", "ICC_RPR", "ICC_HPPIR0", "ICC_HPPIR1", "ICC_AP0R0", "ICC_AP1R0"]) pair.sysRead(cpu, `${reg}_EL1`);
  }
}

describe("a virtual and a physical GICv3 that are given the same steps", () => {
  for (const eoiMode of [0, 1] as const) {
    it(`show the guest the same, EOImode ${eoiMode}`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = new Random(seed);
        const pair = new Pair();
        const lines = setUp(pair, random, eoiMode);
        const taken: [number, number][][] = Array.from({ length: CPUS }, () => []);
        const dropped: number[] = [];
        for (let i = 0; i < OPERATIONS && pair.differences.length === 0; i++) operate(pair, random, lines, taken, dropped);
        expect([seed, pair.differences]).toEqual([seed, []]);
      }
    });
  }
});
