import { CapId, Command, Pci, Pm } from "../../../arch/pci/config-registers.js";
import type { KernelModule } from "../../../host/module.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import { SavedState } from "../../../host/pci/saved-state.js";
import type { Process } from "../../../host/process.js";
import { guarded, reads, shared, writes } from "../../../sim/access.js";
import { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EAGAIN, EBUSY, EINVAL, ENOTTY } from "../../../uapi/errno.js";
import {
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
} from "../../../uapi/vfio.js";
import type { ForwardableIrq } from "../../contract.js";
import { VfioDevice } from "../../device.js";
import type { FeatureCall } from "../../feature-call.js";
import type { VfioGroup } from "../../group.js";
import type { DmaLog } from "../../migration/dma-log.js";
import { Migration } from "../../migration/migration.js";
import type { Vfio } from "../../vfio.js";
import { BarRegion, type MemoryGate } from "./bar-region.js";
import { type ConfigEffects, VirtualConfig } from "./config.js";
import type { PciDeviceSet } from "./device-set.js";
import { getHotResetInfo, hotReset, resetBus } from "./hot-reset.js";
import { IdlePower } from "./idle-power.js";
import { getInfo, getIrqInfo, getRegionInfo, REGION_SHIFT } from "./info.js";
import { Ioeventfds } from "./ioeventfd.js";
import { PciIrqs } from "./irqs.js";
import type { TableAccess } from "./msi.js";
import { pciFeature } from "./feature.js";
import { LowPower } from "./low-power.js";
import { parsePciName } from "./name.js";
import type { VfioPciOptions } from "./options.js";
import type { PciRegion } from "./region.js";
import { regionsOf } from "./regions.js";
import { readRom } from "./rom.js";
import { VfToken } from "./vf-token.js";

/** What a driver's probe brings together for one function. */
export interface PciDeviceParts {
  readonly vfio: Vfio;
  readonly pci: PciDevice;
  readonly group: VfioGroup;
  readonly set: PciDeviceSet;
  readonly isNointx: boolean;
  /** The physical function of a virtual one, if VFIO has it. */
  readonly physical: VfioPciDevice | null;
  /** Of the driver. */
  readonly module: KernelModule;
}

/** A function that vfio-pci holds (vfio.md 7 to 14). */
export class VfioPciDevice extends VfioDevice implements ConfigEffects, MemoryGate, TableAccess {
  readonly isPlatform = false;
  override readonly canAsk = true;
  readonly irqs: PciIrqs;
  readonly ioeventfds: Ioeventfds;
  /** Held while memory decode changes, and by whoever relies on it. */
  readonly memoryLock: Mutex;
  /** A reset is owed to the set, which its own functions' could not do. */
  needsReset = false;
  override readonly migration: Migration | null;
  override readonly dmaLog: DmaLog | null;
  /** Of a function that can have virtual ones. */
  readonly vfToken: VfToken | null;
  readonly idle: IdlePower;
  readonly power: LowPower;
  private readonly regions: readonly (PciRegion | null)[];
  private config: VirtualConfig | null = null;
  private resetWorks = false;
  private powerState = 0;
  private saved: SavedState | null = null;
  /** What the function's registers were when it entered D3hot. */
  private beforeD3: SavedState | null = null;

  readonly pci: PciDevice;
  readonly set: PciDeviceSet;
  readonly isNointx: boolean;
  private readonly physical: VfioPciDevice | null;

