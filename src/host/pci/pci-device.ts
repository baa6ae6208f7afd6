import { Af, CapId, Command, EXTENDED_NEXT, Exp, MAX_EXTENDED, Pci, Pm, Status, STATUS_SHIFT, Vpd } from "../../arch/pci/config-registers.js";
import type { PciFunction } from "../../device/pci/function.js";
import { guarded } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EAGAIN, ENOTTY } from "../../uapi/errno.js";
import { type Bus, HostDevice } from "../driver-binding.js";
import type { DynamicId } from "../dynamic-id.js";
import type { IommuGroup } from "../iommu/group.js";
import type { PciBus, PciRoot } from "./pci-root.js";
import { PciVectors } from "./pci-vectors.js";
import { SavedState } from "./saved-state.js";

/** Where a function stands on the host, and what the host knows of it. */
export interface PciDeviceOptions {
  readonly bus: PciBus;
  readonly group?: IommuGroup | null;
  /** Linux irq of the INTx pin; 0, the default, where it is not connected. */
  readonly irq?: number;
  /** The device cannot be masked by DisINTx, or does not say when it asserts (pci_intx_mask_broken). Default false. */
  readonly hasBrokenIntxMasking?: boolean;
  /** Of a virtual function: the physical one that it belongs to, which makes it; until then it is nowhere. */
  readonly physicalFunction?: PciDevice | null;
  /** Ways to reset it that do not work. */
  readonly brokenResets?: readonly ResetMethodName[];
}

export type ResetMethodName = "flr" | "af_flr" | "pm" | "bus";

const NO_INTERRUPT = 0;
const hex4 = (value: number): string => value.toString(16).padStart(4, "0");

/** Vendor and device id of a virtual function (SR-IOV 3.4.1.1): the physical one's capability has them. */
const ones = (size: number): number => (size === 4 ? -1 : (1 << (8 * size)) - 1);

/** A PCI function as the host kernel has it: the kernel's pci_dev. */
export class PciDevice extends HostDevice {
  readonly bus: PciBus;
  readonly irq: number;
  readonly hasBrokenIntxMasking: boolean;
  readonly vectors: PciVectors;
  readonly physicalFunction: PciDevice | null;
  /** Configuration cycles of the host so far. */
  private cycles = 0;
  private readonly brokenResets: readonly ResetMethodName[];

  constructor(
    readonly root: PciRoot,
    readonly fn: PciFunction,
    options: PciDeviceOptions,
  ) {
    super(root.host.sim, fn.name, [`pci${hex4(fn.peek(Pci.VENDOR_ID, 2))},${hex4(fn.peek(Pci.DEVICE_ID, 2))}`], options.group ?? null, !options.physicalFunction);
    this.bus = options.bus;
    this.irq = options.irq ?? NO_INTERRUPT;
    this.hasBrokenIntxMasking = options.hasBrokenIntxMasking ?? false;
    this.brokenResets = options.brokenResets ?? [];
    this.physicalFunction = options.physicalFunction ?? null;
    if (this.physicalFunction === null) this.bus.devices.push(this);
    else this.physicalFunction.virtualFunctions.push(this);
    this.vectors = new PciVectors(root.host, this);
  }

  override appearOn(bus: Bus): void {
    super.appearOn(bus);
    if (!this.bus.devices.includes(this)) this.bus.devices.push(this);
  }

  override disappear(): void {
    super.disappear();
    this.bus.devices.splice(this.bus.devices.indexOf(this), 1);
  }

  /** vendor, device, class; of a function that makes virtual ones, how many there are and can be. */
  override attribute(name: string): string | null {
    if (name === "sriov_numvfs" && this.virtualFunctions.length > 0) return `${this.virtualFunctionsEnabled}`;
    if (name === "sriov_totalvfs" && this.virtualFunctions.length > 0) return `${this.virtualFunctions.length}`;
    if (name === "vendor") return `0x${hex4(this.fn.peek(Pci.VENDOR_ID, 2))}`;
    if (name === "device") return `0x${hex4(this.fn.peek(Pci.DEVICE_ID, 2))}`;
    return name === "class" ? `0x${(this.fn.peek(Pci.REVISION, 4) >>> 8).toString(16).padStart(6, "0")}` : null;
  }

