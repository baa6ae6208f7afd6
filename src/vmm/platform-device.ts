import { PersonError } from "../sim/person-error.js";
import type { Step } from "../sim/step.js";
import { KVM_DEV_TYPE_VFIO, KVM_DEV_VFIO_DEVICE, KVM_DEV_VFIO_DEVICE_FORWARD_IRQ, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD } from "../uapi/kvm.js";
import { VFIO_REGION_INFO_FLAG_MMAP } from "../uapi/vfio.js";
import { KvmDevice } from "./kvm.js";
import { must } from "./must.js";
import { noVectors } from "./pci-device.js";
import { type OpenDevice, VfioContainerClient, VfioDeviceClient, VfioGroupClient } from "./vfio.js";
import type { MmioHandler, VmmCore } from "./vmm-core.js";

const PAGE = 4096;

/** Told after each access to the device that the VMM made on the guest's behalf. */
export interface AccessListener {
  accessed(): Step<void>;
}

export const openPlatform: OpenDevice = (process, fd, args) => new VfioDeviceClient(process, fd, args);

/**
 * A device assigned to the VMM's guest (vfio.md 22.2): container, group, DMA map, first register region. The guest reaches the registers directly while they are mapped, and through this VMM while not.
 */
export class AssignedDevice implements MmioHandler {
  readonly start: number;
  listener: AccessListener | null = null;
  private isMapped = false;
  /** The VM's KVM-VFIO device, which knows the group; null before it is needed. */
  private kvmVfio: KvmDevice | null = null;

  private constructor(
    private readonly vmm: VmmCore,
    readonly groupFd: number,
    readonly vfio: VfioDeviceClient,
    private readonly region: { readonly size: number; readonly fileOffset: number; readonly user: number; readonly slot: number },
  ) {
    this.start = vmm.guestMap.devices;
  }

  /**
   * Opens and maps the device `name` of IOMMU group `group`, and puts its registers where the guest looks for devices.
   * @param open what to call the device's descriptor by: a platform device, or a PCI function with its pins and vectors
   */
  static *assign(vmm: VmmCore, group: number, name: string, open: OpenDevice = openPlatform): Step<AssignedDevice> {
    const { process, nodes, args } = vmm;
    const containerFd = must(yield* nodes.open(process, "/dev/vfio/vfio"), "open /dev/vfio/vfio");
    const groupFd = must(yield* nodes.open(process, `/dev/vfio/${group}`), `open /dev/vfio/${group}`);
    const container = new VfioContainerClient(process, containerFd, args);
    const groupFile = new VfioGroupClient(process, groupFd, args);
    must(yield* groupFile.setContainer(containerFd), "VFIO_GROUP_SET_CONTAINER");
    yield* vmm.openIommu(container);
    const fd = must(yield* groupFile.deviceFd(name), "VFIO_GROUP_GET_DEVICE_FD");
    const vfio = open(process, fd, args);
    const info = yield* vfio.regionInfo(0);
    if (typeof info === "number") throw new Error(`VFIO_DEVICE_GET_REGION_INFO: ${info}`);
    // A memory slot has whole pages: less than that is trapped.
    const canMap = (info.flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0 && info.size % PAGE === 0;
    const user = canMap ? must(yield* process.mmap(fd, info.size, info.offset), "mmap of region 0") : -1;
    const device = new AssignedDevice(vmm, groupFd, vfio, { size: info.size, fileOffset: info.offset, user, slot: vmm.takeSlot() });
    vmm.mmio.push(device);
    yield* device.setMapped(true);
    return device;
  }

  get size(): number {
    return this.region.size;
  }

  /** Readies interrupts to be wired, all of them: what the host has none left for is the person's to know. @throws PersonError */
  *prepare(interrupts: readonly number[]): Step<void> {
    yield* this.vfio.prepare(interrupts);
    const lacking = this.vfio.lacks(interrupts);
    if (lacking > 0) throw new PersonError(noVectors(lacking));
  }

  /** Gives the guest direct access to the registers, or takes it away so that accesses trap. */
  *setMapped(isMapped: boolean): Step<void> {
    if (isMapped === this.isMapped || this.region.user < 0) return;
    this.isMapped = isMapped;
    const { slot, size, user } = this.region;
    must(yield* this.vmm.setMemory(slot, this.start, isMapped ? size : 0, user), "KVM_SET_USER_MEMORY_REGION of the device");
  }

  *access(offset: number, size: number, isWrite: boolean, value: number): Step<number> {
    const at = this.region.fileOffset + offset;
    const result = isWrite ? yield* this.vfio.writeRegister(at, size, value) : yield* this.vfio.readRegister(at, size);
    if (this.listener !== null) yield* this.listener.accessed();
    return isWrite ? value : Math.max(result, 0);
  }

  /** Tells KVM that interrupt `index` is to be completed by the guest as `gsi`. 0 or a negative errno. */
  *forward(index: number, gsi: number): Step<number> {
    this.kvmVfio ??= yield* this.tellKvm();
    return yield* this.kvmVfio.setWords(KVM_DEV_VFIO_DEVICE, KVM_DEV_VFIO_DEVICE_FORWARD_IRQ, this.vfio.fd, index, 0, gsi);
  }

  private *tellKvm(): Step<KvmDevice> {
    const { process, vm, args } = this.vmm;
    const fd = must(yield* vm.createDevice(KVM_DEV_TYPE_VFIO), "KVM_CREATE_DEVICE vfio");
    const kvmVfio = new KvmDevice(process, fd, args);
    must(yield* kvmVfio.setU32(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, this.groupFd), "KVM_DEV_VFIO_FILE_ADD");
    return kvmVfio;
  }
}
