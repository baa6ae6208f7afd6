import type { HostRam } from "./host-ram.js";

interface Cached {
  readonly table: number;
  readonly copy: number;
  readonly size: number;
}

/**
 * GICv4.1, where an implementation keeps the pending tables of mapped vPEs to itself: what comes is in memory of the GIC's own
 * until the last VMAPP V=0 writes it back (gic-v4.md C1.5, C6; hazard R46).
 */
export class PendingCaches {
  private readonly byVpe = new Map<number, Cached>();
  private readonly free: number[] = [];

  constructor(private readonly ram: HostRam) {}

  /** A vPE is mapped: where the GIC has its pending table from now on. */
  open(vpeid: number, table: number, size: number): number {
    const known = this.byVpe.get(vpeid);
    if (known !== undefined) return known.copy;
    const copy = this.free.pop() ?? this.ram.take(BLOCK, BLOCK);
    if (copy < 0 || !this.ram.has(table, size)) return table;
    this.byVpe.set(vpeid, { table, copy, size });
    this.move(table, copy, size);
    return copy;
  }

  /** It is mapped nowhere any more. */
  close(vpeid: number): void {
    const known = this.byVpe.get(vpeid);
    if (known === undefined) return;
    this.byVpe.delete(vpeid);
    this.free.push(known.copy);
    this.move(known.copy, known.table, known.size);
  }

  private move(from: number, to: number, size: number): void {
    for (let at = 0; at < size; at += 4) if (this.ram.word(to + at) !== this.ram.word(from + at)) this.ram.setWord(to + at, this.ram.word(from + at));
  }
}

/** A pending table of 16 bits of INTID is less than that. */
const BLOCK = 0x10000;
