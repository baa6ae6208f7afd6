import { Icc } from "../../arch/gic/icc.js";
import type { AttrMachine } from "./vgic-attr.fixture.js";

// What a VMM saves of a GICv3 and how it puts it back, by attributes alone (gic-v3.md A3.10).

/** A register in the order in which it is restored; `clear` is written with all ones before. */
interface Saved {
  readonly kind: "dist" | "redist" | "level" | "sysreg";
  readonly affinity: number;
  readonly offset: number;
  readonly clear: number;
  readonly value: number;
}

const SGI = 0x10000;
const NONE = -1;

/** Offset and what to clear first. Arrays that set by ones only cannot be put back without. */
const ARRAYS: readonly (readonly [offset: number, clear: number, perWord: number])[] = [
  [0x080, NONE, 32],
  [0xc00, NONE, 16],
  [0x400, NONE, 4],
  [0x100, 0x180, 32],
  [0x300, 0x380, 32],
  [0x200, NONE, 32],
];
const SYSREGS = [Icc.SRE, Icc.CTLR, Icc.PMR, Icc.BPR0, Icc.BPR1, Icc.AP0R0, Icc.AP1R0, Icc.IGRPEN0, Icc.IGRPEN1];

/** Every register, in the order of the restore: revision, distributor, redistributors, wires, CPU interfaces. */
export function save(machine: AttrMachine): Saved[] {
  const saved: Saved[] = [];
  const interrupts = Number(machine.dist32(4) & 0x1f) * 32 + 32;
  const affinities = machine.dist.cpus.map((cpu) => cpu.affinity);
  const dist = (offset: number, clear = NONE): number => saved.push({ kind: "dist", affinity: 0, offset, clear, value: machine.dist32(offset) });
  const redist = (affinity: number, offset: number, clear = NONE): number => saved.push({ kind: "redist", affinity, offset, clear, value: machine.redist32(affinity, offset) });
  dist(0x8);
  dist(0x0);
  for (let intid = 32; intid < interrupts; intid++) for (const half of [0, 4]) dist(0x6000 + 8 * intid + half);
  for (const [offset, clear, perWord] of ARRAYS)
    for (let intid = 32; intid < interrupts; intid += perWord) dist(offset + (intid / perWord) * 4, clear === NONE ? NONE : clear + (intid / perWord) * 4);
  for (const affinity of affinities) {
    for (const offset of [0x70, 0x74, 0x78, 0x7c, 0x0]) redist(affinity, offset);
    for (const [offset, clear, perWord] of ARRAYS)
      for (let intid = 0; intid < 32; intid += perWord) redist(affinity, SGI + offset + (intid / perWord) * 4, clear === NONE ? NONE : SGI + clear);
    for (let intid = affinity === affinities[0] ? interrupts - 32 : 0; intid >= 0; intid -= 32) saved.push({ kind: "level", affinity, offset: intid, clear: NONE, value: machine.levels(intid, affinity) });
    for (const offset of SYSREGS) saved.push({ kind: "sysreg", affinity, offset, clear: NONE, value: machine.sysreg(offset, affinity) });
  }
  return saved;
}

export function restore(machine: AttrMachine, saved: readonly Saved[]): void {
  for (const { kind, affinity, offset, clear, value } of saved) {
    if (kind === "dist") {
      if (clear !== NONE) machine.must(machine.setDist(clear, 0xffffffff));
      machine.must(machine.setDist(offset, value));
    } else if (kind === "redist") {
      if (clear !== NONE) machine.must(machine.setRedist(affinity, clear, 0xffffffff));
      machine.must(machine.setRedist(affinity, offset, value));
    } else if (kind === "level") machine.must(machine.setLevels(offset, value, affinity));
    else machine.must(machine.setSysreg(offset, BigInt(value), affinity));
  }
}
