import { Candidates, SignalChanges } from "./candidates.js";

/** The state of one interrupt (host-irq.md 2.2), a bit each. */
export const enum IrqBit {
  ENABLED = 1 << 0,
  /** ISPENDR, and edges that came in. Consumed by the acknowledge. */
  LATCH = 1 << 1,
  /** Level of the input wire. */
  LINE = 1 << 2,
  /** ICFGR: edge. */
  EDGE = 1 << 3,
  ACTIVE = 1 << 4,
  /** IGROUPR: group 1. */
  GROUP1 = 1 << 5,
}

/** Pending in effect: the latch, or the wire of a level input. */
function isPending(state: number): boolean {
  return (state & IrqBit.LATCH) !== 0 || (state & (IrqBit.LINE | IrqBit.EDGE)) === IrqBit.LINE;
}

function isReady(state: number): boolean {
  return (state & (IrqBit.ENABLED | IrqBit.ACTIVE)) === IrqBit.ENABLED && isPending(state);
}

/**
 * The per-interrupt state of one physical GIC, a byte each, by place: 32 for the private interrupts of each CPU, then the
 * SPIs. Registers see words of 32 places: word `cpu` the private interrupts of that CPU, word `cpus + n - 1` the SPIs 32n
 * to 32n+31. Beside it, what each CPU could be sent.
 */
export class IrqState {
  readonly words: number;
  /** By CPU. */
  readonly candidates: readonly Candidates[];
  private readonly changes = new SignalChanges();
  /** {@link IrqBit}s. */
  private readonly states: Uint8Array;
  private readonly priorities: Uint8Array;
  /** The CPU that an interrupt goes to, null: none. */
  private readonly recipients: (Candidates | null)[];
  /** Groups enabled in GICD_CTLR: bit 0 group 0, bit 1 group 1. */
  private distributorGroups = 0;
  /** Groups enabled in each CPU's interface. */
  private readonly cpuGroups: Uint8Array;

  /**
   * @param cpus 1 to 512
   * @param interrupts INTIDs 0 to interrupts-1 exist; a multiple of 32, or 1020
   */
  constructor(
    readonly cpus: number,
    readonly interrupts: number,
  ) {
    this.words = cpus + ((interrupts + 31) >> 5) - 1;
    this.states = new Uint8Array(this.words * 32);
    this.priorities = new Uint8Array(this.words * 32);
    this.cpuGroups = new Uint8Array(cpus);
    const candidates: Candidates[] = [];
    for (let cpu = 0; cpu < cpus; cpu++) candidates.push(new Candidates(cpu, this.changes, this.priorities, cpu << 5, (cpus - 1) << 5));
    this.candidates = candidates;
    this.recipients = new Array<Candidates | null>(this.words * 32).fill(candidates[0]);
    for (let cpu = 0; cpu < cpus; cpu++) {
      this.recipients.fill(candidates[cpu], cpu << 5, (cpu + 1) << 5);
      this.states.fill(IrqBit.EDGE, cpu << 5, (cpu << 5) + 16);
    }
  }

  // --- one interrupt; `cpu` matters for INTID < 32 ---

  private placeOf(cpu: number, intid: number): number {
    return ((intid < 32 ? cpu : this.cpus - 1) << 5) + intid;
  }

  has(cpu: number, intid: number, bit: IrqBit): boolean {
    return (this.states[this.placeOf(cpu, intid)] & bit) !== 0;
  }

  isPending(cpu: number, intid: number): boolean {
    return isPending(this.states[this.placeOf(cpu, intid)]);
  }

  priorityOf(cpu: number, intid: number): number {
    return this.priorities[this.placeOf(cpu, intid)];
  }

  groupOf(cpu: number, intid: number): 0 | 1 {
    return this.has(cpu, intid, IrqBit.GROUP1) ? 1 : 0;
  }

  set(cpu: number, intid: number, bit: IrqBit): void {
    const place = this.placeOf(cpu, intid);
    this.become(place, intid, this.states[place] | bit);
  }

  /** An unlatched level input whose wire is high stays pending. */
  clear(cpu: number, intid: number, bit: IrqBit): void {
    const place = this.placeOf(cpu, intid);
    this.become(place, intid, this.states[place] & ~bit);
  }

  /** The wire changed; a rise latches on an edge input. */
  setLine(cpu: number, intid: number, isHigh: boolean): void {
    const place = this.placeOf(cpu, intid);
    const before = this.states[place];
    if (((before & IrqBit.LINE) !== 0) === isHigh) return;
    const latched = isHigh && (before & IrqBit.EDGE) !== 0 ? IrqBit.LATCH : 0;
    this.become(place, intid, (before ^ IrqBit.LINE) | latched);
  }