  constructor(
    { vfio, pci, group, set, isNointx, physical, module }: PciDeviceParts,
    private readonly options: VfioPciOptions,
  ) {
    super(vfio, pci.name, group, set.lock, module);
    this.pci = pci;
    this.set = set;
    this.isNointx = isNointx;
    this.physical = physical;
    this.memoryLock = new Mutex(vfio.sim, "vfio_pci.memory_lock");
    this.irqs = new PciIrqs(vfio, this, { isUnlazy: options.unlazyIntx ?? true, releasesLine: options.releasesIntxLine ?? false });
    this.ioeventfds = new Ioeventfds(vfio, this);
    this.idle = new IdlePower(pci, options.disableIdleD3 ?? false);
    this.power = new LowPower(vfio.sim, this, this.memoryLock);
    this.vfToken = pci.virtualFunctions.length > 0 ? new VfToken(vfio.sim) : null;
    const driver = options.migration?.(pci) ?? null;
    this.migration = driver === null ? null : new Migration(vfio.sim, driver);
    this.dmaLog = options.dmaLog?.(pci) ?? null;
    this.regions = regionsOf(pci, this, options);
  }

  get canReset(): boolean {
    return this.resetWorks;
  }

  get growsMsix(): boolean {
    return !(this.options.msixAtOnce ?? false) && this.pci.vectors.canAllocateDynamically;
  }

  get isExpress(): boolean {
    return this.pci.fn.capability(CapId.EXPRESS) !== 0;
  }

  override *matches(name: string): Step<number> {
    const parsed = parsePciName(this.name, name);
    if (typeof parsed === "number") return parsed;
    const result = yield* this.checkToken(parsed.token);
    return result === 0 ? 1 : result;
  }

  /** The table of vfio.md 4.6. */
  override *checkToken(token: string | null): Step<number> {
    if (this.physical?.vfToken) return yield* this.physical.vfToken.checkVirtual(token);
    if (this.vfToken !== null) return yield* this.vfToken.checkPhysical(token);
    return token === null ? 0 : -EINVAL;
  }

  override *feature(call: FeatureCall): Step<number> {
    return yield* pciFeature(call, this.power, this.vfToken);
  }

  /** Nothing of a function is forwarded (kvm-irq-core.md 8.3). */
  override forwardable(): ForwardableIrq | null {
    return null;
  }

  /** Interrupts of an index (7.4); the functions of ERR are those of PCI Express. */
  *irqCount(index: number): Step<number> {
    yield reads(this, "config");
    const { config } = this;
    return yield* this.irqs.count(index, config === null ? 0 : yield* config.interruptPin());
  }

  // --- open and close (12.1, 12.2) ---

  protected override *openDevice(): Step<number> {
    const { pci } = this;
    yield* this.idle.wake();
    yield* pci.setMaster(false);
    yield* pci.enable();
    const reset = yield* pci.tryResetFunction();
    if (reset === -EAGAIN) {
      yield* pci.disable();
      yield* this.idle.sleep();
      return reset;
    }
    this.resetWorks = reset === 0;
    this.saved = yield* SavedState.of(pci);
    yield* this.memoryLock.lock();
    this.powerState = 0;
    yield* this.memoryLock.unlock();
    const hasPci23 = !this.isNointx && !this.options.nointxmask && !pci.hasBrokenIntxMasking;
    if (hasPci23) yield* pci.setIntx(true);
    if (this.isNointx) yield* pci.setIntx(false);
    yield* this.irqs.open(hasPci23);
    const config = new VirtualConfig(pci, this);
    yield* config.build(this.isNointx);
    yield writes(this, "config");
    this.config = config;
    if (this.physical?.vfToken) yield* this.physical.vfToken.use(1);
    return 0;
  }

  protected override *closeDevice(): Step<void> {
    const { pci } = this;
    if (this.physical?.vfToken) yield* this.physical.vfToken.use(-1);
    yield* this.power.close();
    yield* this.setPowerState(0);
    yield* pci.setMaster(false);
    yield* this.irqs.disable();
    yield* this.ioeventfds.clear();
    yield* this.irqs.mode.setVirqDisabled(false);
    yield writes(this, "config");
    this.config = null;
    for (let i = 0; i < this.regions.length; i++) yield* this.revoke(i);
    this.needsReset = true;
    if (this.saved !== null) yield* this.saved.restore(pci);
    yield* pci.writeConfig(Pci.COMMAND, 2, Command.INTX_DISABLE);
    if (this.resetWorks && (yield* pci.tryResetFunction()) === 0) this.needsReset = false;
    if (this.saved !== null) yield* this.saved.restore(pci);
    this.saved = null;
    yield* pci.disable();
    yield* this.wasReset();
    if (this.dmaLog !== null) yield* this.dmaLog.stop();
    yield* this.resetSetWhenIdle();
    yield* this.irqs.releaseNotifiers();
    yield* this.idle.sleep();
  }

