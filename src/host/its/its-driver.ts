import { Gicr, GICR_V3 } from "../../arch/gic/gicr.js";
import { GICR_VLPI, GicrTyper, GicrVlpi, VLPI_BASE } from "../../arch/gic/gicr-vlpi.js";
import { encodeEvent, encodeMapd } from "../../arch/gic/its-encode.js";
import { ItsOp } from "../../arch/gic/its-command.js";
import { writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import type { GicV3 } from "../gic/gicv3.js";
import type { GicHost } from "../gic/gic-host.js";
import { ITT_ENTRY } from "../gic/its/entries.js";
import type { PhysicalIts } from "../gic/its/physical-its.js";
import { ItsDevice } from "./its-device.js";
import { ItsNode } from "./its-node.js";
import { traceCommands } from "./its-trace.js";
import { IdSpace, LpiSpace, powerOfTwo } from "./lpi-space.js";
import { VpeProxy } from "./vpe-proxy.js";

const FIRST_LPI = 8192;
const PROPBASER = GICR_V3.table[Gicr.PROPBASER].offset;
const PENDBASER = GICR_V3.table[Gicr.PENDBASER].offset;
const INVLPIR: RedistRegister = { name: "INVLPIR", offset: GICR_V3.table[Gicr.INVLPIR].offset };
const SYNCR = GICR_V3.table[Gicr.SYNCR].offset;
const VPROPBASER = VLPI_BASE + GICR_VLPI.table[GicrVlpi.VPROPBASER].offset;
const VALID = 0x80000000 | 0;
const PAGE_SIZE_64K = 2 << 21;
const BLOCK = 0x10000;
const ID_BITS = 16;
/** Least number of events of a device. */
const MIN_EVENTS = 32;
const VPE_IDS = 0x10000;
const ITT_ALIGN = 256;

/** A host's LPIs are configured like this at first: priority 0xa0, group 1, disabled. */
export const DEFAULT_PROPERTIES = 0xa2;
const ENABLED = 1;

/** Where an ITS stands on the machine. */
export interface ItsPlace {
  readonly its: PhysicalIts;
  /** Physical address of its frames. */
  readonly base: number;
}

/** A register of a redistributor that the driver writes while the machine runs. */
export interface RedistRegister {
  readonly name: string;
  readonly offset: number;
}

/**
 * The host's driver of its ITSs (gic-v4.md C1.5): tables in memory, LPIs, devices. What concerns vLPIs is in vlpis.ts,
 * vPEs in vpes.ts.
 */
export class ItsDriver {
  readonly sim: Sim;
  readonly gic: GicV3;
  readonly nodes: ItsNode[] = [];
  readonly vpeIds = new IdSpace(VPE_IDS);
  /** Orders VMOVPs over all ITSs (hazard R17). */
  readonly vmovpLock: Spinlock;
  vmovpSequence = 0;
  /** GICv4.0 without direct LPIs: what reaches doorbells. */
  proxy: VpeProxy | null = null;
  /** The redistributors' virtual LPIs are of use. */
  private hasVlpis = true;
  /** GICR_SETLPIR, CLRLPIR and INVLPIR exist. */
  readonly isDirect: boolean;
  readonly is41: boolean;
  private readonly lpis = new LpiSpace();
  private readonly byLpi: (ItsDevice | null)[] = [];
  private readonly blocks: number[] = [];
  private readonly propertyTable: number;

  private constructor(readonly host: GicHost, gic: GicV3, propertyTable: number) {
    this.sim = host.sim;
    this.gic = gic;
    this.propertyTable = propertyTable;
    this.vmovpLock = new Spinlock(this.sim, "vmovp_lock");
    const { gicrTyper } = gic.implementation;
    this.isDirect = (gicrTyper & GicrTyper.DIRECT_LPI) !== 0;
    this.is41 = gic.is41;
  }

  /** Programs redistributors and ITSs as Linux does at boot. -ENOMEM where the GIC's memory is too small. */
  static *create(host: GicHost, gic: GicV3, places: readonly ItsPlace[]): Step<ItsDriver | number> {
    const { ram } = gic;
    const table = ram.take(BLOCK, BLOCK);
    if (table < 0) return -ENOMEM;
    ram.fill(table, BLOCK, DEFAULT_PROPERTIES);
    const driver = new ItsDriver(host, gic, table);
    for (let cpu = 0; cpu < gic.cpus; cpu++) {
      const pending = ram.take(BLOCK, BLOCK);
      if (pending < 0) return -ENOMEM;
      yield* gic.writeGicr(cpu, PROPBASER, 8, table | (ID_BITS - 1), 0);
      yield* gic.writeGicr(cpu, PENDBASER, 8, pending, 1 << 30);
      yield* gic.writeGicr(cpu, 0, 4, 1, 0);
    }
    for (let i = 0; i < places.length; i++) {
      const node = new ItsNode(host.sim, places[i].its, places[i].base);
      if (!(yield* node.boot(gic.cpus, driver.is41 && i > 0 ? driver.nodes[0].vpeTable : -1))) return -ENOMEM;
      traceCommands(driver.sim, node.its);
      driver.nodes.push(node);
    }
    if (driver.is41) yield* driver.shareVpeTable();
    else if (driver.hasV4 && !driver.isDirect) yield* driver.makeProxy();
    return driver;
  }

  /** Without one nobody could mask or ring a doorbell: such a host is a GICv3 to its hypervisor. */
  private *makeProxy(): Step<void> {
    const proxy = yield* VpeProxy.create(this);
    this.hasVlpis = proxy !== null;
    this.proxy = proxy;
    if (proxy === null) this.host.irqs.warn(0, "ITS: Can't allocate GICv4 proxy device, disabling GICv4 support");
  }

  /** 4.1: redistributors look vPEs up in the table of the ITSs. Tables of their own, which would have to be told apart, are not supported. */
  private *shareVpeTable(): Step<void> {
    if (this.nodes.some((each) => each.isV4 && !each.sharesVpes)) {
      this.hasVlpis = false;
      this.host.irqs.warn(0, "ITS: GITS_TYPER.SVPET is 0, and redistributors with vPE tables of their own are not supported, disabling GICv4 support");
      return;
    }
    const node = this.nodes.find((each) => each.vpeTable >= 0);
    if (node === undefined) return;
    for (let cpu = 0; cpu < this.gic.cpus; cpu++)
      yield* this.gic.writeGicr(cpu, VPROPBASER, 8, node.vpeTable | (node.vpeTablePages - 1), VALID | PAGE_SIZE_64K);
  }

  /** Without VMOVP on every v4 ITS, one command must go to each that holds events of the VM: the ITS list. */
  get usesList(): boolean {
    return !this.is41 && this.nodes.some((node) => node.isV4 && !node.hasVmovp);
  }

  /** Has any? Events behind another one stay the host's. */
  get hasV4(): boolean {
    return this.hasVlpis && this.nodes.some((node) => node.isV4);
  }

  // --- memory ---

  /** 64 KiB filled with a byte, -1 where none is left. */
  takeBlock(byte: number): number {
    const { ram } = this.gic;
    const block = this.blocks.pop() ?? ram.take(BLOCK, BLOCK);
    if (block >= 0) ram.fill(block, BLOCK, byte);
    return block;
  }

  freeBlock(block: number): void {
    this.blocks.push(block);
  }

  // --- LPIs ---

  allocateLpis(count: number): number {
    return this.lpis.allocate(count);
  }

  freeLpis(first: number, count: number): void {
    this.lpis.free(first, count);
  }

  /** Of the device behind an LPI; null: a doorbell's. */
  deviceOf(lpi: number): ItsDevice | null {
    return this.byLpi[lpi - FIRST_LPI] ?? null;
  }

  /** Configures a host LPI; what has to be invalidated is the caller's matter. */
  *setEnabled(lpi: number, isEnabled: boolean): Step<void> {
    yield writes(this.gic, "GIC");
    this.gic.ram.assign(this.propertyTable + lpi - FIRST_LPI, ENABLED, isEnabled);
  }

  *restoreProperties(lpi: number): Step<void> {
    yield writes(this.gic, "GIC");
    this.gic.ram.setU8(this.propertyTable + lpi - FIRST_LPI, DEFAULT_PROPERTIES | ENABLED);
  }

  /** GICR_INVLPIR on the redistributor of a CPU; with `vpe` 0 or more, of that vPE's vLPI. */
  *invalidateDirectly(cpu: number, lpi: number, vpe = -1): Step<void> {
    yield* this.store(cpu, INVLPIR, lpi, vpe < 0 ? 0 : (0x80000000 | 0) + vpe);
    // An invalidation here is over with its write: one look at SYNCR is all the waiting there is.
    yield* this.gic.readGicr(cpu, SYNCR, 4);
  }

  /** Writes a 64-bit register of a redistributor. What software must not do is an event, too. */
  *store(cpu: number, { name, offset }: RedistRegister, low: number, high: number): Step<void> {
    const { gic, sim } = this;
    this.traceWrite(cpu, name, low, high);
    const before = gic.misuses;
    yield* gic.writeGicr(cpu, offset, 8, low, high);
    if (gic.misuses !== before) sim.emit(Ev.hw_unpredictable, cpu, name);
  }

  traceWrite(cpu: number, name: string, low: number, high: number): void {
    if (this.sim.tracing) this.sim.emit(Ev.gic_hw_write, cpu, name, `0x${(high >>> 0).toString(16)}_${(low >>> 0).toString(16).padStart(8, "0")}`);
  }

  /** One of INT, CLEAR, INV, DISCARD for a device's event, and its SYNC. */
  *eventCommand(device: ItsDevice, opcode: ItsOp, event: number): Step<void> {
    const { node } = device;
    yield* node.lock.lock();
    encodeEvent(node.words, opcode, device.deviceId, event);
    yield* node.sendAndSync(device.cpus[event]);
    yield* node.lock.unlock();
  }

  // --- devices ---

  /** The device of an id behind an ITS, with room for `events` if it is new; -ENOMEM, -ENOSPC; -EINVAL: it is the doorbells'. */
  *deviceFor(node: ItsNode, deviceId: number, events: number): Step<ItsDevice | number> {
    const known = node.devices.get(deviceId);
    if (known !== undefined) return known;
    if (this.proxy !== null && this.proxy.isDevice(node, deviceId)) {
      this.host.irqs.warn(0, `DevId ${deviceId.toString(16)} clashes with GICv4 VPE proxy device`);
      return -EINVAL;
    }
    const count = Math.max(MIN_EVENTS, powerOfTwo(events));
    const lpiBase = this.lpis.allocate(count);
    if (lpiBase < 0) return lpiBase;
    const device = yield* this.makeDevice(node, deviceId, count, lpiBase);
    if (device === null) {
      this.lpis.free(lpiBase, count);
      return -ENOMEM;
    }
    node.devices.set(deviceId, device);
    for (let i = 0; i < count; i++) this.byLpi[lpiBase - FIRST_LPI + i] = device;
    return device;
  }

  /** A device with its ITT, mapped; null: no memory. `lpiBase` -1: its events are no LPIs of its own. */
  *makeDevice(node: ItsNode, deviceId: number, events: number, lpiBase: number): Step<ItsDevice | null> {
    const itt = this.gic.ram.take(events * ITT_ENTRY, ITT_ALIGN);
    if (itt < 0 || deviceId >= node.deviceIds) return null;
    yield* node.lock.lock();
    encodeMapd(node.words, deviceId, 31 - Math.clz32(events), itt, true);
    yield* node.send();
    yield* node.lock.unlock();
    return new ItsDevice(this.sim, node, deviceId, events, lpiBase, itt);
  }

  /** Its last event is free: MAPD V=0. Its memory is not used again. */
  *dropDevice(device: ItsDevice): Step<void> {
    const { node } = device;
    yield* node.lock.lock();
    encodeMapd(node.words, device.deviceId, 31 - Math.clz32(device.events), device.itt, false);
    yield* node.send();
    yield* node.lock.unlock();
    node.devices.delete(device.deviceId);
    this.byLpi.fill(null, device.lpiBase - FIRST_LPI, device.lpiBase - FIRST_LPI + device.events);
    this.lpis.free(device.lpiBase, device.events);
  }
}
