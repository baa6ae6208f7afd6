/** What a redistributor knows of an LPI: a copy of its configuration byte, taken when the manual says so. */
interface Configuration {
  readonly priority: number;
  readonly isEnabled: boolean;
}

interface Translation {
  readonly intid: number;
  icid: number;
}

/**
 * LPIs and the ITS as the Arm manual has them (IHI 0069, chapters 5 and 6), and nothing of any hypervisor: tables map
 * (device, event) to (LPI, collection) and a collection to a redistributor; each redistributor has its set of pending
 * LPIs; a configuration is cached from the mapping, or from the last INV or INVALL, on.
 *
 * Only what the manual defines: who issues the commands keeps its rules (see {@link mayDiscard}, {@link mayMap}).
 */
export class ArmLpis {
  private devices = new Map<number, { events: number; table: Map<number, Translation> }>();
  private collections = new Map<number, number>();
  private pending: Set<number>[];
  private cached = new Map<number, Configuration>();
  /** GICR_CTLR.EnableLPIs */
  private enabled: boolean[];

  /**
   * @param configuration the byte of an LPI in the property table, as it is in memory now
   * @param priorityMask the bits of a priority that the CPU interface has
   */
  constructor(
    readonly redistributors: number,
    private readonly configuration: (intid: number) => number,
    private readonly priorityMask: number,
  ) {
    this.pending = Array.from({ length: redistributors }, () => new Set<number>());
    this.enabled = new Array<boolean>(redistributors).fill(true);
  }

  /** The same state, of a machine with a memory of its own. */
  copy(configuration: (intid: number) => number): ArmLpis {
    const copy = new ArmLpis(this.redistributors, configuration, this.priorityMask);
    copy.devices = structuredClone(this.devices);
    copy.collections = structuredClone(this.collections);
    copy.pending = structuredClone(this.pending);
    copy.cached = structuredClone(this.cached);
    copy.enabled = [...this.enabled];
    return copy;
  }

  // --- what the manual leaves undefined, and a guest therefore does not do ---

  /** An event that is mapped is not mapped again, and an LPI belongs to one event. */
  mayMap(device: number, event: number, intid: number): boolean {
    const translations = [...this.devices.values()].flatMap(({ table }) => [...table.values()]);
    return this.translation(device, event) === null && !translations.some((each) => each.intid === intid);
  }

  /** The driver has seen to it that nothing is pending any more. */
  mayDiscard(device: number, event: number): boolean {
    const found = this.translation(device, event);
    return found === null || !this.isPending(found.intid);
  }

  mayUnmapDevice(device: number): boolean {
    return [...(this.devices.get(device)?.table.values() ?? [])].every(({ intid }) => !this.isPending(intid));
  }

  /** What is pending when a redistributor's LPIs are switched off is in its table at some time, or is not. */
  maySwitch(redistributor: number): boolean {
    return this.pending[redistributor].size === 0;
  }

  /** Nothing is moved to where LPIs are off. */
  isEnabled(redistributor: number): boolean {
    return this.enabled[redistributor];
  }

  /** Is it mapped, and to a redistributor's collection? */
  isAt(redistributor: number, intid: number): boolean {
    return [...this.devices.values()].some(({ table }) => [...table.values()].some((each) => each.intid === intid && this.collections.get(each.icid) === redistributor));
  }

  /** Is any event mapped to the collection? */
  isUsed(icid: number): boolean {
    return [...this.devices.values()].some(({ table }) => [...table.values()].some((each) => each.icid === icid));
  }

  // --- commands; true: it had its effect, false: an error of the guest, without any ---

  mapDevice(device: number, bits: number): boolean {
    this.devices.set(device, { events: 2 ** bits, table: new Map() });
    return true;
  }

  unmapDevice(device: number): boolean {
    this.devices.delete(device);
    return true;
  }

  mapCollection(icid: number, redistributor: number): boolean {
    this.collections.set(icid, redistributor);
    return true;
  }

  unmapCollection(icid: number): boolean {
    this.collections.delete(icid);
    return true;
  }

  mapEvent(device: number, event: number, intid: number, icid: number): boolean {
    const found = this.devices.get(device);
    if (found === undefined || event >= found.events) return false;
    found.table.set(event, { intid, icid });
    this.cache(intid);
    return true;
  }