  /** 12.2, 12: the last of the set to close pays the reset that any of them owes. This one still counts as open. */
  private *resetSetWhenIdle(): Step<void> {
    const { members, bus } = this.set;
    if (bus.devices.length !== members.length || !this.pci.canResetBus) return;
    if (!members.some((each) => each.needsReset) || members.some((each) => each !== this && each.isOpen)) return;
    yield* resetBus(this);
  }

  private *zap(index: number): Step<void> {
    const region = this.regions[index];
    if (region !== null) yield* region.zap();
  }

  private *revoke(index: number): Step<void> {
    const region = this.regions[index];
    if (region !== null) yield* region.revoke();
  }

  override *askForRelease(count: number): Step<void> {
    yield* this.irqs.requestDevice(count);
  }

  // --- requests ---

  override *handle(process: Process, request: number, address: number): Step<number> {
    yield* this.power.begin();
    const result = yield* super.handle(process, request, address);
    yield* this.power.end();
    return result;
  }

  protected override *ioctl(process: Process, request: number, address: number): Step<number> {
    switch (request) {
      case VFIO_DEVICE_GET_INFO:
        return yield* getInfo(this, process, address);
      case VFIO_DEVICE_GET_REGION_INFO:
        return yield* getRegionInfo(this, process, address);
      case VFIO_DEVICE_GET_IRQ_INFO:
        return yield* getIrqInfo(this, process, address);
      case VFIO_DEVICE_SET_IRQS:
        return yield* this.irqs.setIrqs(process, address);
      case VFIO_DEVICE_RESET:
        return yield* this.reset();
      case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
        return yield* getHotResetInfo(this, process, address);
      case VFIO_DEVICE_PCI_HOT_RESET:
        return yield* hotReset(this, process, address);
      case VFIO_DEVICE_IOEVENTFD:
        return yield* this.ioeventfds.ioctl(process, address);
      default:
        return -ENOTTY;
    }
  }

  /** 12.3. Interrupts stay configured. */
  private *reset(): Step<number> {
    if (!this.resetWorks) return -EINVAL;
    yield* this.lockMemory(true);
    yield* this.changePowerState(0);
    const result = yield* this.pci.tryResetFunction(yield* this.irqs.holdsIntx());
    yield* this.unlockMemory();
    if (result === 0) yield* this.wasReset();
    yield* this.irqs.settleIntx();
    return result;
  }

  /** The function was reset, memory locks given back: it runs, whatever it was in. */
  *wasReset(): Step<void> {
    if (this.migration !== null) yield* this.migration.reset();
  }

  get regionCount(): number {
    return this.regions.length;
  }

  /** Null for configuration space and the ROM too, which are no registers. */
  regionAt(index: number): PciRegion | null {
    return this.regions[index] ?? null;
  }

  barAt(index: number): BarRegion | null {
    const region = this.regionAt(index);
    return region instanceof BarRegion ? region : null;
  }

  override *read(process: Process, address: number, length: number, offset: number): Step<number> {
    return length === 0 ? 0 : yield* this.access(process, address, length, offset, false);
  }

  override *write(process: Process, address: number, length: number, offset: number): Step<number> {
    return length === 0 ? 0 : yield* this.access(process, address, length, offset, true);
  }

