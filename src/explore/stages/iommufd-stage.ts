import { IommuDma } from "../../host/iommu/dma.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { Thread } from "./threads.js";
import { PciStage, type PciStageOptions } from "./pci-stage.js";
import { MEMORY } from "./vfio-stage.js";

/** Where calls that are prepared have their arguments, and the bitmap of dirty pages. */
const PREPARED = 0x2000;
const BITMAP = 0x2e00;
const BYTES = 0x100;
const READ_WRITE = iommufd.IOMMU_IOAS_MAP_FIXED_IOVA | iommufd.IOMMU_IOAS_MAP_READABLE | iommufd.IOMMU_IOAS_MAP_WRITEABLE;

/** The page of the device's that programs map, and its size. */
export const IOVA = 0x4000;
export const PAGE = 0x1000;

/** vfio.md 24's fixture F with an iommufd: A bound to it by its own file, and what its user asks of both (vfio.md 6, 19). */
export class IommufdStage extends PciStage {
  readonly iommu: number;
  readonly d: number;
  readonly device: number;
  /** What A reads and writes by itself. */
  readonly port: IommuDma;
  private next = PREPARED;

  constructor(options: PciStageOptions = {}) {
    super(options);
    this.iommu = this.open("/dev/iommu");
    this.d = this.openOwn("A");
    this.must(this.call(this.d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, this.iommu, 0));
    this.device = this.answer(12);
    this.port = new IommuDma(this.smmu, this.pciGroup, 0x600);
  }

  private must(result: number): void {
    if (result !== 0) throw new Error(`a call of the set-up answers ${result}`);
  }

  /** A function's own node. */
  openOwn(of: "A" | "B"): number {
    const device = this.pciDriver.deviceOf(this[of].name);
    return device === null ? -1 : this.open(`/dev/vfio/devices/vfio${this.vfio.cdevOf(device)}`);
  }

  /** An address space with a page of the process's at {@link IOVA}. */
  ioas(vaddr = MEMORY): number {
    this.must(this.call(this.iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0));
    const ioas = this.answer(8);
    this.must(this.call(this.iommu, iommufd.IOMMU_IOAS_MAP, 40, READ_WRITE, ioas, 0, vaddr, 0, PAGE, 0, IOVA, 0));
    return ioas;
  }

  /** A page table of its own for A. */
  hwpt(ioas: number, flags = 0): number {
    this.must(this.call(this.iommu, iommufd.IOMMU_HWPT_ALLOC, 48, flags, this.device, ioas, 0, 0, 0, 0, 0, 0, 0, 0));
    return this.answer(16);
  }

  /** A page table that tells which pages were written, attached. */
  tracked(ioas: number): number {
    const hwpt = this.hwpt(ioas, iommufd.IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    this.attach(hwpt);
    this.must(this.call(this.iommu, iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING, 16, iommufd.IOMMU_HWPT_DIRTY_TRACKING_ENABLE, hwpt, 0));
    return hwpt;
  }

  attach(id: number): void {
    this.must(this.call(this.d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, id));
  }

  /** A thread in one ioctl, its argument in a place of its own. */
  calling(name: string, fd: number, request: number, ...words: readonly number[]): Thread {
    const at = this.next;
    this.next += BYTES;
    words.forEach((word, i) => this.process.memory.setU32(at + 4 * i, word >>> 0));
    return new Thread(name, "user", () => this.process.ioctl(fd, request, at));
  }

  /** A thread that asks which pages were written; {@link isDirty} says what came of it. */
  askingDirty(hwpt: number, flags = 0): Thread {
    return this.calling("DIRTY", this.iommu, iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP, 48, hwpt, flags, 0, IOVA, 0, PAGE, 0, PAGE, 0, BITMAP, 0);
  }

  /** Was the page at {@link IOVA} in the bitmap? Nothing is, from then on. */
  isDirty(): boolean {
    const wasDirty = this.process.memory.getU32(BITMAP) === 1;
    this.process.memory.setU64(BITMAP, 0);
    return wasDirty;
  }
}
