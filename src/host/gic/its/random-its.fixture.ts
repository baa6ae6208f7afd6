import { Gicr, GICR_V3 } from "../../../arch/gic/gicr.js";
import { VLPI_BASE } from "../../../arch/gic/gicr-vlpi.js";
import * as encode from "../../../arch/gic/its-encode.js";
import { ItsOp, ItsVOp, NO_DOORBELL } from "../../../arch/gic/its-command.js";
import { run } from "../../../sim/step.js";
import { ArmIts } from "./arm-its.fixture.js";
import { type Hw, ItsMachine, ITT, lo, PROP, VPES, VPROP, VPT } from "./its-machine.fixture.js";
import { differ, ItsComparison, same } from "./its-comparison.fixture.js";
import { deviceOf, doorbellOf, DOORBELLS, FIRST_DEVICE, lpiOf, LPIS, type Operation, pick, vpeOf, VPES_IN_PLAY, WRONG_INTIDS } from "./its-operation.fixture.js";
import { Outcome } from "./translation.js";

const CPUS = 2;
const DEVICES = 2;
const EVENT_BITS = 2;
const BYTE = 0xa3;
const BYTES = [0xa3, 0xa2, 0x53, 0x52, 0x23, 0xe3, 0xa3, 0x53];
const DEFAULT_DOORBELL = 9000;
/** The last one is outside of a table of 14 bits. */
const VLPIS = [8192, 8193, 8194, 16390];
const SGIS = [0, 5, 15];
const TABLE = 0x10000;
const ITT_SIZE = 0x1000;
const VALID = 0x80000000 | 0;
const VMCR_ALL = 0xf0000003 | 0;

export interface RandomItsOptions {
  readonly hw: Hw;
  readonly itses: number;
  /** GITS_TYPER.VMOVP: one command for all ITSs. */
  readonly hasVmovp?: boolean;
  /** 4.1: what is pending for a mapped vPE is not in memory. */
  readonly caches?: boolean;
}

type Perform = (operation: Operation) => void;

/** The software of a host that keeps the manual's rules, on the ITSs and on {@link ArmIts} at once: after each step both show the same. */
export class RandomIts {
  readonly machine: ItsMachine;
  readonly model: ArmIts;
  private readonly is41: boolean;
  private readonly hasVmovp: boolean;
  private readonly kinds: readonly Perform[];
  private readonly comparison: ItsComparison;
  private outcomes: Outcome[] = [];
  private readonly words = new Int32Array(8);

  constructor(private readonly options: RandomItsOptions) {
    const { hw, itses } = options;
    this.is41 = hw === "v4.1";
    this.hasVmovp = options.hasVmovp ?? true;
    const machine = new ItsMachine(hw, { itses, ...(this.hasVmovp ? {} : { its: { typerHigh: 0x1f } }) });
    this.machine = machine;
    if (options.caches === true) machine.gic.cachePendingTables();
    const lpis = [...LPIS, ...DOORBELLS, ...[0, 1, 2].map((vpe) => DEFAULT_DOORBELL + vpe)];
    this.model = new ArmIts({ itses, cpus: CPUS, vpes: VPES_IN_PLAY, is41: this.is41, lpis, vlpis: VLPIS, byte: BYTE });
    const virtual = this.is41 ? [...VLPIS, ...SGIS] : VLPIS;
    this.comparison = new ItsComparison(machine, this.model, hw, { physical: lpis, virtual, cpus: CPUS, table: TABLE }, (vpe) => this.isCached(vpe));
    for (const intid of lpis) machine.ram.setU8(PROP + intid - 8192, BYTE);
    for (const intid of VLPIS) machine.ram.setU8(VPROP + intid - 8192, BYTE);
    for (let its = 0; its < itses; its++) this.boot(its);
    if (hw !== "v3") for (let cpu = 0; cpu < CPUS; cpu++) Object.assign(machine.gic.ich(cpu), { hcr: 1, vmcr: VMCR_ALL });
    this.kinds = hw === "v3" ? this.gicv3() : [...this.gicv3(), ...this.gicv4(), ...(this.is41 ? this.gicv41() : [])];
  }

