import type { Board, Device } from "../board/board.js";
import type { LineDevice } from "../device/line-device.js";
import { clocksOf, hostFromBoard } from "../host/board-host.js";
import { DeviceNodes } from "../host/device-nodes.js";
import { Bus } from "../host/driver-binding.js";
import { IommuGroup, SW_MSI_REGION } from "../host/iommu-group.js";
import type { GicHost } from "../host/gic/gic-host.js";
import { Sysfs } from "../host/sysfs.js";
import { Arm64 } from "../kvm/arm64.js";
import { KvmModule } from "../kvm/module.js";
import { KvmNode } from "../kvm/system.js";
import { type CostTable } from "../sim/cost.js";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { Vfio } from "../vfio/vfio.js";
import { must } from "../vmm/must.js";
import type { OpenDevice } from "../vmm/platform-device.js";
import type { Hardware } from "./hardware.js";
import { PciHardware } from "./pci-hardware.js";
import { PlatformHardware } from "./platform-hardware.js";

/** What the machine is built for. */
export interface MachineOptions {
  readonly board: Board;
  readonly device: Device;
  readonly seed: number;
  readonly costs: CostTable;
  /** Register accesses that one service takes. */
  readonly accessesToService: number;
}

/** An interrupt of the device: the board's index, its numbers on the host, and what raises it. */
export interface DeviceLine {
  readonly index: number;
  readonly irq: number;
  readonly intid: number;
  readonly source: LineDevice;
}

/** One board at run time: host kernel with KVM and VFIO, and the device under study, bound to VFIO. */
export class Machine {
  readonly sim: Sim;
  readonly host: GicHost;
  readonly nodes = new DeviceNodes();
  /** The device's name in /sys, and its IOMMU group's number. */
  readonly deviceName: string;
  readonly group: number;
  private readonly hardware: Hardware;

  /** Powers it on; {@link boot} follows. */
  constructor(private readonly options: MachineOptions) {
    const { board, device } = options;
    this.sim = new Sim({ cpus: clocksOf(board), seed: options.seed, costs: options.costs });
    this.host = hostFromBoard(this.sim, board);
    this.hardware = device.pci === null ? new PlatformHardware(this.host, options) : new PciHardware(this.host, options, device.pci);
    this.deviceName = this.hardware.name;
    this.group = device.group ?? 0;
  }

  /** Loads KVM and VFIO, and binds the device to its VFIO driver. */
  *boot(): Step<void> {
    yield* this.loadKvm();
    const group = this.iommuGroup();
    const device = yield* this.hardware.plug(group);
    yield* this.bind(device, group);
  }

  private *loadKvm(): Step<void> {
    const { host, nodes } = this;
    const kvm = new KvmModule(host);
    must(yield* kvm.start(), "KVM's timers");
    const arch = new Arm64({ cpus: host.cpus.length, gicVersion: host.gic.version });
    nodes.register("/dev/kvm", new KvmNode(kvm, arch));
  }

  private iommuGroup(): IommuGroup {
    const iommu = this.options.board.groups.find((group) => group.id === this.group)?.iommu ?? "assumed";
    const { isMsiIsolated } = this.hardware;
    return new IommuGroup(this.sim, this.group, { iommu, reserved: [SW_MSI_REGION], isMsiIsolated });
  }

  /** What an administrator types (vfio.md 2.7), and loads: what the board's conditions ask for (board/assign.ts). */
  private *bind(device: Parameters<Bus["addDevice"]>[0], group: IommuGroup): Step<void> {
    const { bus: busName, driver } = this.hardware;
    const bus = new Bus(busName);
    const vfio = new Vfio(this.host, this.nodes);
    vfio.registerIommu(new Type1Backend(this.sim, { allowUnsafeInterrupts: !this.hardware.isMsiIsolated }));
    bus.addDevice(device);
    bus.addDriver(this.hardware.makeDriver(vfio));
    const sysfs = new Sysfs(this.sim);
    sysfs.addBus(bus);
    sysfs.addGroup(group);
    must(yield* sysfs.write(`/sys/bus/${busName}/devices/${device.name}/driver_override`, `${driver}\n`), "driver_override");
    must(yield* sysfs.write(`/sys/bus/${busName}/drivers_probe`, `${device.name}\n`), "drivers_probe");
  }

  /** What the VMM calls the device's descriptor by. */
  get open(): OpenDevice {
    return this.hardware.open;
  }

  /** An interrupt of the device; a message has numbers once it is wired. */
  lineOf(index: number): DeviceLine {
    const source = this.hardware.sources.get(index);
    if (source === undefined) throw new Error(`interrupt ${index} has no line`);
    return { index, ...this.hardware.numbers(index), source };
  }
}
