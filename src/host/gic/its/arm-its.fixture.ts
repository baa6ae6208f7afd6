import { type Certainty, firsts, isEnabled, KnownBytes } from "./known-bytes.fixture.js";

interface Event {
  readonly intid: number;
  readonly isVirtual: boolean;
  /** A collection, or a vPE. */
  target: number;
  doorbell: number;
}

interface Vpe {
  redistributor: number;
  readonly idBits: number;
  /** 4.1: the default doorbell. */
  doorbell: number;
}

/** The tables of one ITS. */
interface Tables {
  readonly devices: Map<number, { readonly events: number; readonly table: Map<number, Event> }>;
  readonly collections: Map<number, number>;
  readonly vpes: Map<number, Vpe>;
}

export interface ArmItsOptions {
  readonly itses: number;
  readonly cpus: number;
  readonly vpes: number;
  readonly is41: boolean;
  /** INTIDs that are played with: of the host, and of the guest. */
  readonly lpis: readonly number[];
  readonly vlpis: readonly number[];
  readonly byte: number;
}

/** GITS_TYPER and GITS_BASER<n> of the machine: ids below. */
const LIMITS = { collections: 512, idBits: 16 } as const;
const FIRST_LPI = 8192;
const END_LPI = 0x10000;
const NO_DOORBELL = 1023;

const isLpi = (intid: number): boolean => intid >= FIRST_LPI && intid < END_LPI;
const isDoorbell = (intid: number): boolean => intid === NO_DOORBELL || isLpi(intid);
const redist = (cpu: number): string => `redistributor ${cpu}`;
const vpeName = (vpe: number): string => `vPE ${vpe}`;

/**
 * Physical ITSs and redistributors of GICv3, 4.0 and 4.1 as the manual has them (IHI 0069 chapters 5 and 6, gic-v4.md C1, and
 * where that takes QEMU's choice, its): maps in place of tables, sets in place of pending tables, and nothing of how virq
 * does it. A command answers whether it has its effect; software keeps the manual's rules otherwise.
 */
export class ArmIts {
  /** Pending LPIs by redistributor, pending vLPIs and SGIs by vPE. */
  readonly pending: Set<number>[];
  readonly virtual: Set<number>[];
  /** GICR_CTLR.EnableLPIs. */
  readonly isOn: boolean[];
  /** By redistributor: the vPE that is resident, and the groups that its guest has on. */
  readonly resident: ({ readonly vpe: number; readonly groups: number } | null)[];
  /** What the last operation may have raised or not; who sees which says so by {@link settle}. */
  unsure: { readonly cpu: number; readonly intid: number; readonly vpe: number } | null = null;
  readonly bytes: KnownBytes;
  readonly virtualBytes: KnownBytes;
  readonly sgis: number[][];
  private readonly tables: Tables[];
  /** 4.1: vPEs that left with a doorbell asked for, which rings once at the most until they are back. */
  private readonly armed = new Map<number, { readonly certainty: Certainty; readonly groups: number }>();

  constructor(private readonly options: ArmItsOptions) {
    const { cpus, vpes, itses, is41, lpis, vlpis, byte } = options;
    const shared = new Map<number, Vpe>();
    this.tables = Array.from({ length: itses }, () => ({ devices: new Map(), collections: new Map(), vpes: is41 ? shared : new Map() }));
    this.pending = Array.from({ length: cpus }, () => new Set());
    this.virtual = Array.from({ length: vpes }, () => new Set());
    this.sgis = Array.from({ length: vpes }, () => new Array<number>(16).fill(0));
    this.isOn = new Array<boolean>(cpus).fill(true);
    this.resident = new Array<null>(cpus).fill(null);
    this.bytes = new KnownBytes(this.pending.map((_, cpu) => redist(cpu)), lpis, byte);
    this.virtualBytes = new KnownBytes(this.virtual.map((_, vpe) => vpeName(vpe)), vlpis, byte);
  }

