import { Icc } from "../../../arch/gic/icc.js";
import { NO_DOORBELL } from "../../../arch/gic/its-command.js";
import { run } from "../../../sim/step.js";
import type { ArmIts } from "./arm-its.fixture.js";
import { type Hw, type ItsMachine, VPT } from "./its-machine.fixture.js";
import { VPES_IN_PLAY } from "./its-operation.fixture.js";

/** The intids that a comparison looks at, and where vPEs' pending tables lie. */
export interface Compared {
  readonly physical: readonly number[];
  readonly virtual: readonly number[];
  readonly cpus: number;
  /** Bytes from one vPE's pending table to the next's. */
  readonly table: number;
}

/** The ITSs and the model by the manual, side by side. @throws Error with what differs */
export class ItsComparison {
  constructor(
    private readonly machine: ItsMachine,
    private readonly model: ArmIts,
    private readonly hw: Hw,
    private readonly compared: Compared,
    /** Is a vPE's pending table in the hardware, and not in memory? */
    private readonly isCached: (vpe: number) => boolean,
  ) {}

  /** What software can read on both. */
  all(): void {
    const { machine, model } = this;
    for (let cpu = 0; cpu < this.compared.cpus; cpu++) {
      if (model.isOn[cpu]) for (const intid of this.compared.physical) same("a pending LPI", machine.gic.lpis(cpu).isPending(intid), model.pending[cpu].has(intid));
      const intid = run(machine.gic.readSysreg(cpu, Icc.HPPIR1));
      if (!model.physicalFirsts(cpu).includes(intid)) differ(`HPPIR of CPU ${cpu}`, intid, model.physicalFirsts(cpu));
      if (this.hw !== "v3") this.virtualFirst(cpu);
    }
    if (this.hw !== "v3") for (let vpe = 0; vpe < VPES_IN_PLAY; vpe++) if (!this.isCached(vpe)) this.compareTable(vpe);
  }

  /** HPPIR of the guest on a CPU, and its group. */
  virtualFirst(cpu: number): [number, 0 | 1] {
    const ich = this.machine.gic.ich(cpu);
    const [first, second] = [ich.highestPending(0), ich.highestPending(1)];
    const intid = first === NO_DOORBELL ? second : first;
    const expected = this.model.virtualFirsts(cpu);
    if (!expected.includes(intid)) differ(`HPPIR of the guest on CPU ${cpu}`, intid, expected);
    const resident = this.model.resident[cpu];
    const group = resident === null || intid === NO_DOORBELL ? 1 : this.model.groupOf(resident.vpe, intid);
    same("HPPIR of the other group", group === 0 ? second : first, NO_DOORBELL);
    return [intid, group];
  }

  private compareTable(vpe: number): void {
    const { ram } = this.machine;
    for (const intid of this.compared.virtual) {
      const bit = (ram.u8(VPT + vpe * this.compared.table + (intid >>> 3)) >>> (intid & 7)) & 1;
      same("a bit of a virtual pending table", bit === 1, this.model.virtual[vpe].has(intid));
    }
  }
}

export function differ(what: string, found: unknown, expected: unknown): never {
  throw new Error(`${what}: ${String(found)}, by the manual ${String(expected)}`);
}

export function same(what: string, found: number | boolean, expected: number | boolean): void {
  if (found !== expected) differ(what, found, expected);
}
