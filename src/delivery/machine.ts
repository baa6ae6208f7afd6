import type { Board, Device, Interrupt } from "../board/board.js";
import { EdgeDevice, LevelDevice, type LineDevice } from "../device/line-device.js";
import { RegisterFile } from "../device/register-file.js";
import { clocksOf, connectInterrupt, hostFromBoard } from "../host/board-host.js";
import { DeviceNodes } from "../host/device-nodes.js";
import { Bus } from "../host/driver-binding.js";
import { IommuGroup, SW_MSI_REGION } from "../host/iommu-group.js";
import type { GicHost } from "../host/gic/gic-host.js";
import { PlatformDevice, type ResetMethod } from "../host/platform-device.js";
import { Sysfs } from "../host/sysfs.js";
import { Arm64 } from "../kvm/arm64.js";
import { KvmModule } from "../kvm/module.js";
import { KvmNode } from "../kvm/system.js";
import { type CostTable } from "../sim/cost.js";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { VfioPlatformDriver } from "../vfio/backends/platform.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { Vfio } from "../vfio/vfio.js";
import { must } from "../vmm/must.js";

const PAGE = 4096;
const DRIVER = "vfio-platform";

/** What the machine is built for. */
export interface MachineOptions {
  readonly board: Board;
  readonly device: Device;
  readonly seed: number;
  readonly costs: CostTable;
  /** Register accesses that one service takes. */
  readonly accessesToService: number;
}

/** A line of the device: VFIO's index, its numbers on the host, and what raises it. */
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
  readonly lines: DeviceLine[] = [];
  /** The device's name in /sys, and its IOMMU group's number. */
  readonly deviceName: string;
  readonly group: number;

  /** Powers it on; {@link boot} follows. */
  constructor(private readonly options: MachineOptions) {
    this.sim = new Sim({ cpus: clocksOf(options.board), seed: options.seed, costs: options.costs });
    this.host = hostFromBoard(this.sim, options.board);
    this.deviceName = nameOf(options.device);
    this.group = options.device.group ?? 0;
  }

  /** Loads KVM and VFIO, and binds the device to vfio-platform. */
  *boot(): Step<void> {
    yield* this.loadKvm();
    yield* this.addDevice();
  }

  private *loadKvm(): Step<void> {
    const { host, nodes } = this;
    const kvm = new KvmModule(host);
    must(yield* kvm.start(), "KVM's timers");
    const arch = new Arm64({ cpus: host.cpus.length, gicVersion: host.gic.version });
    nodes.register("/dev/kvm", new KvmNode(kvm, arch));
  }

  private *addDevice(): Step<void> {
    const { device, board } = this.options;
    for (let i = 0; i < device.interrupts.length; i++) yield* this.addLine(device.interrupts[i]);
    const sources = this.lines.map((line) => line.source);
    const [window] = device.registers;
    const address = window === undefined ? 0 : window.address;
    const size = Math.max(PAGE, Math.ceil((window?.size ?? 0) / PAGE) * PAGE);
    const group = this.iommuGroup(board);
    const platform = new PlatformDevice(this.sim, this.deviceName, {
      compatible: device.compatible,
      group,
      resources: [{ address, size, registers: new RegisterFile(sources) }],
      irqs: this.lines.map((line) => line.irq),
      reset: new DeviceReset(sources),
      isAmba: device.bus === "amba",
    });
    yield* this.bind(platform, group);
  }

  private iommuGroup(board: Board): IommuGroup {
    const iommu = board.groups.find((group) => group.id === this.group)?.iommu ?? "assumed";
    return new IommuGroup(this.sim, this.group, { iommu, reserved: [SW_MSI_REGION] });
  }

  private *addLine(interrupt: Interrupt): Step<void> {
    const wire = yield* connectInterrupt(this.host, this.options.board, interrupt);
    if (wire === null) return;
    const options = { index: interrupt.index, accessesToService: this.options.accessesToService };
    const source =
      wire.trigger === "level" ? new LevelDevice(this.sim, this.deviceName, wire.sink, options) : new EdgeDevice(this.sim, this.deviceName, wire.sink, options);
    this.lines.push({ index: interrupt.index, irq: wire.irq, intid: wire.intid, source });
  }

  /** What an administrator types (vfio.md 2.7). */
  private *bind(platform: PlatformDevice, group: IommuGroup): Step<void> {
    const bus = new Bus("platform");
    const vfio = new Vfio(this.host, this.nodes);
    vfio.registerIommu(new Type1Backend(this.sim));
    bus.addDevice(platform);
    bus.addDriver(new VfioPlatformDriver(vfio, DRIVER));
    const sysfs = new Sysfs(this.sim);
    sysfs.addBus(bus);
    sysfs.addGroup(group);
    must(yield* sysfs.write(`/sys/bus/platform/devices/${platform.name}/driver_override`, `${DRIVER}\n`), "driver_override");
    must(yield* sysfs.write("/sys/bus/platform/drivers_probe", `${platform.name}\n`), "drivers_probe");
  }
}

/** "fff50000.ethernet" for "/soc/ethernet@fff50000": how Linux names a platform device. */
function nameOf(device: Device): string {
  const [name, unit] = (device.path.split("/").at(-1) ?? device.path).split("@");
  return unit === undefined ? name : `${unit}.${name}`;
}

class DeviceReset implements ResetMethod {
  constructor(private readonly sources: readonly LineDevice[]) {}

  *reset(): Step<number> {
    for (let i = 0; i < this.sources.length; i++) yield* this.sources[i].reset();
    return 0;
  }
}