  override matchesId(id: DynamicId): boolean {
    const fits = (wanted: number, offset: number): boolean => wanted < 0 || this.fn.peek(offset, 2) === wanted;
    const classCode = this.fn.peek(Pci.REVISION, 4) >>> 8;
    if (((classCode ^ id.classCode) & id.classMask) !== 0) return false;
    return fits(id.vendor, Pci.VENDOR_ID) && fits(id.device, Pci.DEVICE_ID) && fits(id.subvendor, Pci.SUBSYSTEM_VENDOR) && fits(id.subdevice, Pci.SUBSYSTEM_ID);
  }

  override get isBridge(): boolean {
    return (this.fn.peek(Pci.HEADER_TYPE, 1) & 0x7f) !== 0;
  }

  /** Where an extended capability is (pci_find_ext_capability); 0 where the function has none. */
  extendedCapability(id: number): number {
    if (this.fn.configSize < Pci.EXPRESS_SIZE) return 0;
    let at: number = Pci.LEGACY_SIZE;
    for (let left = MAX_EXTENDED; at >= Pci.LEGACY_SIZE && left > 0; left--) {
      const header = this.fn.peek(at, 4);
      if (header === 0 || header === -1) return 0;
      if ((header & 0xffff) === id) return at;
      at = (header >>> 20) & EXTENDED_NEXT;
    }
    return 0;
  }

  *readConfig(offset: number, size: number): Step<number> {
    const { lock } = this.root;
    yield* lock.lock();
    const value = yield* this.cycleRead(offset, size);
    yield* lock.unlock();
    return value;
  }

  *writeConfig(offset: number, size: number, value: number): Step<void> {
    const { lock } = this.root;
    yield* lock.lock();
    yield* this.cycleWrite(offset, size, value);
    yield* lock.unlock();
  }

  private *cycleRead(offset: number, size: number): Step<number> {
    this.cycles++;
    this.root.host.sim.charge(Cost.deviceAccess);
    const value = yield* this.fn.readConfig(offset, size);
    return this.physicalFunction !== null && offset < Pci.COMMAND ? ones(size) : value;
  }

  private *cycleWrite(offset: number, size: number, value: number): Step<void> {
    this.cycles++;
    this.root.host.sim.charge(Cost.deviceAccess);
    yield* this.fn.writeConfig(offset, size, value);
  }

  /** Read, change and write back the bits of a 16-bit register, under one hold of the lock; the old value. */
  *updateConfig(offset: number, clear: number, set: number): Step<number> {
    const { lock } = this.root;
    yield* lock.lock();
    const old = yield* this.cycleRead(offset, 2);
    const value = (old & ~clear) | set;
    if (value !== old) yield* this.cycleWrite(offset, 2, value);
    yield* lock.unlock();
    return old;
  }

  /** Bits of a register of `size` bytes are written, the others kept: one hold of the lock, for handlers write DisINTx in between. */
  *mergeConfig(offset: number, size: number, mask: number, value: number): Step<void> {
    const { lock } = this.root;
    yield* lock.lock();
    const old = yield* this.cycleRead(offset, size);
    yield* this.cycleWrite(offset, size, (old & ~mask) | (value & mask));
    yield* lock.unlock();
  }

  // --- INTx (vfio.md 8.2; drivers/pci/pci.c) ---

  /** pci_intx: the DisINTx bit. */
  *setIntx(isEnabled: boolean): Step<void> {
    const old = yield* this.updateConfig(Pci.COMMAND, isEnabled ? Command.INTX_DISABLE : 0, isEnabled ? 0 : Command.INTX_DISABLE);
    if (((old & Command.INTX_DISABLE) === 0) !== isEnabled) this.noteIntx(!isEnabled);
  }

