import { GITS_TRANSLATER } from "../../arch/gic/gits.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import { Process } from "../../host/process.js";
import { run, type Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { KVM_MSI_VALID_DEVID } from "../../uapi/kvm.js";
import { createIts, type Its } from "../../irqchip/gic/its/its.js";
import { injectMsi, injectMsiAtomic } from "../../irqchip/gic/its/msi.js";
import type { MmioDevice } from "../../irqchip/contract.js";
import { type HarnessOptions, VgicStage } from "./vgic-stage.js";

export const ITS = 0x08080000;
export const DEVICES = 0x41000000;
export const COLLECTIONS = 0x41010000;
export const QUEUE = 0x41020000;
export const PROPERTIES = 0x41030000;
export const PENDING = 0x41040000;
/** The interrupt translation tables that the vectors use. */
export const ITT = 0x41100000;
/** From one ITS to the next, and from its tables and queue to the next one's. */
export const ITS_STRIDE = 0x10_0000;
export const TABLES_STRIDE = 0x20_0000;
const ARGUMENT = 0x1000;
const OFFSETS = { CTLR: 0x0, IIDR: 0x4, TYPER: 0x8, CBASER: 0x80, CWRITER: 0x88, CREADR: 0x90, BASER0: 0x100, BASER1: 0x108, BASER2: 0x110 } as const;
export type Register = keyof typeof OFFSETS;

/** A command: its four doublewords. */
export type Words = readonly [bigint, bigint, bigint, bigint];
const VALID = 1n << 63n;

export const mapd = (device: number, bits: number, itt = ITT, isValid = true): Words => [BigInt(ItsOp.MAPD) | (BigInt(device) << 32n), BigInt(bits - 1), BigInt(itt) | (isValid ? VALID : 0n), 0n];
export const mapc = (icid: number, rd: number, isValid = true): Words => [BigInt(ItsOp.MAPC), 0n, BigInt(icid) | (BigInt(rd) << 16n) | (isValid ? VALID : 0n), 0n];
export const mapti = (device: number, event: number, intid: number, icid: number): Words => [BigInt(ItsOp.MAPTI) | (BigInt(device) << 32n), BigInt(event) | (BigInt(intid) << 32n), BigInt(icid), 0n];
const onEvent = (op: ItsOp) => (device: number, event: number, icid = 0): Words => [BigInt(op) | (BigInt(device) << 32n), BigInt(event), BigInt(icid), 0n];
export const int = onEvent(ItsOp.INT);
export const clear = onEvent(ItsOp.CLEAR);
export const discard = onEvent(ItsOp.DISCARD);
export const inv = onEvent(ItsOp.INV);
export const movi = onEvent(ItsOp.MOVI);
export const mapi = onEvent(ItsOp.MAPI);
export const invall = (icid: number): Words => [BigInt(ItsOp.INVALL), 0n, BigInt(icid), 0n];
export const movall = (from: number, to: number): Words => [BigInt(ItsOp.MOVALL), 0n, BigInt(from) << 16n, BigInt(to) << 16n];
export const sync = (): Words => [BigInt(ItsOp.SYNC), 0n, 0n, 0n];

/** `itses`: how many, one behind the other; `isRaw`: without addresses and tables. */
export type ItsStageOptions = HarnessOptions & { isRaw?: boolean; itses?: number };

/** Fixture F1 of gic.md D4: F0 with an ITS, its tables, LPIs 8192 to 8210 enabled at priority 0xA0. */
export class ItsStage extends VgicStage {
  /** The ITS that registers, commands and attributes go to. */
  its: Its;
  private queue = QUEUE;
  /** Where the next command goes, by ITS, where some wait that are not announced. */
  private readonly queued = new Map<Its, number>();
  readonly process = new Process(this.sim, "vmm");

  constructor(options: ItsStageOptions = {}) {
    super(options);
    this.process.memory.map(ARGUMENT, 0x1000);
    const { itses = 1 } = options;
    for (let n = 0; n < itses; n++) run(createIts(this.dist));
    [this.its] = this.dist.itses;
    if (options.isRaw) return;
    this.gicr(0, 0x70, 0x4103000fn);
    for (let cpu = 0; cpu < this.vm.vcpus.length; cpu++) {
      this.gicr(cpu, 0x78, BigInt(PENDING + cpu * 0x10000));
      this.enableLpis(cpu, true);
    }
    for (let n = itses - 1; n >= 0; n--) {
      this.use(n);
      this.place(ITS + n * ITS_STRIDE);
      this.setTables();
      this.write("CTLR", 1n);
    }
    for (let intid = 8192; intid <= 8210; intid++) this.config(intid, 0xa1);
  }

  /** Registers, commands and attributes go to the n-th ITS from now on. */
  use(n: number): void {
    this.its = this.dist.itses[n];
    this.queue = QUEUE + n * TABLES_STRIDE;
  }

  private place(base: number): void {
    this.its.base = base;
    this.its.appear();
  }

  private setTables(): void {
    const behind = this.queue - QUEUE;
    this.write("BASER0", VALID | BigInt(DEVICES + behind));
    this.write("BASER1", VALID | BigInt(COLLECTIONS + behind));
    this.write("CBASER", VALID | BigInt(this.queue));
  }

  /** Nobody kicks a vCPU here: it leaves the guest to see what came, and leaves it in the end. */
  override drain(vcpu = 0): number[] {
    this.exit(vcpu);
    const all = super.drain(vcpu);
    this.exit(vcpu);
    return all;
  }

  write(register: Register, value: bigint): void {
    this.store(OFFSETS[register], register === "CTLR" || register === "IIDR" ? 4 : 8, value);
  }

  store(offset: number, size: number, value: bigint): void {
    run(this.its.mmioWrite(this.vm.vcpus[0], offset, size, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))));
  }

  read(register: Register): bigint {
    return this.load(OFFSETS[register], register === "CTLR" || register === "IIDR" ? 4 : 8);
  }

  load(offset: number, size: number): bigint {
    const low = run(this.its.mmioRead(this.vm.vcpus[0], offset, size)) >>> 0;
    return BigInt(low) | (size === 8 ? BigInt(this.its.high >>> 0) << 32n : 0n);
  }

  gicr(cpu: number, offset: number, value: bigint, size = 8): void {
    const frame = this.dist.frames.redist(this.cpu(cpu));
    this.trapped(cpu, () => run(frame.mmioWrite(this.vm.vcpus[cpu], offset, size, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)))));
  }

  enableLpis(cpu: number, isOn: boolean): void {
    this.gicr(cpu, 0, isOn ? 1n : 0n, 4);
  }

  config(intid: number, byte: number): void {
    this.vm.ram.memory.setU8(PROPERTIES + intid - 8192, byte);
  }

  /** Executes commands one after the other; the code of each (gic-its.md B4.1). */
  commands(...all: Words[]): number[] {
    this.trace.clear();
    for (const words of all) {
      const at = Number(this.read("CWRITER"));
      words.forEach((word, i) => this.poke(this.queue + at + 8 * i, word));
      this.write("CWRITER", BigInt((at + 32) % 4096));
    }
    return this.trace.events.filter(({ name }) => name === "its_command").map(({ args }) => Number(args[3]));
  }

  poke(address: number, value: bigint): void {
    this.vm.ram.memory.setU32(address, Number(BigInt.asUintN(32, value)));
    this.vm.ram.memory.setU32(address + 4, Number(BigInt.asUintN(32, value >> 32n)));
  }

  peek(address: number): bigint {
    return BigInt(this.vm.ram.memory.getU32(address)) | (BigInt(this.vm.ram.memory.getU32(address + 4)) << 32n);
  }

  // --- as steps, for contexts of a program ---

  /** KVM_SIGNAL_MSI of a device behind the first ITS. */
  *message(devid: number, data: number): Step<number> {
    const address = ITS + GITS_TRANSLATER;
    return yield* injectMsi(this.dist, { addressLo: address, addressHi: 0, data, flags: KVM_MSI_VALID_DEVID, devid });
  }

  /** Puts commands behind those that are in the queue, and does not announce them: where CWRITER goes then. */
  queueUp(...all: readonly Words[]): number {
    const at = this.queued.get(this.its) ?? Number(this.read("CWRITER"));
    all.forEach((words, n) => words.forEach((word, i) => this.poke(this.queue + at + 32 * n + 8 * i, word)));
    this.queued.set(this.its, at + 32 * all.length);
    return at + 32 * all.length;
  }

  /** A vCPU's write of CWRITER. */
  *announce(cwriter: number, its = this.its): Step<void> {
    yield* its.mmioWrite(this.vm.vcpus[0], OFFSETS.CWRITER, 8, cwriter, 0);
  }

  redistributor(cpu: number): MmioDevice {
    return this.dist.frames.redist(this.cpu(cpu));
  }

  /** KVM_DEV_ARM_ITS_SAVE_TABLES. */
  *saveStep(): Step<number> {
    return yield* this.its.setAttr(this.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_ITS_SAVE_TABLES, 0, 0);
  }

  /** KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES. */
  *savePendingStep(): Step<number> {
    return yield* this.vgic.setAttr(this.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0);
  }

  /** The pending bit of an LPI in a vCPU's table. */
  isSaved(intid: number, cpu: number): boolean {
    return (this.vm.ram.memory.getU8(PENDING + 0x10000 * cpu + (intid >> 3)) & (1 << (intid & 7))) !== 0;
  }

  /** KVM_SIGNAL_MSI. */
  msi(devid: number, data: number, options: { flags?: number; address?: number; isAtomic?: boolean } = {}): number {
    const { flags = KVM_MSI_VALID_DEVID, address = ITS + GITS_TRANSLATER, isAtomic = false } = options;
    const message = { addressLo: address, addressHi: Math.floor(address / 2 ** 32), data, flags, devid };
    return run(isAtomic ? injectMsiAtomic(this.dist, message) : injectMsi(this.dist, message));
  }

  /** A device attribute with a u64 argument, set. */
  set(group: number, attr: number, value: bigint): number {
    this.putArgument(value);
    return run(this.its.setAttr(this.process, group, attr, 0, ARGUMENT));
  }

  get(group: number, attr: number): bigint | number {
    const error = run(this.its.getAttr(this.process, group, attr, 0, ARGUMENT));
    return error < 0 ? error : BigInt(this.process.memory.getU32(ARGUMENT)) | (BigInt(this.process.memory.getU32(ARGUMENT + 4)) << 32n);
  }

  address(value: bigint): number {
    return this.set(A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, value);
  }

  control(attr: number): number {
    return run(this.its.setAttr(this.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, attr, 0, 0));
  }

  save(): number {
    return this.control(A.KVM_DEV_ARM_ITS_SAVE_TABLES);
  }

  restore(): number {
    return this.control(A.KVM_DEV_ARM_ITS_RESTORE_TABLES);
  }

  reset(): number {
    return this.control(A.KVM_DEV_ARM_ITS_CTRL_RESET);
  }

  /** KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES. */
  savePending(): number {
    return run(this.vgic.setAttr(this.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0, 0));
  }

  copyMemoryTo(other: ItsStage, ranges: readonly (readonly [number, number])[]): void {
    for (const [from, bytes] of ranges) {
      const buffer = new Uint8Array(bytes);
      this.vm.ram.memory.copyIn(from, buffer);
      other.vm.ram.memory.copyOut(from, buffer);
    }
  }

  /** Every register of the LPIs and of all ITSs, and their tables, into a raw harness: in the order of gic-its.md B10. */
  copyRegistersTo(other: ItsStage): void {
    const redist = (h: ItsStage, cpu: number): MmioDevice => h.dist.frames.redist(h.cpu(cpu));
    for (let cpu = 0; cpu < this.vm.vcpus.length; cpu++) {
      for (const [offset, size] of [[0x70, 8], [0x78, 8], [0, 4]] as const) {
        const frame = redist(this, cpu);
        const low = run(frame.mmioRead(this.vm.vcpus[cpu], offset, size));
        run(redist(other, cpu).mmioWrite(other.vm.vcpus[cpu], offset, size, low, size === 8 ? frame.high : 0));
      }
    }
    for (let n = 0; n < this.dist.itses.length; n++) {
      this.use(n);
      other.use(n);
      this.copyItsTo(other);
    }
  }

  private copyItsTo(other: ItsStage): void {
    const done = [other.address(BigInt(this.its.base))];
    const registers = A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS;
    for (const name of ["IIDR", "CBASER", "CREADR", "CWRITER", "BASER0", "BASER1"] as const) done.push(other.set(registers, OFFSETS[name], BigInt(this.get(registers, OFFSETS[name]))));
    done.push(other.restore(), other.set(registers, OFFSETS.CTLR, BigInt(this.get(registers, OFFSETS.CTLR)) & 1n));
    if (done.some((error) => error !== 0)) throw new Error(`the ITS is not restored: ${done.join(", ")}`);
  }

  /** Ids of its devices, ids and targets of its collections. */
  mapped(): { devices: number[]; collections: [number, number][] } {
    run(this.its.itsLock.lock());
    const devices = [...this.its.devices.keys()];
    const collections = this.its.collections.inOrder.map(({ id, target }): [number, number] => [id, target]);
    run(this.its.itsLock.unlock());
    return { devices, collections };
  }

  private putArgument(value: bigint): void {
    this.process.memory.setU32(ARGUMENT, Number(BigInt.asUintN(32, value)));
    this.process.memory.setU32(ARGUMENT + 4, Number(BigInt.asUintN(32, value >> 32n)));
  }
}
