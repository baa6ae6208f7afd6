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
  /** Priority of the best, 0x100 when there is none. */
  private readonly bestPriority: Int16Array;
  /** CPUs whose signal may have changed, in the order in which they were marked: a ring, each in it at most once. */
  private readonly dirty: Int16Array;
  private readonly isMarked: Uint8Array;
  private dirtyFirst = 0;
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
    this.bestPriority = new Int16Array(cpus).fill(NO_PRIORITY);
    this.dirty = new Int16Array(cpus);
    this.isMarked = new Uint8Array(cpus);
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

  /** Its priority; above every priority when there is none. */
  candidatePriority(cpu: number): number {
    return this.bestPriority[cpu];
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

  /** IAR of a CPU's candidate: pending to active, the latch consumed. */
  acknowledge(cpu: number, intid: number): void {
    const word = this.wordOf(cpu, intid);
    const bit = 1 << (intid & 31);
    this.latch[word] &= ~bit;
    this.active[word] |= bit;
    this.withdraw(cpu, intid, bit);
  }

  /** Assigns latch and active of one interrupt: where they summarise a state kept elsewhere. */
  assign(word: number, bit: number, isLatched: boolean, isActive: boolean): void {
    this.latch[word] = isLatched ? this.latch[word] | bit : this.latch[word] & ~bit;
    this.active[word] = isActive ? this.active[word] | bit : this.active[word] & ~bit;
    this.refresh(word, bit);
  }

  /** The wire of one interrupt changed; a rise latches on an edge input. */
  setLine(cpu: number, intid: number, isHigh: boolean): void {
    const word = this.wordOf(cpu, intid);
    const bit = 1 << (intid & 31);
    const before = this.line[word];
    if (((before & bit) !== 0) === isHigh) return;
    this.line[word] = before ^ bit;
    if (isHigh && (this.edge[word] & bit) !== 0) this.latch[word] |= bit;
    this.judge(word, bit, intid);
  }

  /** End of an interrupt: active to inactive, or to pending again. */
  finish(cpu: number, intid: number): void {
    const word = this.wordOf(cpu, intid);
    const bit = 1 << (intid & 31);
    this.active[word] &= ~bit;
    this.judge(word, bit, intid);
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
    if (cpu >= 0) this.withdraw(cpu, this.intidOf(word, index), 1 << index);
    this.priority[(word << 5) | index] = priority;
    this.judge(word, 1 << index, this.intidOf(word, index));
  }

  setTarget(intid: number, cpu: number): void {
    const bit = 1 << (intid & 31);
    const old = this.target[intid];
    if (old >= 0) this.withdraw(old, intid, bit);
    this.target[intid] = cpu;
    this.judge(this.wordOf(0, intid), bit, intid);
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
    if (this.isMarked[cpu] !== 0) return;
    this.isMarked[cpu] = 1;
    const end = this.dirtyFirst + this.dirtyCount++;
    this.dirty[end < this.cpus ? end : end - this.cpus] = cpu;
  }

  get isDirty(): boolean {
    return this.dirtyCount !== 0;
  }

  /** Takes a CPU whose signal may have changed, -1 when none is left. */
  takeDirty(): number {
    if (this.dirtyCount === 0) return -1;
    const cpu = this.dirty[this.dirtyFirst];
    this.dirtyCount--;
    this.dirtyFirst = this.dirtyFirst + 1 < this.cpus ? this.dirtyFirst + 1 : 0;
    this.isMarked[cpu] = 0;
    return cpu;
  }

  /** Brings the eligible sets up to date after a change to some interrupts of one word. */
  private refresh(word: number, bits: number): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const bit = rest & -rest;
      this.judge(word, bit, this.intidOf(word, 31 - Math.clz32(bit)));
    }
  }

  /** The same after a change to one interrupt. */
  private judge(word: number, bit: number, intid: number): void {
    const cpu = word < this.cpus ? word : this.target[intid];
    if (cpu < 0) return;
    const ready = (this.latch[word] | (this.line[word] & ~this.edge[word])) & this.enabled[word] & ~this.active[word] & bit;
    const group = (this.group[word] & bit) === 0 ? 1 : 2;
    if (ready === 0 || (this.distributorGroups & this.cpuGroups[cpu] & group) === 0) this.withdraw(cpu, intid, bit);
    else this.admit(cpu, intid, bit, this.priority[(word << 5) | (intid & 31)]);
  }

  private intidOf(word: number, index: number): number {
    return word < this.cpus ? index : ((word - this.cpus + 1) << 5) | index;
  }

  /** Where an interrupt goes, -1: nowhere. */
  private cpuOf(word: number, index: number): number {
    return word < this.cpus ? word : this.target[this.intidOf(word, index)];
  }

  private admit(cpu: number, intid: number, bit: number, priority: number): void {
    const row = intid >> 5;
    this.eligible[(cpu << 5) | row] |= bit;
    this.summary[cpu] |= 1 << row;
    const best = this.bestPriority[cpu];
    if (priority > best || (priority === best && intid >= this.best[cpu])) return;
    this.best[cpu] = intid;
    this.bestPriority[cpu] = priority;
    this.markDirty(cpu);
  }

  private withdraw(cpu: number, intid: number, bit: number): void {
    const row = intid >> 5;
    const at = (cpu << 5) | row;
    const before = this.eligible[at];
    if ((before & bit) === 0) return;
    this.eligible[at] = before & ~bit;
    if (before === bit) this.summary[cpu] &= ~(1 << row);
    if (this.best[cpu] !== intid) return;
    this.best[cpu] = -1;
    this.bestPriority[cpu] = NO_PRIORITY;
    if (this.summary[cpu] !== 0) this.rescan(cpu);
    this.markDirty(cpu);
  }

  private rescan(cpu: number): void {
    for (let rows = this.summary[cpu]; rows !== 0; rows &= rows - 1) {
      const row = 31 - Math.clz32(rows & -rows);
      for (let bits = this.eligible[(cpu << 5) | row]; bits !== 0; bits &= bits - 1) {
        const intid = (row << 5) | (31 - Math.clz32(bits & -bits));
        const priority = this.priorityOf(cpu, intid);
        if (priority >= this.bestPriority[cpu]) continue;
        this.best[cpu] = intid;
        this.bestPriority[cpu] = priority;
      }
    }
  }
}

/** Above every priority. */
const NO_PRIORITY = 0x100;