  private boot(its: number): void {
    const { machine, model } = this;
    machine.its[its].listener = { command: (_its, _words, outcome) => this.outcomes.push(outcome) };
    if (this.is41) {
      // All ITSs of 4.1 have one vPE table.
      run(machine.its[its].write(0, 4, 0, 0));
      run(machine.its[its].write(0x110, 8, lo(VPES), VALID));
      run(machine.its[its].write(0, 4, 1, 0));
      for (let cpu = 0; cpu < CPUS; cpu++) machine.gicr(cpu, VLPI_BASE + 0x70, lo(VPES), VALID | (2 << 21));
    }
    for (let icid = 0; icid < CPUS; icid++) model.mapc(its, icid, icid, true);
    for (let i = 0; i < DEVICES; i++) this.mapd(its, FIRST_DEVICE + i, true);
    for (let cpu = 0; cpu < CPUS; cpu++) model.invall(cpu);
    const first: Operation = { kind: 0, its, device: 0, event: 0, cpu: 0, vpe: 0, icid: 0, byte: 1 };
    for (let event = 0; event < 3; event++) this.mapti({ ...first, event, icid: event % CPUS }, LPIS[event]);
    if (this.options.hw === "v3") return;
    for (let vpe = 0; vpe < 2; vpe++) this.vmapp({ ...first, vpe, byte: 8 + 16 * vpe + vpe });
    for (let event = 0; event < 4; event++) this.vmapti({ ...first, device: 1, event, vpe: event % 2, byte: 17 + event });
  }

  apply(operation: Operation): void {
    this.kinds[operation.kind % this.kinds.length](operation);
    const { unsure } = this.model;
    if (unsure !== null) this.model.settle(this.machine.gic.lpis(unsure.cpu).isPending(unsure.intid));
    this.comparison.all();
  }

  // --- what software does ---

  private gicv3(): Perform[] {
    const { machine, model } = this;
    const event = (op: ItsOp, expected: (its: number, device: number, event: number) => boolean): Perform => (o) => {
      encode.encodeEvent(this.words, op, deviceOf(o), o.event);
      this.send(o, expected(this.itsOf(o), deviceOf(o), o.event));
    };
    const trigger = event(ItsOp.INT, (its, device, id) => model.trigger(its, device, id));
    return [
      (o) => this.mapti(o, lpiOf(o)),
      (o) => this.mapti(o, null),
      trigger,
      trigger,
      (o) => this.message(o),
      event(ItsOp.CLEAR, (its, device, id) => model.clear(its, device, id)),
      event(ItsOp.DISCARD, (its, device, id) => model.discard(its, device, id)),
      event(ItsOp.INV, (its, device, id) => model.inv(its, device, id)),
      (o) => {
        if (!this.areOn()) return;
        encode.encodeMovi(this.words, deviceOf(o), o.event, o.icid);
        this.send(o, model.movi(this.itsOf(o), deviceOf(o), o.event, o.icid));
      },
      (o) => {
        if (!this.areOn()) return;
        const to = o.byte % (CPUS + 1);
        this.send(o, model.movall(o.cpu, to), [ItsOp.MOVALL, 0, 0, 0, o.cpu << 16, 0, to << 16, 0]);
      },
      (o) => {
        const cpu = o.byte % (CPUS + 1);
        const icid = o.byte % 16 === 15 ? 600 : o.icid;
        encode.encodeMapc(this.words, icid, cpu, o.byte % 5 !== 0);
        this.send(o, model.mapc(this.itsOf(o), icid, cpu, o.byte % 5 !== 0));
      },
      (o) => {
        const cpu = model.cpuOfCollection(this.itsOf(o), o.icid);
        if (cpu === null) return;
        encode.encodeInvall(this.words, o.icid);
        this.send(o, true);
        model.invall(cpu);
      },
      (o) => {
        if (o.byte % 4 === 0) this.mapd(this.itsOf(o), deviceOf(o), o.byte % 8 !== 0);
      },
      (o) => {
        const intid = o.byte % 3 === 0 ? pick(DOORBELLS, o.event) : lpiOf(o);
        if (!LPIS.includes(intid) && !DOORBELLS.includes(intid)) return;
        model.bytes.write(intid, pick(BYTES, o.byte));
        machine.ram.setU8(PROP + intid - 8192, pick(BYTES, o.byte));
      },
      (o) => this.take(o.cpu),
      (o) => this.take(o.cpu),
      (o) => {
        model.isOn[o.cpu] = !model.isOn[o.cpu];
        run(machine.gic.writeGicr(o.cpu, 0, 4, model.isOn[o.cpu] ? 1 : 0));
      },
    ];
  }