  private *access(process: Process, address: number, length: number, offset: number, isWrite: boolean): Step<number> {
    const index = Math.floor(offset / REGION_SHIFT);
    const position = offset % REGION_SHIFT;
    yield* this.power.begin();
    yield reads(this, "config");
    const space = index === VFIO_PCI_CONFIG_REGION_INDEX ? this.config : this.regionAt(index);
    let result = -EINVAL;
    if (index === VFIO_PCI_ROM_REGION_INDEX && !isWrite) result = readRom(this.pci.fn, process, address, length, position);
    else if (space !== null) result = isWrite ? yield* space.write(process, address, length, position) : yield* space.read(process, address, length, position);
    yield* this.power.end();
    return result;
  }

  override *mmap(process: Process, length: number, offset: number, isShared: boolean): Step<number> {
    const region = isShared ? this.regionAt(Math.floor(offset / REGION_SHIFT)) : null;
    return region === null ? -EINVAL : region.mmap(process, length, offset % REGION_SHIFT);
  }

  // --- memory decode: MemoryGate, TableAccess, ConfigEffects ---

  *isMemoryEnabled(): Step<boolean> {
    yield reads(this, "config");
    const { config } = this;
    if (config === null || !(yield* config.isMemoryEnabled())) return false;
    return this.powerState < Pm.D3HOT;
  }

  *isMappable(): Step<boolean> {
    return !(yield* this.power.engaged()) && (yield* this.isMemoryEnabled());
  }

  *lockMemory(zaps = false): Step<void> {
    yield* this.memoryLock.lock();
    if (zaps) for (let i = 0; i < this.regions.length; i++) yield* this.zap(i);
  }

  /** As {@link lockMemory} with a zap, unless somebody holds the lock: -EBUSY. */
  *tryLockMemory(): Step<number> {
    if (!(yield* this.memoryLock.tryLock())) return -EBUSY;
    for (let i = 0; i < this.regions.length; i++) yield* this.zap(i);
    return 0;
  }

  *unlockMemory(): Step<void> {
    yield* this.memoryLock.unlock();
  }

  *lockAndEnable(): Step<number> {
    yield* this.memoryLock.lock();
    return yield* this.pci.updateConfig(Pci.COMMAND, 0, Command.MEMORY);
  }

  *unlockAndRestore(command: number): Step<void> {
    if (!(command & Command.MEMORY)) yield* this.pci.updateConfig(Pci.COMMAND, Command.MEMORY, 0);
    yield* this.memoryLock.unlock();
  }

  *setIntxDisabled(isDisabled: boolean): Step<void> {
    yield* this.irqs.setIntxDisabled(isDisabled);
  }

  *setPowerState(state: number): Step<void> {
    yield* this.lockMemory(state === Pm.D3HOT);
    const isRestored = yield* this.changePowerState(state);
    yield* this.unlockMemory();
    if (isRestored) yield* this.irqs.settleIntx();
  }

  /** Memory lock held. A function that loses its registers in D3hot gets them back: true, and INTx is to be settled. */
  private *changePowerState(state: number): Step<boolean> {
    if (state === this.powerState || !this.pci.hasPowerState(state)) return false;
    if (state === Pm.D3HOT) this.beforeD3 = yield* SavedState.of(this.pci);
    const wasReset = yield* this.pci.setPowerState(state);
    this.powerState = state;
    if (!wasReset || this.beforeD3 === null) return false;
    yield* this.beforeD3.restore(this.pci, yield* this.irqs.holdsIntx());
    return true;
  }

  *resetFunction(): Step<void> {
    yield* this.lockMemory(true);
    yield* this.pci.tryResetFunction(yield* this.irqs.holdsIntx());
    yield* this.unlockMemory();
    yield* this.irqs.settleIntx();
    if (this.migration !== null) yield* this.migration.resetInWrite();
  }

  get writesInTwo(): boolean {
    return this.vfio.sim.hazards.commandInTwo;
  }

  *msiQmax(): Step<number> {
    return (yield* this.irqs.mode.get()) === VFIO_PCI_MSI_IRQ_INDEX ? this.irqs.msi.qmax : -1;
  }
}
shared(VfioPciDevice, "config");
guarded(VfioPciDevice, (device) => device.memoryLock, "powerState", "beforeD3");
