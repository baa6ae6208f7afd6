import { Pci } from "../../arch/pci/config-registers.js";
import type { LevelSink } from "../../arch/level.js";
import { addressMask, type Bar, typeBits } from "../../device/pci/bar.js";
import type { PciFunction } from "../../device/pci/function.js";
import type { MessagePort } from "../../device/pci/message-port.js";
import { Mutex, Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { IommuDma } from "../iommu/dma.js";
import type { IommuGroup } from "../iommu/group.js";
import type { DoorbellPort, IommuUnit } from "../iommu/unit.js";
import type { Host } from "../machine.js";
import type { PciDevice } from "./pci-device.js";

const FIRST_MEMORY = 0xe000_0000;
const FIRST_PORT = 0x1000;
const TWO32 = 0x1_0000_0000;

/** The functions of one bus; behind a bridge, its secondary reset reaches them all. */
export interface PciBus {
  readonly number: number;
  /** Behind a bridge: not a root bus. */
  readonly hasBridge: boolean;
  /** Sizes of atomic operations that its root port completes in memory: bits for 32, 64 and 128 bits. */
  readonly atomicCompletions: number;
  readonly devices: PciDevice[];
}

/**
 * The host's PCI: buses, the addresses that BARs got, and where messages go. `lock` is pci_lock: configuration cycles of
 * the host exclude each other.
 */
export class PciRoot implements MessagePort, DoorbellPort {
  readonly lock: Spinlock;
  /** Held by whoever uses the legacy ranges of VGA, which adapters share (the VGA arbiter). */
  readonly vgaLock: Mutex;
  readonly buses: PciBus[] = [];
  private nextHighMemory = 2 ** 40;
  private nextMemory = FIRST_MEMORY;
  private nextPort = FIRST_PORT;

  /**
   * @param iommu told of messages that it terminates; null where nothing translates
   * @param segment of its buses; the IOMMU knows it by its streams
   */
  constructor(
    readonly host: Host,
    private readonly iommu: IommuUnit | null = null,
    readonly segment = 0,
  ) {
    this.lock = new Spinlock(host.sim, "pci_lock");
    this.vgaLock = new Mutex(host.sim, "vga_lock");
    if (iommu !== null) iommu.doorbells = this;
  }

  /** A bus appears; functions on it are added as they are made. */
  addBus(number: number, hasBridge: boolean, atomicCompletions = 0): PciBus {
    const bus = { number, hasBridge, atomicCompletions, devices: [] };
    this.buses.push(bus);
    return bus;
  }

  /** What tells a requester from those of other segments: the message controller's word for it is firmware's. */
  sourceOf(requesterId: number): number {
    return (this.segment << 16) | requesterId;
  }

  deviceOf(requesterId: number): PciDevice | null {
    for (let i = 0; i < this.buses.length; i++) {
      const { devices } = this.buses[i];
      for (let j = 0; j < devices.length; j++) if (devices[j].fn.requesterId === requesterId) return devices[j];
    }
    return null;
  }

  /** Firmware's work: an address for each BAR, and the function's pin and messages connected. */
  *plug(fn: PciFunction, line: LevelSink | null): Step<void> {
    for (let i = 0; i < fn.bars.length; i++) yield* this.assign(fn, fn.bars[i]);
    if (fn.rom !== null) yield* fn.writeConfig(Pci.ROM, 4, this.takeMemory(fn.romSize) | 0);
    fn.connect(line, this);
  }

  private *assign(fn: PciFunction, bar: Bar): Step<void> {
    const register = Pci.BAR0 + 4 * bar.index;
    const address = bar.kind === "io" ? this.takePorts(bar.size) : bar.size < TWO32 ? this.takeMemory(bar.size) : this.takeHighMemory(bar.size);
    yield* fn.writeConfig(register, 4, (address & addressMask(bar)) | typeBits(bar));
    if (bar.kind === "mem64") yield* fn.writeConfig(register + 4, 4, Math.floor(address / TWO32) | 0);
  }

  private takeHighMemory(size: number): number {
    const address = Math.ceil(this.nextHighMemory / size) * size;
    this.nextHighMemory = address + size;
    return address;
  }

  private takeMemory(size: number): number {
    const address = Math.ceil(this.nextMemory / Math.max(size, 0x1000)) * Math.max(size, 0x1000);
    this.nextMemory = address + size;
    return address;
  }

  private takePorts(size: number): number {
    const port = Math.ceil(this.nextPort / size) * size;
    this.nextPort = port + size;
    return port;
  }

  /**
   * A function's message, on its way through the IOMMU (host-irq.md 5.4): under a host driver, or where the hardware
   * knows messages by their address, to the controller; behind an MSI cookie, to the doorbell that is mapped there.
   */
  *message(requesterId: number, addressHi: number, addressLo: number, data: number): Step<void> {
    const device = this.deviceOf(requesterId);
    const group = device === null ? null : device.group;
    const domain = group === null ? "default" : yield* group.current();
    if (group === null || domain === "default" || group.isHardwareMsi(addressHi, addressLo)) {
      yield* this.writeDoorbell(requesterId, addressHi, addressLo, data);
      return;
    }
    const address = (addressHi >>> 0) * TWO32 + (addressLo >>> 0);
    const doorbell = domain === "blocking" ? -1 : yield* domain.doorbellAt(address);
    if (doorbell < 0) yield* this.write(group, requesterId, address, data);
    else yield* this.writeDoorbell(requesterId, Math.floor(doorbell / TWO32) | 0, doorbell | 0, data);
  }

  *writeDoorbell(requesterId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    const { msi } = this.host;
    return msi !== null && (yield* msi.write(this.sourceOf(requesterId), addressHi, addressLo, data));
  }

  /** What looks like a message goes where no doorbell is: it is DMA, and ends as DMA does. */
  private *write(group: IommuGroup, requesterId: number, address: number, data: number): Step<void> {
    if (this.iommu === null) return;
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setInt32(0, data, true);
    yield* new IommuDma(this.iommu, group, requesterId).write(address, new Uint8Array(bytes.buffer));
  }
}