  private gicv4(): Perform[] {
    const { machine, model } = this;
    const send = (o: Operation): void => this.takeVirtual(o.cpu);
    return [
      (o) => this.vmapti(o),
      (o) => this.vmapti(o),
      (o) => {
        const doorbell = o.byte % 3 === 0 ? null : doorbellOf(o);
        encode.encodeVmovi(this.words, deviceOf(o), o.event, vpeOf(o), doorbell ?? 0);
        if (doorbell === null) this.words[4] = 0;
        this.send(o, model.vmovi(this.itsOf(o), deviceOf(o), o.event, vpeOf(o), doorbell));
      },
      (o) => this.vmapp(o),
      (o) => this.vmapp(o),
      (o) => this.vmovp(o),
      (o) => {
        encode.encodeVpe(this.words, ItsVOp.VINVALL, vpeOf(o));
        this.send(o, model.vinvall(this.itsOf(o), vpeOf(o)));
      },
      (o) => this.schedule(o),
      (o) => this.schedule(o),
      (o) => this.schedule(o),
      (o) => {
        const intid = pick(VLPIS, o.event);
        model.virtualBytes.write(intid, pick(BYTES, o.byte));
        machine.ram.setU8(VPROP + intid - 8192, pick(BYTES, o.byte));
      },
      send,
      send,
      (o) => {
        encode.encodeVpe(this.words, ItsVOp.VSYNC, vpeOf(o));
        this.send(o, true);
      },
    ];
  }

  private gicv41(): Perform[] {
    const { machine, model } = this;
    return [
      (o) => {
        encode.encodeVpe(this.words, ItsVOp.INVDB, vpeOf(o));
        this.send(o, model.invdb(this.itsOf(o), vpeOf(o)));
      },
      (o) => this.vsgi(o, vpeOf(o), pick(SGIS, o.event), o.byte % 3 === 0 ? null : pick(BYTES, o.byte) & ((o.byte & 0x40) === 0 ? ~0 : ~2)),
      (o) => {
        const sgi = pick(SGIS, o.event);
        run(machine.its[this.itsOf(o)].write(0x20020, 8, sgi, vpeOf(o)));
        model.sgir(this.itsOf(o), vpeOf(o), sgi);
      },
      (o) => {
        const vpe = vpeOf(o);
        if (model.vpeAt(vpe) === null || this.isCached(vpe)) return;
        run(machine.gic.writeGicr(o.cpu, VLPI_BASE + 0x80, 4, vpe));
        const expected = [...model.virtual[vpe]].filter((intid) => intid < 16).reduce((bits, sgi) => bits | (1 << sgi), 0);
        same("GICR_VSGIPENDR", run(machine.gic.readGicr(o.cpu, VLPI_BASE + 0x88, 4)), expected);
      },
      (o) => {
        const resident = model.resident[o.cpu];
        if (resident === null) return;
        const intid = pick(VLPIS, o.event);
        machine.gicr(o.cpu, GICR_V3.table[o.byte % 2 === 0 ? Gicr.INVLPIR : Gicr.INVALLR].offset, intid, VALID + resident.vpe);
        model.virtualBytes.look(`vPE ${resident.vpe}`, o.byte % 2 === 0 ? intid : null);
      },
      (o) => {
        const isSet = o.byte % 2 === 0;
        machine.gicr(o.cpu, GICR_V3.table[isSet ? Gicr.SETLPIR : Gicr.CLRLPIR].offset, pick(LPIS, o.event), 0);
        if (isSet) model.raise(o.cpu, pick(LPIS, o.event));
        else model.lower(o.cpu, pick(LPIS, o.event));
      },
    ];
  }

  private itsOf({ its }: Operation): number {
    return its % this.options.itses;
  }

  /** Nothing is moved to or from redistributors that do not look at LPIs. */
  private areOn(): boolean {
    return this.model.isOn.every(Boolean);
  }

