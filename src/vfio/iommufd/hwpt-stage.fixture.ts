import { expect } from "vitest";
import { IommuDma } from "../../host/iommu/dma.js";
import { run } from "../../sim/step.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS, MEMORY } from "../../explore/stages/vfio-stage.js";
import { PciStage, type PciStageOptions } from "../../explore/stages/pci-stage.js";
import { half } from "../iommu/iommu-stage.fixture.js";

export const TRACKED = iommufd.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
export const BITMAP = ARGUMENTS + 0x800;
/** Where memory in pages of 2 MiB is mapped. */
export const HUGE = 0x4000_0000;

/** Fixture F with A bound to an iommufd of its own user, and an address space there. */
export class HwptStage extends PciStage {
  readonly iommu = this.open("/dev/iommu");
  readonly port = new IommuDma(this.smmu, this.pciGroup, 0x600);
  readonly d = this.open(`/dev/vfio/devices/vfio${this.vfio.cdevOf(this.vfioA)}`);
  readonly device: number;
  readonly ioas: number;

  constructor(options: PciStageOptions = {}) {
    super({ lockedMemoryLimit: 2 ** 30, ...options });
    expect(this.call(this.d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, this.iommu, 0)).toBe(0);
    this.device = this.answer(12);
    expect(this.call(this.iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    this.ioas = this.answer(8);
  }

  /** The page table's number, or a negative errno. */
  alloc(flags: number, device = this.device, ioas = this.ioas, ...data: number[]): number {
    const result = this.call(this.iommu, iommufd.IOMMU_HWPT_ALLOC, 48, flags, device, ioas, 0, data[2] ?? 0, data[0] ?? 0, data[1] ?? 0, 0, 0, 0, 0);
    return result < 0 ? result : this.answer(16);
  }

  attach(id: number): number {
    return this.call(this.d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, id);
  }

  ioasMap(iova: number, length: number, vaddr = MEMORY): number {
    return this.call(this.iommu, iommufd.IOMMU_IOAS_MAP, 40, 7, this.ioas, 0, ...half(vaddr), ...half(length), ...half(iova));
  }

  track(hwpt: number, flags = 1): number {
    return this.call(this.iommu, iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING, 16, flags, hwpt, 0);
  }

  /** The low word of the bitmap, or a negative errno. */
  dirty(hwpt: number, { iova = 0, length = 0x8000, page = 0x1000, flags = 0, data = BITMAP } = {}): number {
    this.process.memory.setU64(BITMAP, 0);
    const result = this.call(this.iommu, iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP, 48, hwpt, flags, 0, ...half(iova), ...half(length), ...half(page), ...half(data));
    return result < 0 ? result : this.process.memory.getU32(BITMAP);
  }

  destroy(id: number): number {
    return this.call(this.iommu, iommufd.IOMMU_DESTROY, 8, id);
  }

  writes(iova: number): boolean {
    return run(this.port.write(iova, Uint8Array.of(1)));
  }

  /** The byte there; -1: it is not mapped. */
  reads(iova: number): number {
    const byte = new Uint8Array(1);
    return run(this.port.read(iova, byte)) ? byte[0] : -1;
  }

  /** A page table that tells what is written, attached, over eight pages. */
  tracked(): number {
    expect(this.ioasMap(0, 0x8000)).toBe(0);
    const hwpt = this.alloc(TRACKED);
    expect([this.attach(hwpt), this.answer(8), this.track(hwpt)]).toEqual([0, hwpt, 0]);
    return hwpt;
  }
}
