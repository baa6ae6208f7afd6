import { Bus } from "../../host/driver-binding.js";
import { DeviceNodes } from "../../host/device-nodes.js";
import { IommuGroup } from "../../host/iommu/group.js";
import { IrqType } from "../../host/irq/types.js";
import type { GicHost } from "../../host/gic/gic-host.js";
import { PlatformDevice, type ResetMethod } from "../../host/platform-device.js";
import type { Process } from "../../host/process.js";
import { Sysfs } from "../../host/sysfs.js";
import { run, type Step } from "../../sim/step.js";
import * as V from "../../uapi/vfio.js";
import { VfioPlatformDriver } from "../../vfio/backends/platform.js";
import { type ForwardingDevice, VfioDeviceFile } from "../../vfio/contract.js";
import { Type1Backend } from "../../vfio/iommu/type1.js";
import { Vfio } from "../../vfio/vfio.js";

const NAME = "fff51000.ethernet";

class NoReset implements ResetMethod {
  *reset(): Step<number> {
    return 0;
  }
}

/** A platform device with level interrupts, assigned to a process by VFIO: its group and device descriptors. */
export class AssignedDevice {
  /** Host irq numbers by VFIO index. */
  readonly irqs: readonly number[];
  readonly group: number;
  readonly fd: number;

  /** @param scratch writable memory of the process for arguments */
  constructor(
    private readonly host: GicHost,
    private readonly process: Process,
    private readonly scratch: number,
    private readonly spis: readonly number[],
  ) {
    const { sim } = host;
    this.irqs = spis.map((spi) => run(host.mapIrq(spi, IrqType.LEVEL_HIGH)));
    const iommuGroup = new IommuGroup(sim, 12, { reserved: [], apertureEnd: 0xffff_ffffn, isMsiIsolated: true });
    const device = new PlatformDevice(sim, NAME, {
      compatible: ["calxeda,hb-xgmac"],
      group: iommuGroup,
      resources: [],
      irqs: [...this.irqs],
      reset: new NoReset(),
    });
    const nodes = new DeviceNodes();
    const vfio = new Vfio(host, nodes);
    vfio.registerIommu(new Type1Backend(sim, {}));
    const bus = new Bus("platform");
    bus.addDevice(device);
    bus.addDriver(new VfioPlatformDriver(vfio));
    const sysfs = new Sysfs(sim);
    sysfs.addBus(bus);
    sysfs.addGroup(iommuGroup);
    run(sysfs.write(`/sys/bus/platform/devices/${NAME}/driver_override`, "vfio-platform\n"));
    run(sysfs.write("/sys/bus/platform/drivers_probe", NAME));
    const container = run(nodes.open(process, "/dev/vfio/vfio"));
    this.group = run(nodes.open(process, "/dev/vfio/12"));
    this.call(this.group, V.VFIO_GROUP_SET_CONTAINER, container);
    run(process.ioctl(container, V.VFIO_SET_IOMMU, V.VFIO_TYPE1v2_IOMMU));
    process.memory.setText(scratch, NAME);
    this.fd = run(process.ioctl(this.group, V.VFIO_GROUP_GET_DEVICE_FD, scratch));
    if (this.fd < 0) throw new Error(`VFIO_GROUP_GET_DEVICE_FD: ${this.fd}`);
  }

  private call(fd: number, request: number, ...words: number[]): number {
    for (const [i, word] of words.entries()) this.process.memory.setU32(this.scratch + 4 * i, word >>> 0);
    return run(this.process.ioctl(fd, request, this.scratch));
  }

  /** SET_IRQS of index 0: an eventfd as trigger, or -1 for none; by `action` also as the eventfd that unmasks. */
  setEventfd(eventfd: number, action = V.VFIO_IRQ_SET_ACTION_TRIGGER): number {
    return this.call(this.fd, V.VFIO_DEVICE_SET_IRQS, 24, V.VFIO_IRQ_SET_DATA_EVENTFD | action, 0, 0, 1, eventfd);
  }

  /** SET_IRQS of index 0, DATA_NONE. */
  setMasked(isMasked: boolean): number {
    const action = isMasked ? V.VFIO_IRQ_SET_ACTION_MASK : V.VFIO_IRQ_SET_ACTION_UNMASK;
    return this.call(this.fd, V.VFIO_DEVICE_SET_IRQS, 20, V.VFIO_IRQ_SET_DATA_NONE | action, 0, 0, 1);
  }

  /** References on the device, by files and forwarding nodes. */
  get references(): number {
    return this.device.references;
  }

  get device(): ForwardingDevice {
    const file = this.process.file(this.fd);
    if (!(file instanceof VfioDeviceFile)) throw new Error("not a VFIO device");
    return file.device;
  }

  /** The wire of index 0. */
  *setLine(isHigh: boolean): Step<void> {
    yield* this.host.gic.setSpi(this.spis[0], isHigh);
  }

  /** Is the line of index 0 disabled: masked through VFIO, or without a trigger? */
  get isMasked(): boolean {
    return this.host.desc(this.irqs[0])?.isDisabled ?? true;
  }

  isForwarded(index: number): boolean {
    return this.host.desc(this.irqs[index])?.isForwarded ?? false;
  }
}
