/** The idle priority: an interrupt of priority 0xff is never a candidate, as no mask lets it through. */
const NO_PRIORITY = 0xff;
const FIRST_LPI = 8192;

/**
 * What the distributor could forward to one CPU interface: the eligible interrupts by INTID, with a summary word, and
 * the best of them, so that no idle interrupt costs anything.
 */
export class Candidates {
  /** The interrupt this CPU would take first, -1 when none: lowest priority value, then lowest INTID. */
  intid = -1;
  /** Its priority; the idle one when there is none. */
  priority = NO_PRIORITY;
  group: 0 | 1 = 0;
  /** Groups enabled both in GICD_CTLR and in the CPU interface: bit 0 group 0, bit 1 group 1. */
  groups = 0;
  /** In {@link SignalChanges}. */
  isMarked = false;
  nextMarked: Candidates | null = null;
  private readonly rows = new Int32Array(32);
  /** Of those, the ones in group 1. */
  private readonly group1 = new Int32Array(32);
  private summary = 0;
  /** The best of this CPU's LPIs, -1 when there is none; all of them are in group 1. */
  private lpi = -1;
  private lpiPriority = NO_PRIORITY;

  /**
   * @param priorities of all interrupts of the GIC
   * @param privateAt place of this CPU's INTID 0 there
   * @param sharedAt INTID n from 32 on is at `sharedAt + n`
   */
  constructor(
    readonly cpu: number,
    private readonly changes: SignalChanges,
    private readonly priorities: Uint8Array,
    private readonly privateAt: number,
    private readonly sharedAt: number,
  ) {}

  admit(intid: number, priority: number, group: 0 | 1): void {
    const row = intid >> 5;
    const bit = 1 << (intid & 31);
    this.rows[row] |= bit;
    this.group1[row] = group === 1 ? this.group1[row] | bit : this.group1[row] & ~bit;
    this.summary |= 1 << row;
    if (priority > this.priority || (priority === this.priority && intid > this.intid)) return;
    this.intid = intid;
    this.priority = priority;
    this.group = group;
    this.mark();
  }

  withdraw(intid: number): void {
    const row = intid >> 5;
    const bit = 1 << (intid & 31);
    const before = this.rows[row];
    if ((before & bit) === 0) return;
    this.rows[row] = before & ~bit;
    if (before === bit) this.summary &= ~(1 << row);
    if (this.intid !== intid) return;
    this.intid = -1;
    this.priority = NO_PRIORITY;
    if (this.summary !== 0) this.choose();
    this.considerLpi();
    this.mark();
  }

  /** The best pending LPI of this CPU is another one now; -1: none is. */
  offerLpi(intid: number, priority: number): void {
    if (this.lpi === intid && this.lpiPriority === priority) return;
    this.lpi = intid;
    this.lpiPriority = priority;
    this.reconsiderLpi();
  }

  /** After a change to the LPI or to {@link groups}. */
  reconsiderLpi(): void {
    if (this.intid >= FIRST_LPI) {
      this.intid = -1;
      this.priority = NO_PRIORITY;
      if (this.summary !== 0) this.choose();
    }
    this.considerLpi();
    this.mark();
  }

  /** Any other interrupt of the same priority comes first: its INTID is lower. */
  private considerLpi(): void {
    if (this.lpi < 0 || (this.groups & 2) === 0 || this.lpiPriority >= this.priority) return;
    this.intid = this.lpi;
    this.priority = this.lpiPriority;
    this.group = 1;
  }

  /** The signal of this CPU may have changed. */
  mark(): void {
    if (!this.isMarked) this.changes.add(this);
  }

  private choose(): void {
    for (let rows = this.summary; rows !== 0; rows &= rows - 1) {
      const row = 31 - Math.clz32(rows & -rows);
      for (let bits = this.rows[row]; bits !== 0; bits &= bits - 1) {
        const intid = (row << 5) | (31 - Math.clz32(bits & -bits));
        const priority = this.priorities[(row === 0 ? this.privateAt : this.sharedAt) + intid];
        if (priority >= this.priority) continue;
        this.intid = intid;
        this.priority = priority;
      }
    }
    if (this.intid >= 0) this.group = ((this.group1[this.intid >> 5] >>> (this.intid & 31)) & 1) as 0 | 1;
  }
}

/** CPUs whose signal may have changed, in the order in which they were marked, each at most once. */
export class SignalChanges {
  first: Candidates | null = null;
  private last: Candidates | null = null;

  add(candidates: Candidates): void {
    candidates.isMarked = true;
    candidates.nextMarked = null;
    if (this.last === null) this.first = candidates;
    else this.last.nextMarked = candidates;
    this.last = candidates;
  }

  /** Takes the first, -1 when none is left. */
  take(): number {
    const { first } = this;
    if (first === null) return -1;
    this.first = first.nextMarked;
    if (this.first === null) this.last = null;
    first.isMarked = false;
    return first.cpu;
  }
}
