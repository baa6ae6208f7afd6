import { propAddress, propIdBits, vpendAddress } from "../../../arch/gic/gicr-vlpi.js";
import type { Candidates } from "../candidates.js";
import type { HostRam } from "./host-ram.js";
import { LpiSet } from "./lpi-set.js";

/** INTIDs of 16 bits: GICD_TYPER.IDbits. */
const MAX_ID_BITS = 16;

/**
 * The physical LPIs of one redistributor (gic-v3.md A6.3, gic-its.md B11): GICR_PROPBASER, GICR_PENDBASER, EnableLPIs, and
 * what is pending for its CPU. Each call is part of one atomic access of the GIC.
 */
export class RedistLpis {
  isEnabled = false;
  propbaserLow = 0;
  propbaserHigh = 0;
  pendbaserLow = 0;
  pendbaserHigh = 0;
  private readonly set: LpiSet;

  constructor(
    ram: HostRam,
    private readonly candidates: Candidates,
  ) {
    this.set = new LpiSet(ram);
  }

  /** GICR_CTLR.EnableLPIs: the tables are read when it is set, and are software's again when it is cleared. */
  enable(isEnabled: boolean): void {
    if (isEnabled === this.isEnabled) return;
    this.isEnabled = isEnabled;
    if (isEnabled) this.open();
    else this.set.close();
    this.offer();
  }

  /** After a write to a base register. Real hardware need not look while LPIs are enabled; this one does. */
  rebase(): void {
    if (!this.isEnabled) return;
    this.open();
    this.offer();
  }

  private open(): void {
    const idBits = Math.min(propIdBits(this.propbaserLow) + 1, MAX_ID_BITS);
    this.set.open(vpendAddress(this.pendbaserLow, this.pendbaserHigh), propAddress(this.propbaserLow, this.propbaserHigh), idBits);
  }

  /** An LPI came, or was taken back. */
  change(intid: number, isPending: boolean): void {
    if (this.set.change(intid, isPending)) this.offer();
  }

  isPending(intid: number): boolean {
    return this.set.has(intid) && this.set.isPending(intid);
  }

  /** INV, INVALL, GICR_INVLPIR, GICR_INVALLR: the configuration in memory holds from now on. */
  invalidate(): void {
    this.set.choose();
    this.offer();
  }

  /** MOVI: an LPI that is pending here becomes pending there. */
  move(intid: number, to: RedistLpis): void {
    if (!to.set.has(intid) || !this.isPending(intid)) return;
    this.change(intid, false);
    to.change(intid, true);
  }

  /** MOVALL. */
  moveAll(to: RedistLpis): void {
    if (!this.isEnabled || !to.isEnabled) return;
    this.set.moveTo(to.set);
    this.offer();
    to.offer();
  }

  private offer(): void {
    this.candidates.offerLpi(this.set.intid, this.set.priority);
  }
}
