import { expect } from "vitest";
import { SPURIOUS_INTID } from "../../../arch/gic/contract.js";
import { ArmLpis } from "./arm-lpis.fixture.js";
import * as command from "../../../explore/stages/its-stage.js";

/** How many of each a random sequence plays with. */
export const PLACES = { devices: 3, events: 6, collections: 4, vcpus: 4 } as const;
const FIRST_LPI = 8192;
const BITS = 3;
const ITT_STRIDE = 0x1000;
const ENABLE = 1;
const LEVEL2 = 0x4180_0000;
const LEVEL2_STRIDE = 0x1_0000;
const INVLPIR = 0xa0;
const INVALLR = 0xb0;
/** The virtual CPU interface has five bits of priority, and the fixture masks the last two levels. */
const PRIORITY_BITS = 0xf8;
const PMR = 0xf0;
/** Tables that a migration has to carry: from, bytes. */
const copied = (itses: number): readonly (readonly [number, number])[] => [
  ...Array.from({ length: itses }, (_, n): [number, number][] => [
    [command.DEVICES + n * command.TABLES_STRIDE, 0x1000],
    [command.COLLECTIONS + n * command.TABLES_STRIDE, 0x1000],
    [LEVEL2 + n * LEVEL2_STRIDE, 0x1000],
  ]).flat(),
  [command.PROPERTIES, 0x1000],
  ...Array.from({ length: PLACES.vcpus }, (_, vcpu): [number, number] => [command.PENDING + vcpu * 0x10000, 0x1000]),
  [command.ITT, PLACES.devices * ITT_STRIDE],
];

/** One thing that happens; which fields matter depends on the kind. */
export interface Operation {
  readonly kind: number;
  readonly device: number;
  readonly event: number;
  readonly icid: number;
  readonly vcpu: number;
  readonly byte: number;
}

export interface ItsGuestOptions {
  /** Of which each device belongs to one. */
  readonly itses: number;
  /** Two levels of device tables. */
  readonly isIndirect?: boolean;
  /** Each changed configuration is followed by an INV: what a cache of it knows is what the table says. */
  readonly isInvalidating?: boolean;
}

/**
 * A guest that keeps the manual's rules, on the virtual ITS and on {@link ArmLpis} at once: after everything that it does
 * both show the same. Each LPI has its event for good, and a priority of its own until its byte is changed.
 */
export class ItsGuest {
  readonly h: command.ItsStage;
  readonly model: ArmLpis;
  /** What commands answered and what was taken, in order. */
  readonly seen: number[] = [];

  constructor(
    private readonly options: ItsGuestOptions,
    from: ItsGuest | null = null,
  ) {
    const isFirst = from === null;
    const h = new command.ItsStage({ itses: options.itses, isRaw: !isFirst });
    this.h = h;
    const byte = (intid: number): number => h.vm.ram.memory.getU8(command.PROPERTIES + intid - FIRST_LPI);
    this.model = isFirst ? new ArmLpis(PLACES.vcpus, byte, PRIORITY_BITS) : from.model.copy(byte);
    if (!isFirst) return;
    for (let lpi = 0; lpi < PLACES.devices * PLACES.events; lpi++) h.config(FIRST_LPI + lpi, ownPriority(lpi) | ENABLE);
    if (options.isIndirect === true) this.useTwoLevels();
  }

  private useTwoLevels(): void {
    for (let n = 0; n < this.options.itses; n++) {
      const devices = command.DEVICES + n * command.TABLES_STRIDE;
      this.h.use(n);
      this.h.write("CTLR", 0n);
      this.h.write("BASER0", (3n << 62n) | BigInt(devices));
      this.h.poke(devices, (1n << 63n) | BigInt(LEVEL2 + n * LEVEL2_STRIDE));
      this.h.write("CTLR", 1n);
    }
  }

