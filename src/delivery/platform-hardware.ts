import type { Device } from "../board/board.js";
import type { DmaPort } from "../device/dma-port.js";
import { EdgeDevice, LevelDevice, type LineDevice } from "../device/line-device.js";
import { RegisterFile } from "../device/register-file.js";
import { connectInterrupt } from "../host/board-host.js";
import type { HostDevice, HostDriver } from "../host/driver-binding.js";
import type { GicHost } from "../host/gic/gic-host.js";
import { IommuDma } from "../host/iommu/dma.js";
import type { IommuGroup } from "../host/iommu/group.js";
import type { IommuUnit } from "../host/iommu/unit.js";
import { PlatformDevice, type ResetMethod } from "../host/platform-device.js";
import type { Step } from "../sim/step.js";
import { VfioPlatformDriver } from "../vfio/backends/platform.js";
import type { VfioProfile } from "../vfio/profiles.js";
import type { Vfio } from "../vfio/vfio.js";
import { openPlatform } from "../vmm/platform-device.js";
import type { OpenDevice } from "../vmm/vfio.js";
import { type Hardware, writeBackOf } from "./hardware.js";
import type { MachineOptions } from "./machine.js";

const PAGE = 4096;

/** A device that the tree describes: its first register window, and its wires. */
export class PlatformHardware implements Hardware {
  readonly bus = "platform";
  readonly driver = "vfio-platform";
  readonly name: string;
  readonly sources = new Map<number, LineDevice>();
  readonly open: OpenDevice = openPlatform;
  private readonly wires = new Map<number, { irq: number; intid: number }>();
  private port: DmaPort | null = null;

  constructor(
    private readonly host: GicHost,
    private readonly options: MachineOptions,
  ) {
    this.name = nameOf(options.device);
  }

  get dma(): DmaPort {
    if (this.port === null) throw new Error(`${this.name} is not there yet`);
    return this.port;
  }

  *plug(group: IommuGroup, iommu: IommuUnit): Step<HostDevice> {
    const { device } = this.options;
    this.port = new IommuDma(iommu, group, device.iommu?.streams[0]?.id ?? 0);
    for (let i = 0; i < device.interrupts.length; i++) yield* this.addLine(i);
    const sources = [...this.sources.values()];
    const [window] = device.registers;
    const address = window === undefined ? 0 : window.address;
    const size = Math.max(PAGE, Math.ceil((window?.size ?? 0) / PAGE) * PAGE);
    return new PlatformDevice(this.host.sim, this.name, {
      compatible: device.compatible,
      group,
      resources: [{ address, size, registers: new RegisterFile(sources) }],
      irqs: [...this.wires.values()].map((wire) => wire.irq),
      reset: new DeviceReset(sources),
      isAmba: device.bus === "amba",
    });
  }

  *plugNeighbour(device: Device, group: IommuGroup): Step<HostDevice | null> {
    if (device.pci !== null) return null;
    const [window] = device.registers;
    const size = Math.max(PAGE, Math.ceil((window?.size ?? 0) / PAGE) * PAGE);
    return new PlatformDevice(this.host.sim, nameOf(device), {
      compatible: device.compatible,
      group,
      resources: [{ address: window?.address ?? 0, size, registers: new RegisterFile([]) }],
      irqs: [],
      reset: null,
      isAmba: device.bus === "amba",
    });
  }

  private *addLine(place: number): Step<void> {
    const { board, device, accessesToService } = this.options;
    const interrupt = device.interrupts[place];
    const wire = yield* connectInterrupt(this.host, board, interrupt);
    if (wire === null) return;
    const { sim } = this.host;
    const options = { index: interrupt.index, accessesToService, writeBack: writeBackOf(this.options, this.dma) };
    const source = wire.trigger === "level" ? new LevelDevice(sim, this.name, wire.sink, options) : new EdgeDevice(sim, this.name, wire.sink, options);
    this.sources.set(interrupt.index, source);
    this.wires.set(interrupt.index, { irq: wire.irq, intid: wire.intid });
  }

  makeDriver(vfio: Vfio, { platform }: VfioProfile): HostDriver {
    return new VfioPlatformDriver(vfio, this.driver, platform);
  }

  numbers(index: number): { irq: number; intid: number } {
    const wire = this.wires.get(index);
    if (wire === undefined) throw new Error(`interrupt ${index} has no line`);
    return wire;
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