  // --- commands of GICv3 ---

  mapd(its: number, device: number, bits: number, isValid: boolean): boolean {
    const { devices } = this.tables[its];
    if (isValid) devices.set(device, { events: 2 ** bits, table: new Map() });
    else devices.delete(device);
    return true;
  }

  mapc(its: number, icid: number, cpu: number, isValid: boolean): boolean {
    if (icid >= LIMITS.collections || (isValid && cpu >= this.options.cpus)) return false;
    if (isValid) this.tables[its].collections.set(icid, cpu);
    else this.tables[its].collections.delete(icid);
    return true;
  }

  mapti(its: number, device: number, event: number, intid: number, icid: number): boolean {
    if (icid >= LIMITS.collections || !isLpi(intid)) return false;
    return this.store(its, device, event, { intid, isVirtual: false, target: icid, doorbell: NO_DOORBELL });
  }

  /** INT, and a write to GITS_TRANSLATER. */
  trigger(its: number, device: number, event: number): boolean {
    const found = this.eventOf(its, device, event);
    if (found === null) return false;
    if (!found.isVirtual) {
      const cpu = this.tables[its].collections.get(found.target);
      if (cpu !== undefined) this.raise(cpu, found.intid);
      return cpu !== undefined;
    }
    if (!this.reaches(its, found)) return false;
    this.raiseVirtual(its, found.target, found.intid, found.doorbell);
    return true;
  }

  /** CLEAR, and the first half of DISCARD. */
  clear(its: number, device: number, event: number): boolean {
    const found = this.eventOf(its, device, event);
    if (found === null || !this.reaches(its, found)) return false;
    const { collections } = this.tables[its];
    if (found.isVirtual) this.virtual[found.target].delete(found.intid);
    else this.lower(collections.get(found.target) ?? 0, found.intid);
    return true;
  }

  discard(its: number, device: number, event: number): boolean {
    return this.clear(its, device, event) && this.tables[its].devices.get(device)?.table.delete(event) === true;
  }

  movi(its: number, device: number, event: number, icid: number): boolean {
    const { collections } = this.tables[its];
    const found = this.eventOf(its, device, event);
    const to = collections.get(icid);
    const from = found === null || found.isVirtual ? undefined : collections.get(found.target);
    if (found === null || from === undefined || to === undefined) return false;
    found.target = icid;
    if (this.pending[from].delete(found.intid)) this.pending[to].add(found.intid);
    return true;
  }

  movall(from: number, to: number): boolean {
    if (from >= this.options.cpus || to >= this.options.cpus) return false;
    const all = [...this.pending[from]];
    this.pending[from].clear();
    for (const intid of all) this.pending[to].add(intid);
    return true;
  }

  inv(its: number, device: number, event: number): boolean {
    const found = this.eventOf(its, device, event);
    if (found === null || !this.reaches(its, found)) return false;
    if (found.isVirtual) this.virtualBytes.look(vpeName(found.target), found.intid);
    else this.bytes.look(redist(this.tables[its].collections.get(found.target) ?? 0), found.intid);
    return true;
  }

  /** GICR_INVALLR, and INVALL for the redistributor of the collection. */
  invall(cpu: number): void {
    this.bytes.look(redist(cpu), null);
  }

  cpuOfCollection(its: number, icid: number): number | null {
    return this.tables[its].collections.get(icid) ?? null;
  }

  // --- commands of GICv4 ---

  /** V=1. `isAlloc` (4.1): it is mapped nowhere yet. */
  vmapp(its: number, vpe: number, cpu: number, idBits: number, doorbell: number, isAlloc: boolean): boolean {
    if (cpu >= this.options.cpus || idBits > LIMITS.idBits) return false;
    this.tables[its].vpes.set(vpe, { redistributor: cpu, idBits, doorbell });
    if (isAlloc) this.armed.delete(vpe);
    return true;
  }

