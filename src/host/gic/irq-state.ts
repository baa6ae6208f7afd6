/**
 * The per-interrupt state of one physical GIC (host-irq.md 2.2) as bitmaps of 32 interrupts a word. Word `cpu` holds the
 * private interrupts of that CPU, word `cpus + n - 1` the SPIs 32n to 32n+31. Beside it, what each CPU could be sent:
 * the eligible interrupts, with a summary word per CPU, and the best of them, so that no idle interrupt costs anything.
 */
export class IrqState {
  readonly enabled: Int32Array;
  /** ISPENDR, and edges that came in. Consumed by the acknowledge. */
  readonly latch: Int32Array;
  /** Level of the input wires. */
  readonly line: Int32Array;
  /** ICFGR: 1 edge. */
  readonly edge: Int32Array;
  readonly active: Int32Array;
  /** IGROUPR: 1 group 1. */
  readonly group: Int32Array;
  /** By word * 32 + bit. */
  readonly priority: Uint8Array;
  /** CPU that an SPI goes to, -1: none. By INTID. */
  readonly target: Int16Array;
  /** Groups enabled in GICD_CTLR: bit 0 group 0, bit 1 group 1. */
  private distributorGroups = 0;
  /** Groups enabled in each CPU's interface. */
  private readonly cpuGroups: Uint8Array;
  private readonly eligible: Int32Array;
  private readonly summary: Int32Array;
  private readonly best: Int16Array;
  /** CPUs whose signal may have changed. */
  private readonly dirty: Int32Array;
  private dirtyCount = 0;

  /**
   * @param cpus 1 to 512
   * @param interrupts INTIDs 0 to interrupts-1 exist; a multiple of 32, or 1020
   */
  constructor(
    readonly cpus: number,
    readonly interrupts: number,
  ) {
    const words = cpus + ((interrupts + 31) >> 5) - 1;
    this.enabled = new Int32Array(words);
    this.latch = new Int32Array(words);
    this.line = new Int32Array(words);
    this.edge = new Int32Array(words);
    this.active = new Int32Array(words);
    this.group = new Int32Array(words);
    this.priority = new Uint8Array(words * 32);
    this.target = new Int16Array(1024);
    this.cpuGroups = new Uint8Array(cpus);
    this.eligible = new Int32Array(cpus * 32);
    this.summary = new Int32Array(cpus);
    this.best = new Int16Array(cpus).fill(-1);
    this.dirty = new Int32Array((cpus + 31) >> 5);
    for (let cpu = 0; cpu < cpus; cpu++) this.edge[cpu] = 0xffff;
  }

  /** Word that holds an interrupt; `cpu` matters for INTID < 32. */
  wordOf(cpu: number, intid: number): number {
    return intid < 32 ? cpu : this.cpus + (intid >> 5) - 1;
  }

  /** Bits of a word that are interrupts: the four special INTIDs are none. */
  validBits(word: number): number {
    return this.intidOf(word, 31) < this.interrupts ? -1 : (1 << (this.interrupts & 31)) - 1;
  }

  /** Pending in effect: latch, or the wire of a level input. */
  pending(word: number): number {
    return this.latch[word] | (this.line[word] & ~this.edge[word]);
  }

  priorityOf(cpu: number, intid: number): number {
    return this.priority[(this.wordOf(cpu, intid) << 5) | (intid & 31)];
  }

  groupOf(cpu: number, intid: number): 0 | 1 {
    return ((this.group[this.wordOf(cpu, intid)] >>> (intid & 31)) & 1) as 0 | 1;
  }

  /** The interrupt that this CPU would take first, -1 when none: lowest priority value, then lowest INTID. */
  candidate(cpu: number): number {
    return this.best[cpu];
  }

  enable(word: number, bits: number): void {
    this.enabled[word] |= bits;
    this.refresh(word, bits);
  }

  disable(word: number, bits: number): void {
    this.enabled[word] &= ~bits;
    this.refresh(word, bits);
  }

  pend(word: number, bits: number): void {
    this.latch[word] |= bits;
    this.refresh(word, bits);
  }

  /** Clears the latch; a level input whose wire is high stays pending. */
  unpend(word: number, bits: number): void {
    this.latch[word] &= ~bits;
    this.refresh(word, bits);
  }

  activate(word: number, bits: number): void {
    this.active[word] |= bits;
    this.refresh(word, bits);
  }

  deactivate(word: number, bits: number): void {
    this.active[word] &= ~bits;
    this.refresh(word, bits);
  }

  /** IAR: pending to active, the latch consumed. */
  acknowledge(word: number, bit: number): void {
    this.latch[word] &= ~bit;
    this.active[word] |= bit;
    this.refresh(word, bit);
  }

  /** Assigns latch and active of one interrupt: where they summarise a state kept elsewhere. */
  assign(word: number, bit: number, isLatched: boolean, isActive: boolean): void {
    this.latch[word] = isLatched ? this.latch[word] | bit : this.latch[word] & ~bit;
    this.active[word] = isActive ? this.active[word] | bit : this.active[word] & ~bit;
    this.refresh(word, bit);
  }

  /** The wire of one interrupt changed; a rise latches on an edge input. */
  setLine(word: number, bit: number, isHigh: boolean): void {
    if (((this.line[word] & bit) !== 0) === isHigh) return;
    if (isHigh) {
      this.line[word] |= bit;
      if ((this.edge[word] & bit) !== 0) this.latch[word] |= bit;
    } else this.line[word] &= ~bit;
    this.refresh(word, bit);
  }

