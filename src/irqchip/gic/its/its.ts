import {
  BASER_INDIRECT_HIGH,
  BASER_TYPE_COLLECTION,
  BASER_TYPE_DEVICE,
  BASER_VALID_HIGH,
  GITS_SIZE,
} from "../../../arch/gic/gits.js";
import { ITS_COMMAND_WORDS } from "../../../arch/gic/its-command.js";
import type { Process } from "../../../host/process.js";
import { block, guarded, writes } from "../../../sim/access.js";
import { Lifetime } from "../../../sim/lifetime.js";
import { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import type { IrqchipVcpu, ArmIrqchipVm, KvmDeviceOps, MmioDevice } from "../../contract.js";
import { getItsAttribute, hasItsAttribute, setItsAttribute } from "./attr.js";
import { TranslationCache, type Translations } from "./cache.js";
import { ItsCollections, ItsDevice } from "./devices.js";
import { freeAll } from "./mappings.js";
import { readGits, writeGits } from "./registers.js";
import { BASER_RESET } from "./lpi-tables.js";
import { initV4 } from "../v4/init.js";
import { VGIC_ADDR_UNDEF } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";

/** Inner shareable, 64 KiB pages. */
export const BASER_LOW_RESET = 0x600;
/** Inner cacheability: read and write allocate. */
const BASER_HIGH_RESET = 0x18000000;
const ENTRY_SIZE_8 = 7 << 16;

/** GITS_BASER<n>: where a table is (gic-its.md B2.2). */
export class ItsTable {
  low = BASER_LOW_RESET;
  high: number;
  /** Type and EntrySize, which nobody changes. */
  readonly fixedHigh: number;

  constructor(type: typeof BASER_TYPE_DEVICE | typeof BASER_TYPE_COLLECTION) {
    this.fixedHigh = (type << 24) | ENTRY_SIZE_8;
    this.high = BASER_HIGH_RESET | this.fixedHigh;
  }

  get isValid(): boolean {
    return (this.high & BASER_VALID_HIGH) !== 0;
  }

  get isIndirect(): boolean {
    return (this.high & BASER_INDIRECT_HIGH) !== 0;
  }
}

/**
 * One virtual ITS (gic-its.md B): turns a device's event into an LPI. cmd_lock serialises registers and the command queue,
 * its_lock covers what maps events; cmd_lock comes first.
 */
export class Its implements KvmDeviceOps, MmioDevice {
  readonly name = "kvm-arm-vgic-its";
  private readonly lifetime = new Lifetime("ITS");
  readonly cmdLock: Mutex;
  readonly itsLock: Mutex;
  /** Guest physical address of its frames; VGIC_ADDR_UNDEF before it is set. */
  base = VGIC_ADDR_UNDEF;
  /** The frames are on the bus, from `base` in halves: where messages find it. */
  private isOnBus = false;
  private baseHi = 0;
  private baseLo = 0;
  /** GITS_CTLR.Enabled. */
  enabled = false;
  cbaserLow = 0;
  cbaserHigh = 0;
  cwriter = 0;
  creadr = 0;
  readonly deviceTable = new ItsTable(BASER_TYPE_DEVICE);
  readonly collectionTable = new ItsTable(BASER_TYPE_COLLECTION);
  devices = new Map<number, ItsDevice>();
  collections = new ItsCollections();
  readonly cache: Translations;
  /** The command under work; cmd_lock. */
  readonly command = new Int32Array(ITS_COMMAND_WORDS);
  /** An entry on its way to or from guest memory; its_lock. */
  readonly entry = new Int32Array(2);
  /** Events that the restore that is under way has mapped. */
  restored = 0;
  high = 0;
  /** What a register read from user space returned; config_lock. */
  userLow = 0;
  userHigh = 0;

  constructor(
    readonly vm: ArmIrqchipVm,
    readonly dist: VgicDist,
  ) {
    this.cmdLock = new Mutex(vm.sim, "its->cmd_lock");
    this.itsLock = new Mutex(vm.sim, "its->its_lock");
    this.lifetime.spans(this, this.cmdLock, this.itsLock);
    this.cache = dist.lruTranslations ?? new TranslationCache(dist.lpis);
  }

  /** its_lock is held, and no device has the id. */
  addDevice(id: number, eventBits: number, itt: number): ItsDevice {
    const device = new ItsDevice(id, eventBits, itt);
    this.devices.set(id, device);
    return device;
  }

  /** Its frames are on the bus at {@link base}. */
  appear(): void {
    this.isOnBus = true;
    this.baseHi = Math.floor(this.base / 2 ** 32) | 0;
    this.baseLo = this.base | 0;
  }

  /** Is this guest physical address, in halves, in one of its frames? That is all that an MSI is matched by (B2.4). */
  covers(addressHi: number, addressLo: number): boolean {
    const borrow = addressLo >>> 0 < this.baseLo >>> 0 ? 1 : 0;
    return this.isOnBus && (addressLo - this.baseLo) >>> 0 < GITS_SIZE && ((addressHi - this.baseHi - borrow) | 0) === 0;
  }

  *mmioRead(_vcpu: IrqchipVcpu, offset: number, size: number): Step<number> {
    return yield* readGits(this, offset, size);
  }

  *mmioWrite(_vcpu: IrqchipVcpu, offset: number, size: number, low: number, high: number): Step<void> {
    yield* writeGits(this, offset, size, low, high, false);
  }

  *setAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    return yield* setItsAttribute(this, process, group, attrLo, attrHi, address);
  }

  *getAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    return yield* getItsAttribute(this, process, group, attrLo, attrHi, address);
  }

  *hasAttr(_process: Process, group: number, attrLo: number, attrHi: number): Step<number> {
    return hasItsAttribute(group, attrLo, attrHi);
  }

  *destroy(): Step<void> {
    yield* this.itsLock.lock();
    yield* freeAll(this);
    yield* this.itsLock.unlock();
    this.dist.itses.splice(this.dist.itses.indexOf(this), 1);
    this.lifetime.free();
  }
}
guarded(Its, (its) => its.itsLock, "devices", "collections");
block(Its, "enabled");

/**
 * KVM_CREATE_DEVICE of an ITS (gic-its.md B1), kvm.lock held. From now on the VM has LPIs, and their table is to be
 * named anew. After INIT it brings the vPEs of GICv4: what they cannot have is the errno (gic-v4.md C2.2).
 */
export function* createIts(dist: VgicDist): Step<Its | number> {
  yield* dist.configLock.lock();
  const error = dist.initialized && !dist.hazards.forgetLateIts ? yield* initV4(dist) : 0;
  if (error < 0) {
    yield* dist.configLock.unlock();
    return error;
  }
  const its = new Its(dist.vm, dist);
  dist.itses.push(its);
  dist.hasIts = true;
  yield writes(dist, "propbaserLow");
  dist.propbaserLow = BASER_RESET;
  dist.propbaserHigh = 0;
  if (dist.initialized && dist.lruTranslations !== null) yield* dist.lruTranslations.allocate(dist.cpus.length);
  yield* dist.configLock.unlock();
  return its;
}
