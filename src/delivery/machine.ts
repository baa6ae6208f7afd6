import type { Board, Device } from "../board/board.js";
import { isolationOf } from "../board/isolation.js";
import type { DmaPort } from "../device/dma-port.js";
import type { LineDevice } from "../device/line-device.js";
import { clocksOf, connectPin, hostFromBoard } from "../host/board-host.js";
import { DeviceNodes } from "../host/device-nodes.js";
import { Bus, type HostDevice } from "../host/driver-binding.js";
import { IommuGroup, type IommuGroupOptions, type ReservedRegion, SW_MSI_REGION } from "../host/iommu/group.js";
import type { GicHost } from "../host/gic/gic-host.js";
import { connectPin as connectGsi, x86HostFromBoard } from "../host/x86/board-host.js";
import type { X86Host } from "../host/x86/x86-host.js";
import type { Host } from "../host/machine.js";
import { Sysfs } from "../host/sysfs.js";
import { Arm64, type Arm64Options } from "../kvm/arm64/arm64.js";
import { KvmModule, type KvmModuleOptions } from "../kvm/arm64/module.js";
import { KvmNode } from "../kvm/system.js";
import { X86 } from "../kvm/x86/x86.js";
import { X86Module, type X86ModuleOptions } from "../kvm/x86/module.js";
import { type CostTable } from "../sim/cost.js";
import type { Hazards } from "../sim/hazards.js";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { IommuBackend } from "../vfio/iommu/backend.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { VFIO_PROFILES, type VfioProfile, type VfioProfileName } from "../vfio/profiles.js";
import { Vfio } from "../vfio/vfio.js";
import { must } from "../vmm/must.js";
import type { OpenDevice } from "../vmm/vfio.js";
import type { Hardware } from "./hardware.js";
import { iommuUnitOf } from "./iommu-unit.js";
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
  /** Where it writes by DMA before it interrupts; default nowhere. */
  readonly dmaAddress?: number | undefined;
  /** VFIO as another kernel had it. Default modern. */
  readonly vfioProfile?: VfioProfileName | undefined;
  /** Rules switched off. */
  readonly hazards?: Partial<Hazards> | undefined;
}

/** An interrupt of the device: the board's index, its numbers on the host, and what raises it. */
export interface DeviceLine {
  readonly index: number;
  readonly irq: number;
  readonly intid: number;
  readonly source: LineDevice;
}

/** One board at run time: host kernel with KVM and VFIO, and the device under study, bound to VFIO. */
export abstract class BoardMachine {
  readonly nodes = new DeviceNodes();
  readonly sysfs: Sysfs;
  /** The device's bus. */
  readonly bus: Bus;
  private iommuGroup: IommuGroup | null = null;

  /** Powered on; {@link boot} follows. */
  protected constructor(
    protected readonly options: MachineOptions,
    readonly host: Host,
    private readonly hardware: Hardware,
    private readonly reserved: ReservedRegion,
  ) {
    this.sysfs = new Sysfs(host.sim);
    this.bus = new Bus(hardware.bus);
    this.sysfs.addBus(this.bus);
  }

  get sim(): Sim {
    return this.host.sim;
  }

  /** The device's name in /sys. */
  get deviceName(): string {
    return this.hardware.name;
  }

  /** Its IOMMU group's number. */
  get group(): number {
    return this.options.device.group ?? 0;
  }

  /** Loads KVM and VFIO, and binds the device to its VFIO driver. */
  *boot(): Step<void> {
    yield* this.load();
    yield* this.bind();
  }

  /** Loads KVM and VFIO: what the board's conditions ask for (board/assign.ts). The device is there, and has no driver. */
  *load(): Step<HostDevice> {
    yield* this.loadKvm();
    const { core, group: ofGroup } = this.profile;
    const group = (this.iommuGroup = new IommuGroup(this.sim, this.group, { ...this.groupOptions(), ...ofGroup }));
    const device = yield* this.hardware.plug(group, iommuUnitOf(this.sim, this.options.board, this.options.device));
    const vfio = new Vfio(this.host, this.nodes, core);
    vfio.registerIommu(this.iommuBackend(group));
    this.bus.addDevice(device);
    this.bus.addDriver(this.hardware.makeDriver(vfio, this.profile));
    this.sysfs.addGroup(group);
    return device;
  }

  /** After {@link load}: the others of the device's group on its bus are there too, without a driver. */
  *loadNeighbours(): Step<readonly HostDevice[]> {
    const { board, device } = this.options;
    const { iommuGroup } = this;
    const members = board.groups.find((each) => each.id === this.group)?.members ?? [];
    const others = board.devices.filter(({ path }) => path !== device.path && members.includes(path));
    const neighbours: HostDevice[] = [];
    for (let i = 0; i < others.length && iommuGroup !== null; i++) {
      const neighbour = yield* this.hardware.plugNeighbour(others[i], iommuGroup);
      if (neighbour === null) continue;
      this.bus.addDevice(neighbour);
      neighbours.push(neighbour);
    }
    return neighbours;
  }