  /** pci_check_and_mask_intx: true where the function asserts its pin, which DisINTx then holds down. */
  *checkAndMaskIntx(): Step<boolean> {
    return yield* this.checkAndSetIntx(true);
  }

  /** pci_check_and_unmask_intx: false, with DisINTx left as it was, while the function asserts its pin. */
  *checkAndUnmaskIntx(): Step<boolean> {
    return yield* this.checkAndSetIntx(false);
  }

  /** One read tells both, so that the condition and the mask belong together. */
  private *checkAndSetIntx(isMask: boolean): Step<boolean> {
    const { lock } = this.root;
    yield* lock.lock();
    const both = yield* this.cycleRead(Pci.COMMAND, 4);
    const isPending = ((both >> STATUS_SHIFT) & Status.INTERRUPT) !== 0;
    if (isPending === isMask) {
      const command = both & 0xffff;
      const wanted = isMask ? command | Command.INTX_DISABLE : command & ~Command.INTX_DISABLE;
      if (wanted !== command) {
        this.noteIntx(isMask);
        yield* this.cycleWrite(Pci.COMMAND, 2, wanted);
      }
    }
    yield* lock.unlock();
    return isPending === isMask;
  }

  private noteIntx(isDisabled: boolean): void {
    this.root.host.sim.emit(Ev.pci_intx, this.name, isDisabled ? 1 : 0);
  }

  // --- enable, power, state ---

  *setMaster(isMaster: boolean): Step<void> {
    yield* this.updateConfig(Pci.COMMAND, isMaster ? 0 : Command.MASTER, isMaster ? Command.MASTER : 0);
  }

  /** pci_enable_device: D0, and the decoders of the BARs that there are. */
  *enable(): Step<void> {
    yield* this.setPowerState(0);
    let decoders = 0;
    for (let i = 0; i < this.fn.bars.length; i++) decoders |= this.fn.bars[i].kind === "io" ? Command.IO : Command.MEMORY;
    yield* this.updateConfig(Pci.COMMAND, 0, decoders);
  }

  /** pci_disable_device ends bus mastering; what decodes goes on decoding. */
  *disable(): Step<void> {
    yield* this.setMaster(false);
  }

  /** D1 and D2 are there where PMC says so. */
  hasPowerState(state: number): boolean {
    const pm = this.fn.capability(CapId.PM);
    if (pm === 0) return false;
    const offered = this.fn.peek(pm + Pm.PMC, 2);
    return state === Pm.D1 ? (offered & Pm.HAS_D1) !== 0 : state !== Pm.D2 || (offered & Pm.HAS_D2) !== 0;
  }

  /** 0 to 2, or 3 for D3hot; one that the function does not have leaves it as it is. True: the way to D0 has reset the function. */
  *setPowerState(state: number): Step<boolean> {
    const pm = this.fn.capability(CapId.PM);
    if (!this.hasPowerState(state)) return false;
    const old = yield* this.updateConfig(pm + Pm.PMCSR, Pm.STATE_MASK, state);
    return (old & Pm.STATE_MASK) === Pm.D3HOT && state === 0 && !(old & Pm.NO_SOFT_RESET);
  }

  /** pci_enable_atomic_ops_to_root: sizes of atomic operations, one bit each, that it completes and its root port too; it may request them then. */
  *enableAtomicOps(): Step<number> {
    const express = this.fn.capability(CapId.EXPRESS);
    if (express === 0) return 0;
    const sizes = ((yield* this.readConfig(express + Exp.DEVCAP2, 4)) >>> Exp.DEVCAP2_ATOMIC_SHIFT) & this.bus.atomicCompletions;
    if (sizes !== 0) yield* this.updateConfig(express + Exp.DEVCTL2, 0, Exp.DEVCTL2_ATOMIC_REQ);
    return sizes;
  }

  // --- vital product data (drivers/pci/vpd.c); the function answers at once ---