  /** V=0. 4.1: the tables of all ITSs are one. */
  vunmap(its: number, vpe: number): boolean {
    this.tables[its].vpes.delete(vpe);
    this.armed.delete(vpe);
    return true;
  }

  /** The vPE need not be mapped: its events are dropped until it is. */
  vmapti(its: number, device: number, event: number, intid: number, vpe: number, doorbell: number): boolean {
    if (!isLpi(intid) || !isDoorbell(doorbell)) return false;
    return this.store(its, device, event, { intid, isVirtual: true, target: vpe, doorbell });
  }

  /** What is pending goes along, and rings where the new vPE is away. */
  vmovi(its: number, device: number, event: number, vpe: number, doorbell: number | null): boolean {
    const found = this.eventOf(its, device, event);
    if (found?.isVirtual !== true || (doorbell !== null && !isDoorbell(doorbell))) return false;
    const from = found.target;
    if (!this.reaches(its, found) || !this.reaches(its, { ...found, target: vpe })) return false;
    found.target = vpe;
    if (doorbell !== null) found.doorbell = doorbell;
    if (from !== vpe && this.virtual[from].delete(found.intid)) this.raiseVirtual(its, vpe, found.intid, found.doorbell);
    return true;
  }

  /** On every ITS that has the vPE: by GITS_TYPER.VMOVP, or because software tells each. */
  vmovp(vpe: number, cpu: number, doorbell: number | null): void {
    for (const { vpes } of this.tables) {
      const found = vpes.get(vpe);
      if (found === undefined) continue;
      found.redistributor = cpu;
      if (doorbell !== null) found.doorbell = doorbell;
    }
  }

  vinvall(its: number, vpe: number): boolean {
    if (!this.tables[its].vpes.has(vpe)) return false;
    this.virtualBytes.look(vpeName(vpe), null);
    return true;
  }

  /** INVDB: the default doorbell's own byte. */
  invdb(its: number, vpe: number): boolean {
    const found = this.tables[its].vpes.get(vpe);
    if (found !== undefined) this.bytes.look(redist(found.redistributor), found.doorbell);
    return found !== undefined;
  }

  /** VSGI; `byte` null: Clear, which configures nothing. */
  vsgi(its: number, vpe: number, sgi: number, byte: number | null): boolean {
    if (!this.tables[its].vpes.has(vpe)) return false;
    if (byte === null) this.virtual[vpe].delete(sgi);
    else this.sgis[vpe][sgi] = byte;
    return true;
  }

  /** A write to GITS_SGIR. */
  sgir(its: number, vpe: number, sgi: number): void {
    if (this.tables[its].vpes.has(vpe)) this.raiseVirtual(its, vpe, sgi, NO_DOORBELL);
  }

  vpeAt(vpe: number, its = 0): Vpe | null {
    return this.tables[its].vpes.get(vpe) ?? null;
  }

  isMappedOn(vpe: number): boolean[] {
    return this.tables.map(({ vpes }) => vpes.has(vpe));
  }

  residentAt(vpe: number): number {
    return this.resident.findIndex((each) => each?.vpe === vpe);
  }

  // --- redistributors ---

  schedule(cpu: number, vpe: number, groups: number): void {
    this.resident[cpu] = { vpe, groups };
    this.armed.delete(vpe);
  }

  /** GICR_VPENDBASER.Valid to 0: what PendingLast says. With `asks` the default doorbell of 4.1 is to ring. */
  deschedule(cpu: number, asks: boolean): Certainty {
    const here = this.resident[cpu];
    if (here === null) return "never";
    this.resident[cpu] = null;
    const states = [...this.virtual[here.vpe]].map((intid) => this.readiness(here.vpe, intid, here.groups));
    const last = states.includes("always") ? "always" : states.includes("perhaps") ? "perhaps" : "never";
    // With something pending nobody waits for a doorbell: whether one may still ring the manual leaves open.
    if (asks && this.options.is41) this.armed.set(here.vpe, { certainty: last === "never" ? "always" : "perhaps", groups: here.groups });
    return last;
  }