  apply(operation: Operation): void {
    this.h.use(this.itsOf(operation.device));
    this.perform(operation);
    for (let vcpu = 0; vcpu < PLACES.vcpus; vcpu++) this.look(vcpu);
    for (let vcpu = 0; vcpu < PLACES.vcpus; vcpu++) this.compare(vcpu);
  }

  /** Everything that can be taken is taken. */
  drain(): void {
    for (let vcpu = 0; vcpu < PLACES.vcpus; vcpu++) while (this.take(vcpu) !== SPURIOUS_INTID);
  }

  /** User space moves the VM to another machine (gic-its.md B10); the ITS is made before PROPBASER is set, as its making resets that. */
  migrate(): ItsGuest {
    const { h } = this;
    expect(h.savePending()).toBe(0);
    for (let n = 0; n < this.options.itses; n++) {
      h.use(n);
      expect(h.save()).toBe(0);
    }
    const other = new ItsGuest(this.options, this);
    h.copyMemoryTo(other.h, copied(this.options.itses));
    h.copyRegistersTo(other.h);
    other.seen.push(...this.seen);
    return other;
  }

  private itsOf(device: number): number {
    return device % this.options.itses;
  }

  /** Each ITS has collections of its own. */
  private collection(device: number, icid: number): number {
    return this.itsOf(device) * PLACES.collections + icid;
  }

  private perform(operation: Operation): void {
    const { kind, device, event, icid, vcpu, byte } = operation;
    const { model } = this;
    const intid = lpiOf(device, event);
    const key = this.collection(device, icid);
    if (kind <= 1 && model.mayUnmapDevice(device)) this.both(command.mapd(device, BITS, command.ITT + device * ITT_STRIDE), model.mapDevice(device, BITS));
    else if (kind === 2 || kind === 3) this.mapCollection(key, vcpu, byte);
    else if ((kind === 4 || kind === 5) && model.mayMap(device, event, intid)) this.both(command.mapti(device, event, intid, icid), model.mapEvent(device, event, intid, key));
    else if (kind === 6 || kind === 7) this.both(command.int(device, event), model.trigger(device, event));
    else if (kind === 8 || kind === 9) this.message(device, event);
    else if (kind === 10) this.both(command.clear(device, event), model.clear(device, event));
    else if (kind === 11 && model.mayDiscard(device, event)) this.both(command.discard(device, event), model.discard(device, event));
    else if (kind >= 12 && kind <= 14) this.take(vcpu);
    else if (kind === 15 && this.isOn(model.targetOf(key))) this.both(command.movi(device, event, icid), model.moveEvent(device, event, key));
    else if (kind === 16) this.both(command.inv(device, event), model.invalidate(device, event));
    else if (kind === 17) this.configure(operation, intid);
    else if (kind === 18) this.both(command.invall(icid), model.invalidateCollection(key));
    else if (kind === 19 && byte % 2 === 0 && this.isOn((byte >> 1) % PLACES.vcpus)) this.moveAll(vcpu, (byte >> 1) % PLACES.vcpus, (byte & 0x80) !== 0);
    else if (kind === 19 && model.mayUnmapDevice(device)) this.both(command.mapd(device, BITS, 0, false), model.unmapDevice(device));
    else if (kind === 20 && model.maySwitch(vcpu)) this.switchLpis(vcpu);
    else if (kind === 21) this.invalidateAt(vcpu, byte % 2 === 0 ? null : intid);
  }

  private isOn(redistributor: number | null): boolean {
    return redistributor === null || this.model.isEnabled(redistributor);
  }

  private switchLpis(vcpu: number): void {
    this.model.switchLpis(vcpu);
    this.h.enableLpis(vcpu, this.model.isEnabled(vcpu));
  }

  /** By the redistributor's own registers; of an LPI only where it is that redistributor's. */
  private invalidateAt(vcpu: number, intid: number | null): void {
    if (intid !== null && !this.model.isAt(vcpu, intid)) return;
    this.h.gicr(vcpu, intid === null ? INVALLR : INVLPIR, BigInt(intid ?? 0));
    this.model.invalidateAt(vcpu, intid);
  }