  private isCached(vpe: number): boolean {
    return this.options.caches === true && this.model.vpeAt(vpe) !== null;
  }

  /** {@link words}, or others, as a command; `isDone`: has it an effect by the manual? */
  private send(operation: Operation, isDone: boolean, words: readonly number[] = [...this.words]): void {
    this.sendTo(this.itsOf(operation), isDone, words);
  }

  private sendTo(its: number, isDone: boolean, words: readonly number[] = [...this.words]): void {
    this.outcomes = [];
    this.machine.command(words, its);
    const [outcome] = this.outcomes;
    if (this.outcomes.length === 1 && outcome === (isDone ? Outcome.DONE : Outcome.SKIPPED)) return;
    differ(`command ${words.map((word) => (word >>> 0).toString(16)).join(" ")}`, outcome, isDone);
  }

  /** The ITT of a device that is mapped is zero: software's part. */
  private mapd(its: number, device: number, isValid: boolean): void {
    const itt = ITT + its * TABLE + device * ITT_SIZE;
    this.machine.ram.fill(itt, ITT_SIZE, 0);
    encode.encodeMapd(this.words, device, EVENT_BITS, itt, isValid);
    this.sendTo(its, this.model.mapd(its, device, EVENT_BITS, isValid));
  }

  private mapti(operation: Operation, intid: number | null): void {
    const { event, icid } = operation;
    const device = deviceOf(operation);
    encode.encodeMapti(this.words, device, event, intid ?? 0, icid);
    if (intid === null) this.words[0] = ItsOp.MAPI;
    this.send(operation, this.model.mapti(this.itsOf(operation), device, event, intid ?? event, icid));
  }

  /** A device writes, now and then while the ITS is off. */
  private message(operation: Operation): void {
    const its = this.itsOf(operation);
    const isOff = operation.byte % 8 === 0;
    const { [its]: hardware } = this.machine.its;
    if (isOff) run(hardware.write(0, 4, 0, 0));
    run(hardware.message(deviceOf(operation), operation.event));
    if (isOff) run(hardware.write(0, 4, 1, 0));
    else this.model.trigger(its, deviceOf(operation), operation.event);
  }

  private vmapti(operation: Operation): void {
    const { event, byte } = operation;
    const device = deviceOf(operation);
    const vpe = vpeOf(operation);
    const doorbell = doorbellOf(operation);
    const intid = byte % 16 === 0 ? pick(WRONG_INTIDS, byte >> 4) : pick(VLPIS, byte);
    encode.encodeVmapti(this.words, device, event, vpe, intid, doorbell);
    this.send(operation, this.model.vmapti(this.itsOf(operation), device, event, intid, vpe, doorbell));
  }

  /** Maps the vPE where it is not, on the redistributor that it has on other ITSs; unmaps it where it is, unless it is resident. */
  private vmapp(operation: Operation): void {
    const { model } = this;
    const its = this.itsOf(operation);
    const vpe = vpeOf(operation);
    const isMapped = this.is41 ? model.vpeAt(vpe) !== null : model.isMappedOn(vpe)[its];
    if (model.residentAt(vpe) >= 0) return;
    if (isMapped) {
      if (operation.byte % 4 === 0) this.vunmap(its, vpe);
      return;
    }
    const other = model.isMappedOn(vpe).findIndex(Boolean);
    const known = other < 0 ? null : model.vpeAt(vpe, other);
    const cpu = known?.redistributor ?? operation.byte % (CPUS + 1);
    const idBits = known?.idBits ?? (vpe === 2 ? 14 : operation.byte % 8 === 5 ? 17 : 16);
    encode.encodeVmapp(this.words, vpe, cpu, { vpt: VPT + vpe * TABLE, idBits, isValid: true });
    const doorbell = this.is41 && operation.byte % 8 !== 1 ? DEFAULT_DOORBELL + vpe : NO_DOORBELL;
    const isZero = this.is41 && operation.byte % 2 === 0;
    if (this.is41) encode.extendVmapp(this.words, VPROP, doorbell, true, isZero);
    if (isZero) this.clearTable(vpe);
    const isDone = model.vmapp(its, vpe, cpu, idBits, doorbell, true);
    this.sendTo(its, isDone);
    if (!isDone) return;
    encode.encodeVpe(this.words, ItsVOp.VINVALL, vpe);
    this.sendTo(its, model.vinvall(its, vpe));
    // SGIs are configured anew, and none is pending.
    if (this.is41) for (const sgi of SGIS) for (const byte of [null, 0]) this.vsgi(operation, vpe, sgi, byte);
  }

