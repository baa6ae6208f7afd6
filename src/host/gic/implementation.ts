import { GicrTyper } from "../../arch/gic/gicr-vlpi.js";
import { DEFAULT_VTR } from "../../arch/gic/icc.js";

/** What an implementation of the GICv3 chooses, where the architecture leaves a choice. */
export interface GicV3Implementation {
  /** Priority bits that the distributor and the redistributors store. */
  readonly priorityBits: number;
  /** ICH_VTR_EL2: gives the CPU interfaces' priority and preemption bits, ID bits and A3V. */
  readonly vtr: number;
  readonly gicdIidr: number;
  /** GICD_TYPER without ITLinesNumber: MBIS 16, LPIS 17, IDbits [23:19], A3V 24, No1N 25. */
  readonly gicdTyper: number;
  /** Subtracted from the ITLinesNumber that the architecture asks for (QEMU counts only SPIs). */
  readonly itLinesLess: number;
  readonly gicrIidr: number;
  /** GICR_CTLR bits that read as one: CES 1, IR 2. */
  readonly gicrCtlr: number;
  /** GICR_TYPER beside affinity, processor number and Last. */
  readonly gicrTyper: number;
  /** GICR_ICFGR1 writable. */
  readonly ppiTriggersWritable: boolean;
  /** GICD_PIDR2 and GICR_PIDR2: the architecture's version in [7:4]. */
  readonly pidr2: number;
  /** Of a list register and a vLPI with one priority the vLPI is the guest's first (gic-v4.md C1.4). */
  readonly vlpiWinsTie: boolean;
}

const ARM = 0x43b;

/** A plain Arm server part: 5 priority bits everywhere, no LPIs. */
export const GENERIC_GICV3: GicV3Implementation = {
  priorityBits: 5,
  vtr: DEFAULT_VTR,
  gicdIidr: ARM,
  gicdTyper: (9 << 19) | (1 << 24) | (1 << 25),
  itLinesLess: 0,
  gicrIidr: ARM,
  gicrCtlr: 0,
  gicrTyper: 0,
  ppiTriggersWritable: true,
  pidr2: 0x3b,
  vlpiWinsTie: false,
};

/** The GICv3 of QEMU 7.2's virt machine with its ITS: what the recorded vectors were answered by. */
export const QEMU_GICV3: GicV3Implementation = {
  ...GENERIC_GICV3,
  priorityBits: 8,
  gicdTyper: (15 << 19) | (1 << 17) | (1 << 24) | (1 << 25),
  itLinesLess: 1,
  gicrCtlr: 1 << 1,
  gicrTyper: (1 << 24) | 1,
};

/** The same with virtual LPIs: GICv4.0, one set of redistributors. */
export const QEMU_GICV4: GicV3Implementation = {
  ...QEMU_GICV3,
  gicdTyper: QEMU_GICV3.gicdTyper | (1 << 18),
  gicrTyper: QEMU_GICV3.gicrTyper | GicrTyper.VLPIS,
  pidr2: 0x4b,
};