  private get profile(): VfioProfile {
    return VFIO_PROFILES[this.options.vfioProfile ?? "modern"];
  }

  /** Registers /dev/kvm. */
  protected abstract loadKvm(): Step<void>;

  /** The device's group, of whatever IOMMU the board has. */
  protected groupOptions(): IommuGroupOptions {
    const { board } = this.options;
    const group = board.groups.find((each) => each.id === this.group);
    const isMsiIsolated = group !== undefined && isolationOf(board, group).isIsolated;
    return { iommu: group?.iommu ?? "assumed", reserved: [this.reserved], isMsiIsolated };
  }

  /** What an administrator types (vfio.md 2.7). */
  private *bind(): Step<void> {
    const { bus, driver, name } = this.hardware;
    must(yield* this.sysfs.write(`/sys/bus/${bus}/devices/${name}/driver_override`, `${driver}\n`), "driver_override");
    must(yield* this.sysfs.write(`/sys/bus/${bus}/drivers_probe`, `${name}\n`), "drivers_probe");
  }

  /** The VFIO driver of the device's bus. */
  get driverName(): string {
    return this.hardware.driver;
  }

  /** What raises an interrupt of the device, by the board's index. */
  sourceOf(index: number): LineDevice | undefined {
    return this.hardware.sources.get(index);
  }

  /** The plugged device's way to memory: what it does there by itself. */
  get dma(): DmaPort {
    return this.hardware.dma;
  }

  /** The module that an administrator loads for containers. */
  protected iommuBackend(group: IommuGroup): IommuBackend {
    return new Type1Backend(this.sim, { ...this.profile.type1, allowUnsafeInterrupts: !group.isMsiIsolated });
  }

  /** Where the host takes the device's interrupts: on CPU 0. A GIC's go there by themselves. */
  *placeInterrupt(_irq: number): Step<void> {}

  /** What the VMM calls the device's descriptor by. */
  get open(): OpenDevice {
    return this.hardware.open;
  }

  /** An interrupt of the device; a message has numbers once it is wired. */
  lineOf(index: number): DeviceLine {
    const source = this.sourceOf(index);
    if (source === undefined) throw new Error(`interrupt ${index} has no line`);
    return { index, ...this.hardware.numbers(index), source };
  }
}

/** A world with a clock for each CPU of the board, and one for the hardware. */
export function simOf({ board, seed, costs, hazards }: MachineOptions): Sim {
  return new Sim({ cpus: clocksOf(board), seed, costs, hazards });
}

/** A board with a GIC. */
export class Machine extends BoardMachine {
  constructor(
    options: MachineOptions,
    private readonly kvm: KvmModuleOptions & Pick<Arm64Options, "vgic"> = {},
    override readonly host: GicHost = hostFromBoard(simOf(options), options.board),
  ) {
    const { board, device } = options;
    const hardware = device.pci === null ? new PlatformHardware(host, options) : new PciHardware(host, options, device.pci, (pin) => connectPin(host, board, pin));
    super(options, host, hardware, SW_MSI_REGION);
  }

  protected override *loadKvm(): Step<void> {
    const { host, nodes } = this;
    const kvm = new KvmModule(host, this.kvm);
    must(yield* kvm.start(), "KVM's timers");
    const arch = new Arm64({ cpus: host.cpus.length, gicVersion: host.gic.version, vgic: this.kvm.vgic ?? {} });
    nodes.register("/dev/kvm", new KvmNode(kvm, arch));
  }
}

/** Where messages go on x86: taken out of translation (vfio.md 20.2). */
const X86_MSI_REGION: ReservedRegion = { start: 0xfee0_0000n, end: 0xfeef_ffffn, kind: "msi" };

/** A PC: the functions of its host bridge. */
export class PcMachine extends BoardMachine {
  constructor(
    options: MachineOptions,
    private readonly kvm: X86ModuleOptions,
    override readonly host: X86Host = x86HostFromBoard(simOf(options), options.board),
  ) {
    const { board, device } = options;
    if (device.pci === null) throw new Error(`${device.path} is no PCI function`);
    super(options, host, new PciHardware(host, options, device.pci, (pin) => connectGsi(host, board, pin)), X86_MSI_REGION);
  }

  get hasApicv(): boolean {
    return this.kvm.apicv ?? false;
  }

  /** smp_affinity: an x86 host spreads interrupts over its CPUs. */
  override *placeInterrupt(irq: number): Step<void> {
    must(yield* this.host.setAffinity(irq, [0]), "smp_affinity");
  }

  protected override *loadKvm(): Step<void> {
    const module = new X86Module(this.host, this.kvm);
    this.nodes.register("/dev/kvm", new KvmNode(module, new X86(this.host.cpus.length, { posting: module.posting })));
  }
}