  /** IAR of a CPU's candidate: pending to active, the latch consumed. */
  acknowledge(cpu: number, intid: number): void {
    const place = this.placeOf(cpu, intid);
    this.states[place] = (this.states[place] & ~IrqBit.LATCH) | IrqBit.ACTIVE;
    this.candidates[cpu].withdraw(intid);
  }

  /** Assigns latch and active: where they summarise a state kept elsewhere. */
  assign(cpu: number, intid: number, isLatched: boolean, isActive: boolean): void {
    const place = this.placeOf(cpu, intid);
    const rest = this.states[place] & ~(IrqBit.LATCH | IrqBit.ACTIVE);
    this.become(place, intid, rest | (isLatched ? IrqBit.LATCH : 0) | (isActive ? IrqBit.ACTIVE : 0));
  }

  setPriority(cpu: number, intid: number, priority: number): void {
    const place = this.placeOf(cpu, intid);
    this.recipients[place]?.withdraw(intid);
    this.priorities[place] = priority;
    this.judge(place, intid);
  }

  /** The CPU that an SPI goes to, -1: none. */
  setTarget(intid: number, cpu: number): void {
    const place = this.placeOf(0, intid);
    this.recipients[place]?.withdraw(intid);
    this.recipients[place] = cpu < 0 ? null : this.candidates[cpu];
    this.judge(place, intid);
  }

  // --- a word of them ---

  wordOf(cpu: number, intid: number): number {
    return intid < 32 ? cpu : this.cpus + (intid >> 5) - 1;
  }

  /** Bits of a word that are interrupts: the four special INTIDs are none. */
  validBits(word: number): number {
    return this.intidOf((word << 5) | 31) < this.interrupts ? -1 : (1 << (this.interrupts & 31)) - 1;
  }

  read(word: number, bit: IrqBit): number {
    let value = 0;
    for (let i = 0; i < 32; i++) if ((this.states[(word << 5) | i] & bit) !== 0) value |= 1 << i;
    return value;
  }

  readPending(word: number): number {
    let value = 0;
    for (let i = 0; i < 32; i++) if (isPending(this.states[(word << 5) | i])) value |= 1 << i;
    return value;
  }

  setWord(word: number, bits: number, bit: IrqBit): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const place = (word << 5) | (31 - Math.clz32(rest & -rest));
      this.become(place, this.intidOf(place), this.states[place] | bit);
    }
  }

  clearWord(word: number, bits: number, bit: IrqBit): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const place = (word << 5) | (31 - Math.clz32(rest & -rest));
      this.become(place, this.intidOf(place), this.states[place] & ~bit);
    }
  }

  /** Sets the bit where `bits` has a 1, and clears it where it has a 0. */
  assignWord(word: number, bits: number, bit: IrqBit): void {
    this.clearWord(word, ~bits, bit);
    this.setWord(word, bits, bit);
  }

  // --- what is forwarded ---

  /** GICD_CTLR: bit 0 group 0, bit 1 group 1. */
  setDistributorGroups(groups: number): void {
    if (this.distributorGroups === groups) return;
    this.distributorGroups = groups;
    for (let cpu = 0; cpu < this.cpus; cpu++) this.candidates[cpu].groups = groups & this.cpuGroups[cpu];
    for (let place = 0; place < this.states.length; place++) this.judge(place, this.intidOf(place));
    for (let cpu = 0; cpu < this.cpus; cpu++) this.candidates[cpu].reconsiderLpi();
  }

  /** The enables of one CPU interface: bit 0 group 0, bit 1 group 1. */
  setCpuGroups(cpu: number, groups: number): void {
    if (this.cpuGroups[cpu] === groups) return;
    this.cpuGroups[cpu] = groups;
    this.candidates[cpu].groups = groups & this.distributorGroups;
    for (let i = 0; i < 32; i++) this.judge((cpu << 5) | i, i);
    for (let place = this.cpus << 5; place < this.states.length; place++) this.judge(place, this.intidOf(place));
    this.candidates[cpu].reconsiderLpi();
  }

  cpuGroupsOf(cpu: number): number {
    return this.cpuGroups[cpu];
  }

  get isDirty(): boolean {
    return this.changes.first !== null;
  }

  /** Takes a CPU whose signal may have changed, -1 when none is left. */
  takeDirty(): number {
    return this.changes.take();
  }

  private intidOf(place: number): number {
    return place < this.cpus << 5 ? place & 31 : place - ((this.cpus - 1) << 5);
  }

  private become(place: number, intid: number, state: number): void {
    this.states[place] = state;
    this.judge(place, intid);
  }

  /** Brings what is forwarded up to date after a change to one interrupt. */
  private judge(place: number, intid: number): void {
    const to = this.recipients[place];
    if (to === null) return;
    const state = this.states[place];
    const group = (state & IrqBit.GROUP1) === 0 ? 0 : 1;
    if (isReady(state) && ((to.groups >> group) & 1) !== 0) to.admit(intid, this.priorities[place], group);
    else to.withdraw(intid);
  }
}