  *readVpd(address: number): Step<number> {
    const at = this.fn.capability(CapId.VPD);
    yield* this.writeConfig(at + Vpd.ADDRESS, 2, address);
    return yield* this.readConfig(at + Vpd.DATA, 4);
  }

  *writeVpd(address: number, value: number): Step<void> {
    const at = this.fn.capability(CapId.VPD);
    yield* this.writeConfig(at + Vpd.DATA, 4, value);
    yield* this.writeConfig(at + Vpd.ADDRESS, 2, address | Vpd.FLAG);
  }

  // --- errors ---

  /** AER has found an uncorrectable error of the function: false where no driver of it can go on. */
  *reportError(): Step<boolean> {
    const driver = yield* this.boundDriver();
    return driver !== null && (yield* driver.errorDetected(this));
  }

  // --- resets ---

  /** The first way that there is, as the kernel tries them; null where there is none. */
  resetMethod(): ResetMethodName | null {
    const { fn } = this;
    const express = fn.capability(CapId.EXPRESS);
    const pm = fn.capability(CapId.PM);
    if (express !== 0 && fn.peek(express + Exp.DEVCAP, 4) & Exp.DEVCAP_FLR && this.works("flr")) return "flr";
    if (this.hasAfFlr() && this.works("af_flr")) return "af_flr";
    if (pm !== 0 && !(fn.peek(pm + Pm.PMCSR, 2) & Pm.NO_SOFT_RESET) && this.works("pm")) return "pm";
    return this.bus.hasBridge && this.bus.devices.length === 1 && this.works("bus") ? "bus" : null;
  }

  private hasAfFlr(): boolean {
    const at = this.fn.capability(CapId.AF);
    return at !== 0 && (this.fn.peek(at + Af.CAPABILITIES, 1) & Af.CAP_TP_FLR) === Af.CAP_TP_FLR;
  }

  private works(method: ResetMethodName): boolean {
    return !this.brokenResets.includes(method);
  }

  /** pci_try_reset_function: 0; -EAGAIN while somebody has the device; -ENOTTY without a way. State outlives it. */
  *tryResetFunction(holdsIntx = false): Step<number> {
    const method = this.resetMethod();
    if (method === null) return -ENOTTY;
    if (!(yield* this.lock.tryLock())) return -EAGAIN;
    const state = yield* SavedState.of(this);
    yield* this.writeConfig(Pci.COMMAND, 2, Command.INTX_DISABLE);
    yield* this.resetBy(method);
    yield* state.restore(this, holdsIntx);
    yield* this.lock.unlock();
    return 0;
  }

  private *resetBy(method: ResetMethodName): Step<void> {
    const { fn } = this;
    this.root.host.sim.emit(Ev.pci_reset, this.name, method);
    if (method === "flr") yield* this.updateConfig(fn.capability(CapId.EXPRESS) + Exp.DEVCTL, 0, Exp.DEVCTL_FLR);
    else if (method === "af_flr") {
      yield* this.writeConfig(fn.capability(CapId.AF) + Af.CONTROL, 1, Af.CONTROL_FLR);
      yield* fn.reset();
    } else if (method === "pm") {
      yield* this.setPowerState(Pm.D3HOT);
      yield* this.setPowerState(0);
    } else yield* fn.reset();
  }

  /** A reset of the whole bus by its bridge; the caller has saved the states. */
  *resetBus(): Step<void> {
    const { devices } = this.bus;
    for (let i = 0; i < devices.length; i++) {
      this.root.host.sim.emit(Ev.pci_reset, devices[i].name, "bus");
      yield* devices[i].fn.reset();
    }
  }

  /** Can the functions of its bus be reset together? */
  get canResetBus(): boolean {
    return this.bus.hasBridge && this.works("bus");
  }

  /** Configuration cycles by the host, for tests and reports. */
  *configCycles(): Step<number> {
    const { lock } = this.root;
    yield* lock.lock();
    const { cycles } = this;
    yield* lock.unlock();
    return cycles;
  }
}
guarded(PciDevice, (device) => device.root.lock, "cycles");