  /** What HPPIR may say: of the CPU, and of the guest on it. */
  physicalFirsts(cpu: number): number[] {
    if (!this.isOn[cpu]) return [NO_DOORBELL];
    return firsts(new Map([...this.pending[cpu]].map((intid) => [intid, this.bytes.bytes(redist(cpu), intid)])));
  }

  virtualFirsts(cpu: number): number[] {
    const here = this.resident[cpu];
    if (here === null) return [NO_DOORBELL];
    const seen = [...this.virtual[here.vpe]].filter((intid) => (here.groups & (1 << this.groupOf(here.vpe, intid))) !== 0);
    return firsts(new Map(seen.map((intid) => [intid, this.bytesOf(here.vpe, intid)])));
  }

  groupOf(vpe: number, intid: number): 0 | 1 {
    return intid < 16 && (this.sgis[vpe][intid] & 2) === 0 ? 0 : 1;
  }

  /** Somebody has looked at whether {@link unsure} came. */
  settle(hasRung: boolean): void {
    if (this.unsure !== null && hasRung) {
      this.pending[this.unsure.cpu].add(this.unsure.intid);
      this.armed.delete(this.unsure.vpe);
    }
    this.unsure = null;
  }

  /** Where EnableLPIs is 0 nothing comes and nothing is taken back: the pending table is software's. */
  raise(cpu: number, intid: number): void {
    if (this.isOn[cpu]) this.pending[cpu].add(intid);
  }
  lower(cpu: number, intid: number): void {
    if (this.isOn[cpu]) this.pending[cpu].delete(intid);
  }

  // --- of events ---

  private store(its: number, device: number, event: number, entry: Event): boolean {
    const found = this.tables[its].devices.get(device);
    if (found === undefined || event >= found.events) return false;
    found.table.set(event, entry);
    return true;
  }

  private eventOf(its: number, device: number, event: number): Event | null {
    return this.tables[its].devices.get(device)?.table.get(event) ?? null;
  }

  /** Is its collection mapped; is its vPE, with a pending table that the vLPI is in? */
  private reaches(its: number, { isVirtual, target, intid }: Event): boolean {
    const { collections, vpes } = this.tables[its];
    return isVirtual ? intid < 2 ** (vpes.get(target)?.idBits ?? 0) : collections.has(target);
  }

  private raiseVirtual(its: number, vpe: number, intid: number, doorbell: number): void {
    const cpu = this.tables[its].vpes.get(vpe)?.redistributor ?? 0;
    this.virtual[vpe].add(intid);
    if (this.resident[cpu]?.vpe === vpe) return;
    if (!this.options.is41) {
      if (doorbell !== NO_DOORBELL) this.raise(cpu, doorbell);
      return;
    }
    const byDefault = this.vpeAt(vpe, its)?.doorbell ?? NO_DOORBELL;
    const armed = this.armed.get(vpe);
    const ready = isEnabled(this.bytesOf(vpe, intid));
    if (armed === undefined || (armed.groups & (1 << this.groupOf(vpe, intid))) === 0 || ready === "never" || byDefault === NO_DOORBELL) return;
    this.unsure = { cpu, intid: byDefault, vpe };
    if (!this.isOn[cpu]) this.armed.set(vpe, { ...armed, certainty: "perhaps" }); // a ring that nobody heard
    else if (armed.certainty === "always" && ready === "always") this.settle(true);
  }

  private bytesOf(vpe: number, intid: number): ReadonlySet<number> {
    return intid < 16 ? new Set([this.sgis[vpe][intid]]) : this.virtualBytes.bytes(vpeName(vpe), intid);
  }

  private readiness(vpe: number, intid: number, groups: number): Certainty {
    const enabled = isEnabled(this.bytesOf(vpe, intid));
    return enabled === "always" && (groups & (1 << this.groupOf(vpe, intid))) === 0 ? "perhaps" : enabled;
  }
}
