import { physicalAddress } from "../../../arch/gic/physical-address.js";
import { VPE_ENTRY_41, VpeRecord } from "./entries.js";
import type { HostRam } from "./host-ram.js";
import { ItsTable } from "./its-table.js";

const PAGE_SIZES = [0x1000, 0x4000, 0x10000, 0x10000];
const VALID = 0x80000000 | 0;
const INDIRECT = 1 << 23;

/** GICv4.1: the vPE table as GICR_VPROPBASER names it to a redistributor (gic-v4.md C1.2). */
export class VpeLookup {
  /** Where the one that was found lies. */
  at = 0;
  private readonly table: ItsTable;
  private readonly record = new VpeRecord();

  constructor(private readonly ram: HostRam) {
    this.table = new ItsTable(ram, VPE_ENTRY_41, 16);
  }

  /** The vPE, null where it is not mapped. What it returns holds until the next call. */
  find(vpropbaserLow: number, vpropbaserHigh: number, vpeid: number): VpeRecord | null {
    if ((vpropbaserHigh & VALID) === 0) return null;
    const base = physicalAddress(vpropbaserHigh & 0xfffff, vpropbaserLow & 0xfffff000);
    this.table.place(base, PAGE_SIZES[(vpropbaserHigh >>> 21) & 3], (vpropbaserLow & 0x7f) + 1, (vpropbaserHigh & INDIRECT) !== 0);
    this.at = vpeid < this.table.entries ? this.table.find(vpeid) : -1;
    return this.at >= 0 && this.record.load(this.ram, this.at, true) ? this.record : null;
  }
}