  private vunmap(its: number, vpe: number): void {
    encode.encodeVmapp(this.words, vpe, 0, { vpt: VPT + vpe * TABLE, idBits: 16, isValid: false });
    if (this.is41) encode.extendVmapp(this.words, VPROP, 0, true, false);
    this.sendTo(its, this.model.vunmap(its, vpe));
  }

  /** PTZ says that software has. */
  private clearTable(vpe: number): void {
    this.machine.ram.fill(VPT + vpe * TABLE, TABLE, 0);
    this.model.virtual[vpe].clear();
  }

  private vsgi(operation: Operation, vpe: number, sgi: number, byte: number | null): void {
    const config = { isEnabled: ((byte ?? 0) & 1) !== 0, group: (((byte ?? 0) >> 1) & 1) as 0 | 1, priority: (byte ?? 0) & 0xf0 };
    encode.encodeVsgi(this.words, vpe, sgi, config, byte === null);
    this.send(operation, this.model.vsgi(this.itsOf(operation), vpe, sgi, byte === null ? null : byte & 0xf3));
  }

  /** A vPE moves while it is away. */
  private vmovp(operation: Operation): void {
    const { model } = this;
    const vpe = vpeOf(operation);
    const mapped = model.isMappedOn(vpe).map((isMapped, its) => (isMapped ? its : -1)).filter((its) => its >= 0);
    if (mapped.length === 0 || model.residentAt(vpe) >= 0) return;
    const cpu = operation.byte % CPUS;
    const doorbell = this.is41 ? (model.vpeAt(vpe)?.doorbell ?? NO_DOORBELL) : null;
    for (const its of this.hasVmovp ? mapped.slice(0, 1) : mapped) {
      encode.encodeVmovp(this.words, vpe, cpu, 1, 3, doorbell ?? -1);
      this.sendTo(its, true);
    }
    model.vmovp(vpe, cpu, doorbell);
  }

  /** A vPE comes to the redistributor that it is mapped to, or leaves it. */
  private schedule(operation: Operation): void {
    const { machine, model } = this;
    const { cpu, byte } = operation;
    const here = model.resident[cpu];
    if (here !== null) {
      if (byte % 2 !== 0) return;
      const asks = byte % 4 === 0;
      const last = machine.deschedule(cpu, here.vpe, asks);
      const expected = model.deschedule(cpu, asks);
      if (expected !== "perhaps") same("PendingLast", last, expected === "always");
      return;
    }
    const vpe = vpeOf(operation);
    const its = model.isMappedOn(vpe).findIndex(Boolean);
    if (its < 0 || model.residentAt(vpe) >= 0 || model.vpeAt(vpe, its)?.redistributor !== cpu) return;
    const groups = this.is41 && byte % 8 < 3 ? (byte % 8) + 1 : 3;
    machine.schedule(cpu, vpe, groups);
    model.schedule(cpu, vpe, groups);
  }

  private take(cpu: number): void {
    const { gic } = this.machine;
    const expected = this.model.physicalFirsts(cpu);
    const intid = this.machine.iar(cpu);
    if (!expected.includes(intid)) differ(`IAR of CPU ${cpu}`, intid, expected);
    if (intid === NO_DOORBELL) return;
    this.model.pending[cpu].delete(intid);
    run(gic.endOfInterrupt(cpu, intid));
  }

  private takeVirtual(cpu: number): void {
    const ich = this.machine.gic.ich(cpu);
    const [intid, group] = this.comparison.virtualFirst(cpu);
    same("IAR of the guest", run(ich.acknowledge(group)), intid);
    if (intid === NO_DOORBELL) return;
    const vpe = this.model.resident[cpu]?.vpe ?? -1;
    this.model.virtual[vpe].delete(intid);
    run(ich.endOfInterrupt(group, intid));
  }
}
