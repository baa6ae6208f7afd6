import { describe, expect, it } from "vitest";
import { Random } from "../../sim/random.js";
import { MPIC_20, MPIC_42 } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";
import { MpicReference } from "./reference-model.fixture.js";

const SEQUENCES = 60;
const STEPS = 120;
/** Each kind's first and last: the borders between external, internal, messages, IPIs and timers. */
const INTERRUPTS = [0, 0, 0, 0, 1, 3, 14, 15, 15, 16, 16, 17, 20, 223, 224, 225, 231, 255, 256, 257, 259, 260, 263];
const GLOBALS = [0x0, 0x40, 0x50, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0x1000, 0x1020, 0x1080, 0x1090, 0x10e0, 0x10f0, 0x3800, 0x3ff0];
const CPU_REGISTERS = [0x40, 0x44, 0x70, 0x74, 0x90, 0xb8];

const ivprAt = (n: number): number => (n < 256 ? 0x1_0000 + 0x20 * n : n < 260 ? 0x10a0 + 0x10 * (n - 256) : 0x1120 + 0x40 * (n - 260));

/** The controller and the reference, driven alike. */
class Pair {
  readonly controller: MpicHarness;
  readonly reference: MpicReference;
  private readonly asked: string[] = [];

  constructor(
    private readonly random: Random,
    isV42: boolean,
    private readonly cpus: number,
  ) {
    this.controller = new MpicHarness({ model: isV42 ? MPIC_42 : MPIC_20, cpus });
    this.reference = new MpicReference(isV42, cpus);
    for (let cpu = 0; cpu < cpus; cpu++) this.write(0x2_0080 + 0x1000 * cpu, 0, -1);
  }

  private pick(list: readonly number[]): number {
    return list[this.random.below(list.length)];
  }

  /** Small priorities and few CPUs, so that interrupts meet. */
  private ivpr(): number {
    const { random } = this;
    return (random.below(4) === 0 ? 2 ** 31 : 0) + 2 ** 22 * random.below(4) + random.below(5) * 2 ** 16 + random.below(2 ** 16);
  }

  private targets(): number {
    const { random, cpus } = this;
    const critical = random.below(5) === 0 ? 2 ** (30 - random.below(cpus)) : 0;
    return (random.below(20) === 0 ? 2 ** 31 : 0) + critical + random.below(2 ** cpus);
  }

  step(): void {
    const { random } = this;
    const n = this.pick(INTERRUPTS);
    const cpu = random.below(this.cpus);
    switch (random.below(14)) {
      case 0:
      case 1:
        return this.write(ivprAt(n), this.ivpr(), cpu);
      case 2:
        return n < 256 ? this.write(ivprAt(n) + 0x10, this.targets(), cpu) : this.write(0x1130 + 0x40 * random.below(4), this.targets(), cpu);
      case 3:
      case 4:
      case 5:
        return n <= 256 ? this.drive(n, random.below(3) > 0) : this.write(0x1740, random.below(8) * 2 ** 29 + random.below(32) * 2 ** 24, cpu);
      case 6:
      case 7:
        return this.read(0x2_00a0 + 0x1000 * cpu, cpu);
      case 8:
        return this.write(0x2_00b0 + 0x1000 * cpu, random.next32() >>> 0, cpu);
      case 9:
        return this.write(0x2_0080 + 0x1000 * cpu, random.below(3) === 0 ? random.below(16) : 0, cpu);
      case 10:
        return random.below(3) === 0 ? this.write(0x40 + 0x10 * random.below(4), this.targets() % 16, cpu) : this.write(0x2_0040 + 0x1000 * cpu + 0x10 * random.below(4), 1 + random.below(2 ** this.cpus), cpu);
      case 11:
        return this.read(this.pick([0x1600, 0x1610, 0x1670, 0x1720, 0x1740, 0x1604]), cpu);
      case 12:
        return random.below(30) === 0 ? this.write(0x1020, random.next32() >>> 0, cpu) : this.anyRegister(random.below(8) === 0 ? -1 : cpu);
      default:
        return this.ilr(n % 256);
    }
  }

