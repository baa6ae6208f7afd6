import type { BarRegisters } from "../../../device/pci/bar.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Process } from "../../../host/process.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE } from "../../../uapi/vfio.js";
import { RegisterMapping } from "../register-mapping.js";
import { type PciRegion, type RegisterPort, transfer } from "./region.js";

const PAGE = 4096;

/** A region that a driver adds to those that every function has (vfio.md 7.3): a graphics device's operation region, say. */
export interface SpecificRegionOptions {
  /** What GET_REGION_INFO's type capability says: VFIO_REGION_TYPE_PCI_VENDOR_TYPE and a vendor, or a type of the uAPI's. */
  readonly type: number;
  readonly subtype: number;
  /** Bytes. */
  readonly size: number;
  readonly isReadOnly?: boolean;
  /** Default false. */
  readonly isMappable?: boolean;
  readonly registers: BarRegisters;
}

/** One of them, from index 9 on. Memory decode does not guard it. */
export class SpecificRegion implements PciRegion, RegisterPort {
  readonly size: number;
  readonly flags: number;
  private readonly mapping: RegisterMapping;

  constructor(
    pci: PciDevice,
    readonly options: SpecificRegionOptions,
  ) {
    const { size, isReadOnly, isMappable } = options;
    this.size = size;
    this.flags = VFIO_REGION_INFO_FLAG_READ | (isReadOnly ? 0 : VFIO_REGION_INFO_FLAG_WRITE) | (isMappable ? VFIO_REGION_INFO_FLAG_MMAP : 0);
    this.mapping = new RegisterMapping(pci.root.host.sim, options.registers, `${pci.name}: a region of its own`, null);
  }

  *read(process: Process, address: number, length: number, position: number): Step<number> {
    if (position >= this.size) return -EINVAL;
    return yield* transfer(this, { process, address, position, count: Math.min(length, this.size - position), isWrite: false });
  }

  *write(process: Process, address: number, length: number, position: number): Step<number> {
    if (this.options.isReadOnly || position >= this.size) return -EINVAL;
    return yield* transfer(this, { process, address, position, count: Math.min(length, this.size - position), isWrite: true });
  }

  *load(at: number, size: number): Step<number> {
    return yield* this.options.registers.read(at, size);
  }

  *store(at: number, size: number, value: number): Step<void> {
    yield* this.options.registers.write(at, size, value);
  }

  mmap(process: Process, length: number, position: number): number {
    const { isMappable, isReadOnly } = this.options;
    const rounded = Math.ceil(length / PAGE) * PAGE;
    if (!isMappable || length <= 0 || position % PAGE !== 0 || position + rounded > Math.ceil(this.size / PAGE) * PAGE) return -EINVAL;
    const address = process.memory.findFree(rounded);
    process.memory.map(address, rounded, { writable: !isReadOnly, region: this.mapping.window(), regionOffset: position });
    return address;
  }

  *zap(): Step<void> {}

  *revoke(): Step<void> {
    yield* this.mapping.revoke();
  }
}