  /** INT, and a write to GITS_TRANSLATER. */
  trigger(device: number, event: number): boolean {
    const place = this.placeOf(device, event);
    if (place === null || !this.enabled[place.redistributor]) return false;
    this.pending[place.redistributor].add(place.intid);
    return true;
  }

  clear(device: number, event: number): boolean {
    const found = this.translation(device, event);
    if (found === null) return false;
    const place = this.placeOf(device, event);
    if (place !== null) this.pending[place.redistributor].delete(place.intid);
    return true;
  }

  discard(device: number, event: number): boolean {
    if (this.placeOf(device, event) === null) return false;
    this.clear(device, event);
    this.devices.get(device)?.table.delete(event);
    return true;
  }

  /** The pending state goes along. */
  moveEvent(device: number, event: number, icid: number): boolean {
    const from = this.placeOf(device, event);
    const to = this.collections.get(icid);
    const found = this.translation(device, event);
    if (from === null || to === undefined || found === null) return false;
    found.icid = icid;
    if (this.pending[from.redistributor].delete(from.intid)) this.pending[to].add(from.intid);
    return true;
  }

  /** Everything pending at one redistributor goes to another; its collections have been mapped there before. */
  moveAll(from: number, to: number): boolean {
    for (const [icid, redistributor] of this.collections) if (redistributor === from) this.collections.set(icid, to);
    if (from === to) return true;
    for (const intid of this.pending[from]) this.pending[to].add(intid);
    this.pending[from].clear();
    return true;
  }

  invalidate(device: number, event: number): boolean {
    const found = this.translation(device, event);
    if (found === null) return false;
    this.cache(found.intid);
    return true;
  }

  /** The cache is the redistributor's: what the collection's has is read again, for other collections too. */
  invalidateCollection(icid: number): boolean {
    const redistributor = this.collections.get(icid);
    if (redistributor === undefined) return false;
    for (const { table } of this.devices.values()) for (const each of table.values()) if (this.collections.get(each.icid) === redistributor) this.cache(each.intid);
    return true;
  }

  /** GICR_CTLR.EnableLPIs: what comes while they are off is lost. */
  switchLpis(redistributor: number): void {
    this.enabled[redistributor] = !this.enabled[redistributor];
  }

  /** GICR_INVALLR; with an LPI, which is one of its own, GICR_INVLPIR. */
  invalidateAt(redistributor: number, intid: number | null = null): void {
    for (const { table } of this.devices.values())
      for (const each of table.values()) if (this.collections.get(each.icid) === redistributor && (intid === null || each.intid === intid)) this.cache(each.intid);
  }

  // --- what the guest sees ---

  /** The collections whose LPIs go to a redistributor. */
  collectionsOf(redistributor: number): number[] {
    return [...this.collections].filter(([, at]) => at === redistributor).map(([icid]) => icid);
  }

  targetOf(icid: number): number | null {
    return this.collections.get(icid) ?? null;
  }

  /** The LPIs of the highest priority that a redistributor may signal, above a mask: any of them is right. */
  candidates(redistributor: number, mask = Infinity): number[] {
    const deliverable = [...this.pending[redistributor]].filter((intid) => this.cached.get(intid)?.isEnabled === true && this.priorityOf(intid) < mask);
    const highest = Math.min(...deliverable.map((intid) => this.priorityOf(intid)));
    return deliverable.filter((intid) => this.priorityOf(intid) === highest).sort((a, b) => a - b);
  }

  /** The CPU takes it: an LPI has no active state. */
  acknowledge(redistributor: number, intid: number): void {
    this.pending[redistributor].delete(intid);
  }

  isPending(intid: number): boolean {
    return this.pending.some((set) => set.has(intid));
  }

  private priorityOf(intid: number): number {
    return this.cached.get(intid)?.priority ?? 0;
  }

  private cache(intid: number): void {
    const byte = this.configuration(intid);
    this.cached.set(intid, { priority: byte & this.priorityMask, isEnabled: (byte & 1) !== 0 });
  }

  private translation(device: number, event: number): Translation | null {
    return this.devices.get(device)?.table.get(event) ?? null;
  }

  private placeOf(device: number, event: number): { intid: number; redistributor: number } | null {
    const found = this.translation(device, event);
    const redistributor = found === null ? undefined : this.collections.get(found.icid);
    return found === null || redistributor === undefined ? null : { intid: found.intid, redistributor };
  }
}