  private ilr(n: number): void {
    if (this.random.below(3) === 0) this.write(0x1_0018 + 0x20 * n, this.random.below(8), 0);
  }

  /** Registers that seldom matter, read or written as they are. */
  private anyRegister(cpu: number): void {
    const { random } = this;
    const kinds = [this.pick(GLOBALS), 0x10f0 + 0x10 * random.below(17), 0x2_0000 + 0x1000 * random.below(this.cpus) + this.pick(CPU_REGISTERS), ivprAt(this.pick(INTERRUPTS)), 0x1_0000 + 0x20 * random.below(256) + this.pick([0x8, 0x10, 0x18])];
    const offset = this.pick(kinds);
    if (random.below(3) > 0) this.read(offset, cpu);
    else if (offset !== 0x1020) this.write(offset, random.below(2) === 0 ? random.below(16) : random.next32() >>> 0, cpu);
  }

  private write(offset: number, value: number, cpu: number): void {
    this.asked.push(`write ${offset.toString(16)} ${value.toString(16)} by ${cpu}`);
    this.same("answers", this.controller.write(offset, value, cpu), this.reference.write(offset, value, cpu));
  }

  private read(offset: number, cpu: number): void {
    this.asked.push(`read ${offset.toString(16)} by ${cpu}`);
    const read = this.controller.read(offset, cpu);
    this.same("reads", typeof read === "string" ? Number(read) : read, this.reference.read(offset, cpu));
  }

  private drive(n: number, isHigh: boolean): void {
    this.asked.push(`drive ${n} ${isHigh}`);
    this.controller.drive(n, isHigh ? 1 : 0);
    this.reference.drive(n, isHigh);
  }

  private same(what: string, is: unknown, shouldBe: unknown): void {
    if (JSON.stringify(is) !== JSON.stringify(shouldBe)) expect({ [what]: is, after: this.asked.slice(-30) }).toEqual({ [what]: shouldBe, after: this.asked.slice(-30) });
  }

  /** Lines, queues with what they have cached, counters of outputs, words of sources, who was told of an end. */
  compare(): void {
    const { mpic } = this.controller;
    for (let number = 0; number < this.cpus; number++) {
      const { ctpr, raised, servicing, active, isLineHigh } = mpic.cpus[number];
      const is = { ctpr, line: isLineHigh, raised: [raised.members(), raised.next, raised.priority], servicing: [servicing.members(), servicing.next, servicing.priority], active: [active[1], active[2]] };
      const cpu = this.reference.cpus[number];
      const queue = ({ members, next, priority }: { members: Set<number>; next: number; priority: number }): unknown => [[...members].sort((a, b) => a - b), next, priority];
      this.same(`CPU ${number}`, is, { ctpr: cpu.ctpr, line: cpu.line, raised: queue(cpu.raised), servicing: queue(cpu.servicing), active: [cpu.counters[1], cpu.counters[2]] });
    }
    for (const n of INTERRUPTS) this.same(`pending and targets of ${n}`, [mpic.pending[n] !== 0, mpic.destination[n] >>> 0], this.reference.condition(n));
    this.same("heard", this.controller.heard, this.reference.heard);
  }
}

describe("mpic.md 4 and 5: the controller is as the text says", () => {
  it.each([
    ["2.0", false, 2],
    ["2.0", false, 4],
    ["4.2", true, 1],
    ["4.2", true, 3],
  ])("model %s (an ILR: %s) with %s CPUs, after any access", (_name, isV42, cpus) => {
    for (let seed = 1; seed <= SEQUENCES; seed++) {
      const pair = new Pair(new Random(seed), isV42, cpus);
      for (let i = 0; i < STEPS; i++) {
        pair.step();
        pair.compare();
      }
    }
  });
});
