import type { VirtualInterface } from "../../arch/gic/contract.js";
import { affinityOfId } from "../../arch/gic/sgi.js";
import { shared } from "../../sim/access.js";
import type { Sim } from "../../sim/sim.js";
import type { IrqchipVcpu } from "../contract.js";
import { ApList } from "./ap-list.js";
import { BASER_RESET } from "./its/lpi-tables.js";
import type { RedistRegion } from "./redist-region.js";
import { VGIC_NR_PRIVATE_IRQS, VgicIrq } from "./vgic-irq.js";

/** No address was set (VGIC_ADDR_UNDEF). */
export const VGIC_ADDR_UNDEF = -1;
const MAX_LRS = 64;
const EOI_COUNT_MAX = 31;

/**
 * The interrupt controller's part of one vCPU: its private interrupts, its list of active and pending ones, and the
 * CPU interface state while no physical CPU holds it (gic-v3.md A2). The CPU interface is touched by the vCPU's own
 * thread, or with the vCPU's mutex held.
 */
export class VgicCpu {
  readonly privateIrqs: readonly VgicIrq[];
  readonly apList: ApList;
  /** Aff3.Aff2.Aff1.Aff0, one byte each, from the vCPU id (gic-v3.md A1). */
  readonly affinity: number;

  /** The physical CPU's list registers while the vCPU is loaded there; null otherwise. */
  vif: VirtualInterface | null = null;
  physicalCpu = -1;
  /** ICH_VMCR_EL2 or GICH_VMCR as of the last put. */
  vmcr = 0;
  /** Active priorities as of the last put; GICv2 keeps GICH_APR in `ap0r[0]`. */
  readonly ap0r = new Int32Array(4);
  readonly ap1r = new Int32Array(4);
  /** ICC_SRE_EL1 of a GICv3 guest: SRE, DFB, DIB. */
  sre = 0;
  /** ICH_HCR_EL2 or GICH_HCR as the last exit left it. */
  hcr = 0;
  usedLrs = 0;
  readonly lrLo = new Int32Array(MAX_LRS);
  readonly lrHi = new Int32Array(MAX_LRS);
  /** What the summary before a flush counted on its list: not active, active, GICv2 SGIs with several sources, and SGIs of its own. */
  nrPending = 0;
  nrActive = 0;
  nrMultiSource = 0;
  nrSgis = 0;
  /** The list goes on behind the entry that took the last list register. */
  isCut = false;
  /** Interrupts that were active outside the list registers and that EOIcount says were ended, in order. */
  readonly ended: VgicIrq[] = [];

  /** Guest physical base of its redistributor frames. */
  rdBase = VGIC_ADDR_UNDEF;
  rdRegion: RedistRegion | null = null;
  /** Its place in the region. */
  rdIndex = 0;

  /** Priority bits and ICC_CTLR_EL1.IDbits as user space last restored them; the host's from INIT on. */
  priorityBits = 0;
  idBitsField = 0;
  /** GICR_CTLR.EnableLPIs. */
  lpisEnabled = false;
  /** LPIs were disabled, and some may still be listed. */
  isDrainingLpis = false;
  /** GICR_SYNCR: invalidations under way. */
  lpiInvalidations = 0;
  /** GICR_PENDBASER; PTZ is kept but never read back. */
  pendbaserLow = BASER_RESET;
  pendbaserHigh = 0;

  constructor(
    sim: Sim,
    readonly vcpu: IrqchipVcpu,
    model: 2 | 3,
  ) {
    this.apList = new ApList(sim);
    this.affinity = affinityOfId(vcpu.id);
    const irqs: VgicIrq[] = [];
    for (let intid = 0; intid < VGIC_NR_PRIVATE_IRQS; intid++) irqs.push(new VgicIrq(sim, intid, this, model));
    this.privateIrqs = irqs;
    for (let i = 0; i < EOI_COUNT_MAX; i++) this.ended.push(irqs[0]);
  }

  get index(): number {
    return this.vcpu.index;
  }
}
shared(VgicCpu, "lpisEnabled", "lpiInvalidations", "pendbaserLow");