  /** One command to the ITS in use; `isDone`: did the model take it, or find it wrong? */
  private both(words: Parameters<command.ItsStage["commands"]>[0], isDone: boolean): void {
    const [code] = this.h.commands(words);
    expect(code === 0, `command ${words.join(" ")} answers ${code}`).toBe(isDone);
    this.seen.push(code);
  }

  private message(device: number, event: number): void {
    const result = this.h.msi(device, event, { address: command.ITS + this.itsOf(device) * command.ITS_STRIDE });
    expect(result === 1).toBe(this.model.trigger(device, event));
    this.seen.push(result);
  }

  /** A collection in use goes to another redistributor with all that is there, as software must do it. */
  private mapCollection(key: number, vcpu: number, byte: number): void {
    const { model, h } = this;
    const icid = key % PLACES.collections;
    const old = model.targetOf(key);
    if (!model.isEnabled(vcpu) && model.isUsed(key)) return;
    h.use(Math.floor(key / PLACES.collections));
    if (old !== null && old !== vcpu && model.isUsed(key)) this.moveAll(old, vcpu, (byte & 0x80) !== 0);
    else if (byte % 4 === 0 && !model.isUsed(key)) this.both(command.mapc(icid, vcpu, false), model.unmapCollection(key));
    else this.both(command.mapc(icid, vcpu), model.mapCollection(key, vcpu));
  }

  /** Every collection of one vCPU is mapped to another, before or after the MOVALL. */
  private moveAll(from: number, to: number, isMovedFirst: boolean): void {
    const keys = this.model.collectionsOf(from);
    this.model.moveAll(from, to);
    if (isMovedFirst) this.both(command.movall(from, to), true);
    for (const key of keys) {
      this.h.use(Math.floor(key / PLACES.collections));
      this.both(command.mapc(key % PLACES.collections, to), true);
    }
    if (!isMovedFirst) this.both(command.movall(from, to), true);
  }

  /** The byte of the property table alone; nobody knows before an INV. */
  private configure({ device, event, byte }: Operation, intid: number): void {
    const isKept = this.options.isInvalidating === true;
    this.h.config(intid, isKept ? ownPriority(intid - FIRST_LPI) | (byte & ENABLE) : byte);
    if (isKept) this.both(command.inv(device, event), this.model.invalidate(device, event));
  }

  /** An acknowledge and an end on a vCPU that enters its guest for it. */
  private take(vcpu: number): number {
    const candidates = this.model.candidates(vcpu, PMR);
    const intid = this.h.iar(vcpu);
    expect(candidates.length === 0 ? [SPURIOUS_INTID] : candidates, `vCPU ${vcpu} takes ${intid}`).toContain(intid);
    if (intid !== SPURIOUS_INTID) this.h.eoi(intid, vcpu);
    this.h.exit(vcpu);
    this.model.acknowledge(vcpu, intid);
    this.seen.push(intid);
    return intid;
  }

  /** A vCPU enters its guest and leaves it: what goes elsewhere goes there. */
  private look(vcpu: number): void {
    this.h.enter(vcpu);
    this.h.exit(vcpu);
  }

  /** What would be taken next, were nothing masked. */
  private compare(vcpu: number): void {
    const candidates = this.model.candidates(vcpu);
    const intid = this.h.hppir(vcpu);
    this.h.exit(vcpu);
    expect(candidates.length === 0 ? [SPURIOUS_INTID] : candidates, `vCPU ${vcpu} has ${intid} next`).toContain(intid);
    this.seen.push(intid);
  }
}

const lpiOf = (device: number, event: number): number => FIRST_LPI + device * PLACES.events + event;
const ownPriority = (lpi: number): number => 8 * (lpi + 1);