  setEdge(word: number, bits: number): void {
    this.edge[word] = bits;
    this.refresh(word, -1);
  }

  setGroup(word: number, bits: number): void {
    let changed = this.group[word] ^ bits;
    this.group[word] = bits;
    this.refresh(word, changed);
    while (changed !== 0) {
      const cpu = this.cpuOf(word, 31 - Math.clz32(changed & -changed));
      changed &= changed - 1;
      if (cpu >= 0) this.markDirty(cpu);
    }
  }

  setPriority(word: number, index: number, priority: number): void {
    const cpu = this.cpuOf(word, index);
    const intid = this.intidOf(word, index);
    if (cpu >= 0) this.place(cpu, intid, false);
    this.priority[(word << 5) | index] = priority;
    if (cpu >= 0) this.refresh(word, 1 << index);
  }

  setTarget(intid: number, cpu: number): void {
    const old = this.target[intid];
    if (old >= 0) this.place(old, intid, false);
    this.target[intid] = cpu;
    this.refresh(this.wordOf(0, intid), 1 << (intid & 31));
  }

  /** GICD_CTLR: bit 0 group 0, bit 1 group 1. */
  setDistributorGroups(groups: number): void {
    if (this.distributorGroups === groups) return;
    this.distributorGroups = groups;
    for (let word = 0; word < this.enabled.length; word++) this.refresh(word, this.pending(word));
  }

  /** The enables of one CPU interface: bit 0 group 0, bit 1 group 1. */
  setCpuGroups(cpu: number, groups: number): void {
    if (this.cpuGroups[cpu] === groups) return;
    this.cpuGroups[cpu] = groups;
    this.refresh(cpu, this.pending(cpu));
    for (let word = this.cpus; word < this.enabled.length; word++) this.refresh(word, this.pending(word));
  }

  cpuGroupsOf(cpu: number): number {
    return this.cpuGroups[cpu];
  }

  markDirty(cpu: number): void {
    const bit = 1 << (cpu & 31);
    if ((this.dirty[cpu >> 5] & bit) !== 0) return;
    this.dirty[cpu >> 5] |= bit;
    this.dirtyCount++;
  }

  get isDirty(): boolean {
    return this.dirtyCount !== 0;
  }

  /** Takes the lowest CPU whose signal may have changed, -1 when none is left. */
  takeDirty(): number {
    if (this.dirtyCount === 0) return -1;
    let i = 0;
    while (this.dirty[i] === 0) i++;
    const word = this.dirty[i];
    const bit = word & -word;
    this.dirty[i] &= ~bit;
    this.dirtyCount--;
    return (i << 5) + (31 - Math.clz32(bit));
  }

  /** Brings the eligible sets up to date after a change to some interrupts of one word. */
  refresh(word: number, bits: number): void {
    if (bits === 0) return;
    const ready = this.pending(word) & this.enabled[word] & ~this.active[word];
    let rest = bits;
    while (rest !== 0) {
      const bit = rest & -rest;
      rest &= ~bit;
      const index = 31 - Math.clz32(bit);
      const cpu = this.cpuOf(word, index);
      if (cpu < 0) continue;
      const group = (this.group[word] & bit) === 0 ? 1 : 2;
      this.place(cpu, this.intidOf(word, index), (ready & bit) !== 0 && (this.distributorGroups & this.cpuGroups[cpu] & group) !== 0);
    }
  }

  private intidOf(word: number, index: number): number {
    return word < this.cpus ? index : ((word - this.cpus + 1) << 5) | index;
  }

  /** Where an interrupt goes, -1: nowhere. */
  private cpuOf(word: number, index: number): number {
    return word < this.cpus ? word : this.target[((word - this.cpus + 1) << 5) | index];
  }

  /** Puts an interrupt into a CPU's eligible set or takes it out. */
  private place(cpu: number, intid: number, isEligible: boolean): void {
    const row = intid >> 5;
    const at = (cpu << 5) | row;
    const bit = 1 << (intid & 31);
    if (isEligible) {
      this.eligible[at] |= bit;
      this.summary[cpu] |= 1 << row;
      if (this.isBetter(cpu, intid)) {
        this.best[cpu] = intid;
        this.markDirty(cpu);
      }
    } else if ((this.eligible[at] & bit) !== 0) {
      this.eligible[at] &= ~bit;
      if (this.eligible[at] === 0) this.summary[cpu] &= ~(1 << row);
      if (this.best[cpu] === intid) {
        this.rescan(cpu);
        this.markDirty(cpu);
      }
    }
  }

  private isBetter(cpu: number, intid: number): boolean {
    const best = this.best[cpu];
    if (best < 0) return true;
    const difference = this.priorityOf(cpu, intid) - this.priorityOf(cpu, best);
    return difference < 0 || (difference === 0 && intid < best);
  }

  private rescan(cpu: number): void {
    this.best[cpu] = -1;
    let rows = this.summary[cpu];
    while (rows !== 0) {
      const row = 31 - Math.clz32(rows & -rows);
      rows &= rows - 1;
      let bits = this.eligible[(cpu << 5) | row];
      while (bits !== 0) {
        const intid = (row << 5) | (31 - Math.clz32(bits & -bits));
        bits &= bits - 1;
        if (this.isBetter(cpu, intid)) this.best[cpu] = intid;
      }
    }
  }
}
