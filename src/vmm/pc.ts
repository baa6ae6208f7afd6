import { Pci } from "../arch/pci/config-registers.js";
import type { DmaPort } from "../device/dma-port.js";
import type { PciFunction } from "../device/pci/function.js";
import { WiredOr } from "../device/pci/wired-or.js";
import { DeviceNodes } from "../host/device-nodes.js";
import { Bus } from "../host/driver-binding.js";
import { IrqType } from "../host/irq/types.js";
import { BusMaster } from "../host/pci/bus-master.js";
import { IommuDma } from "../host/iommu/dma.js";
import { IommuGroup } from "../host/iommu/group.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { PciRoot } from "../host/pci/pci-root.js";
import { Sysfs } from "../host/sysfs.js";
import { DmaRemapping } from "../host/x86/dma-remapping.js";
import { IoApicLevelInput } from "../host/x86/ioapic.js";
import { X86Host } from "../host/x86/x86-host.js";
import type { X86Software } from "../guest/x86-software.js";
import { KvmNode } from "../kvm/system.js";
import { X86 } from "../kvm/x86/x86.js";
import { X86Module, type X86ModuleOptions } from "../kvm/x86/module.js";
import { PersonError } from "../sim/person-error.js";
import { Sim, type SimOptions } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { VfioPciDriver } from "../vfio/backends/pci/driver.js";
import { Type1Backend } from "../vfio/iommu/type1.js";
import { Vfio } from "../vfio/vfio.js";
import { must } from "./must.js";
import { interruptsOf, openPciFunction } from "./pci-device.js";
import { AssignedDevice } from "./platform-device.js";
import { X86Vmm } from "./x86-vmm.js";

/** VT-d leaves writes to this window alone: they are messages, which remapping checks. */
const MESSAGES = { start: 0xfee0_0000n, end: 0xfeef_ffffn, kind: "msi" } as const;

/** Pins of the host's IOAPIC beyond the ISA interrupts: what the slots' pins end at, by turns. */
const [FIRST_PCI_GSI, PCI_GSIS] = [16, 8];

export interface PcOptions extends Omit<SimOptions, "cpus">, X86ModuleOptions {
  /** Physical CPUs, 3 at least: for the host's interrupts, the VMM, and vCPUs. Default 4. */
  readonly cpus?: number;
}

/** Where a function is plugged in: what {@link PciFunction} begins with, and its way to memory. */
export interface PciSlot {
  /** "0000:01:00.0" */
  readonly name: string;
  readonly requesterId: number;
  readonly dma: DmaPort;
}

/** A function in its slot, bound to vfio-pci. */
export interface PluggedFunction {
  readonly fn: PciFunction;
  readonly device: PciDevice;
  readonly group: IommuGroup;
}

/**
 * A PC with KVM and VFIO, into which PCI functions of one's own are plugged, each below a port and in an IOMMU group of its
 * own, to be assigned to a guest. `nodes` and `sysfs` are what its processes open and write.
 */
export class Pc {
  readonly sim: Sim;
  readonly host: X86Host;
  readonly nodes = new DeviceNodes();
  readonly sysfs: Sysfs;
  readonly vfio: Vfio;
  private readonly cpus: number;
  private readonly root: PciRoot;
  /** VT-d, as far as it translates DMA. */
  readonly iommu: DmaRemapping;
  private readonly bus = new Bus("pci");
  /** By GSI. */
  private readonly wires: WiredOr[] = [];

  constructor(options: PcOptions = {}) {
    this.cpus = options.cpus ?? 4;
    if (this.cpus < 3) throw new PersonError(`${this.cpus} CPUs are too few for a host, a VMM and a guest: give 3 or more`);
    this.sim = new Sim({ ...options, cpus: this.cpus + 1 });
    this.host = new X86Host(this.sim, Array.from({ length: this.cpus }, (_, id) => id));
    this.iommu = new DmaRemapping(this.sim);
    this.root = new PciRoot(this.host, this.iommu);
    const module = new X86Module(this.host, options);
    this.nodes.register("/dev/kvm", new KvmNode(module, new X86(this.cpus, { posting: module.posting })));
    this.vfio = new Vfio(this.host, this.nodes);
    this.vfio.registerIommu(new Type1Backend(this.sim));
    this.bus.addDriver(new VfioPciDriver(this.vfio));
    this.sysfs = new Sysfs(this.sim);
    this.sysfs.addBus(this.bus);
  }

  /** Makes a function for the next free slot, its pin wired to the host's IOAPIC, and binds it to vfio-pci as an administrator does (vfio.md 2.7). */
  *plug(make: (slot: PciSlot) => PciFunction): Step<PluggedFunction> {
    const number = this.root.buses.length + 1;
    const requesterId = number << 8;
    const group = new IommuGroup(this.sim, number, { iommu: "vt-d", reserved: [MESSAGES] });
    const name = `0000:${number.toString(16).padStart(2, "0")}:00.0`;
    const dma = new BusMaster(new IommuDma(this.iommu, group, requesterId));
    const fn = (dma.fn = make({ name, requesterId, dma }));
    const pin = fn.peek(Pci.INT_PIN, 1);
    const gsi = FIRST_PCI_GSI + ((number + pin - 2) % PCI_GSIS);
    const irq = pin === 0 ? 0 : yield* this.host.mapGsi(gsi, IrqType.LEVEL_LOW);
    if (irq !== 0) must(yield* this.host.setAffinity(irq, [0]), "smp_affinity");
    yield* this.root.plug(fn, pin === 0 ? null : this.wireOf(gsi).input());
    const device = new PciDevice(this.root, fn, { bus: this.root.addBus(number, true), group, irq });
    this.bus.addDevice(device);
    this.sysfs.addGroup(group);
    must(yield* this.sysfs.write(`/sys/bus/pci/devices/${name}/driver_override`, "vfio-pci\n"), "driver_override");
    must(yield* this.sysfs.write("/sys/bus/pci/drivers_probe", name), "drivers_probe");
    return { fn, device, group };
  }

  /** Pins of several functions end on one wire. */
  private wireOf(gsi: number): WiredOr {
    return (this.wires[gsi] ??= new WiredOr(new IoApicLevelInput(this.host.ioapic, gsi)));
  }

  /** A VMM with one guest: the host's interrupts are CPU 0's, the VMM is on the next, the vCPUs on the others. */
  *start(software: X86Software, irqchip: "full" | "split" = "full"): Step<X86Vmm> {
    const vcpuCpus = Array.from({ length: this.cpus - 2 }, (_, i) => i + 2);
    return yield* X86Vmm.start(this.host, this.nodes, { mainCpu: 1, vcpuCpus, vcpus: software.options.cpus ?? 1, irqchip, software });
  }

  /**
   * VFIO's session up to the interrupts (vfio.md 22.2): the guest's memory mapped, the registers in the guest, all vectors
   * enabled that the host has. The device's interrupts count from 0: its pin, where it has one, then its vectors. Either can
   * be wired, by `vfio.setTrigger`: wiring the pin ends the vectors, and the other way round, as the device cannot have both.
   */
  *assign(vmm: X86Vmm, { fn, device, group }: PluggedFunction): Step<AssignedDevice> {
    const { count, ...interrupts } = interruptsOf(fn);
    const assigned = yield* AssignedDevice.assign(vmm, group.id, device.name, openPciFunction(interrupts));
    yield* assigned.vfio.prepare(Array.from({ length: count }, (_, i) => i));
    return assigned;
  }
}
