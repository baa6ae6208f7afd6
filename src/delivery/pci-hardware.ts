import type { LevelSink } from "../arch/level.js";
import type { Device, Interrupt, PciFunction as Description } from "../board/board.js";
import { functionName } from "../board/pci.js";
import { expressCapability, msiCapability, type MsixLayout, msixCapability, pmCapability } from "../device/pci/capabilities.js";
import { type Bar, NO_REGISTERS } from "../device/pci/bar.js";
import { type FunctionCore, PciFunction } from "../device/pci/function.js";
import type { DmaPort } from "../device/dma-port.js";
import { EdgeDevice, LevelDevice, type LineDevice } from "../device/line-device.js";
import { RegisterFile, REGISTERS_STRIDE } from "../device/register-file.js";
import type { HostDevice, HostDriver } from "../host/driver-binding.js";
import type { Host } from "../host/machine.js";
import { IommuDma } from "../host/iommu/dma.js";
import type { IommuGroup } from "../host/iommu/group.js";
import type { IommuUnit } from "../host/iommu/unit.js";
import { BusMaster } from "../host/pci/bus-master.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { type PciBus, PciRoot } from "../host/pci/pci-root.js";
import type { Step } from "../sim/step.js";
import { VfioPciDriver } from "../vfio/backends/pci/driver.js";
import type { VfioProfile } from "../vfio/profiles.js";
import type { Vfio } from "../vfio/vfio.js";
import { openPciFunction, type PciInterrupts } from "../vmm/pci-device.js";
import type { OpenDevice } from "../vmm/vfio.js";
import { type Hardware, writeBackOf } from "./hardware.js";
import type { MachineOptions } from "./machine.js";

const PAGE = 4096;
const MSIX_BAR = 2;
const ENTRY = 16;
const UNKNOWN = 0xffff;
/** "Unclassified": the board does not say what the function is. */
const CLASS = 0xff_0000;

/** The host's end of a pin: the number at its controller, and the wire; null where it ends nowhere. */
export type ConnectPin = (pin: Interrupt) => Step<{ readonly irq: number; readonly intid: number; readonly sink: LevelSink } | null>;

/**
 * A PCI Express function of the board: registers in BAR 0, the pin where the board gives it one, MSI for one vector and
 * MSI-X, with its table in BAR 2, for several. Under a port of its own.
 */
export class PciHardware implements Hardware {
  readonly bus = "pci";
  readonly driver: string = "vfio-pci";
  readonly name: string;
  readonly sources = new Map<number, LineDevice>();
  readonly open: OpenDevice;
  /** How the board counts its interrupts. */
  readonly interrupts: PciInterrupts;
  private wire: { irq: number; intid: number } | null = null;
  private device: PciDevice | null = null;
  private readonly root: PciRoot;
  private master: BusMaster | null = null;

  constructor(
    private readonly host: Host,
    private readonly options: MachineOptions,
    private readonly description: Description,
    private readonly connectPin: ConnectPin,
  ) {
    this.name = functionName(description);
    this.interrupts = interruptsOf(options.device, description);
    this.root = new PciRoot(host, null, description.segment);
    this.open = openPciFunction(this.interrupts);
  }

  get dma(): DmaPort {
    if (this.master === null) throw new Error(`${this.name} is not plugged in`);
    return this.master;
  }

  *plug(group: IommuGroup, iommu: IommuUnit): Step<HostDevice> {
    const { device, accessesToService } = this.options;
    const pin = device.interrupts.find(isPin);
    const wire = pin === undefined ? null : yield* this.connectPin(pin);
    this.wire = wire;
    const lines: LineDevice[] = [];
    const fn = functionOf(device, this.description, lines);
    const master = (this.master = new BusMaster(new IommuDma(iommu, group, fn.requesterId)));
    master.fn = fn;
    for (let i = 0; i < device.interrupts.length; i++) {
      const { index } = device.interrupts[i];
      const options = { index, accessesToService, writeBack: writeBackOf(this.options, master) };
      const { sim } = this.host;
      const source = isPin(device.interrupts[i]) ? new LevelDevice(sim, this.name, fn.intx, options) : new EdgeDevice(sim, this.name, fn.vector(index - this.interrupts.pins), options);
      lines.push(source);
      this.sources.set(index, source);
    }
    yield* this.root.plug(fn, wire === null ? null : wire.sink);
    this.device = new PciDevice(this.root, fn, { bus: this.busOf(this.description), group, irq: wire?.irq ?? 0 });
    return this.device;
  }

  *plugNeighbour(device: Device, group: IommuGroup): Step<HostDevice | null> {
    if (device.pci === null || device.pci.segment !== this.description.segment) return null;
    const fn = functionOf(device, device.pci, []);
    yield* this.root.plug(fn, null);
    return new PciDevice(this.root, fn, { bus: this.busOf(device.pci), group });
  }

  private busOf({ requesterId }: Description): PciBus {
    const number = requesterId >> 8;
    return this.root.buses.find((bus) => bus.number === number) ?? this.root.addBus(number, true);
  }

  makeDriver(vfio: Vfio, { pci }: VfioProfile): HostDriver {
    return new VfioPciDriver(vfio, pci);
  }

  numbers(index: number): { irq: number; intid: number } {
    if (index < this.interrupts.pins) {
      if (this.wire === null) throw new Error(`interrupt ${index} has no line`);
      return this.wire;
    }
    const irq = this.device?.vectors.irqOf(index - this.interrupts.pins) ?? -1;
    const data = this.host.desc(irq)?.data;
    if (data === undefined) throw new Error(`vector ${index - this.interrupts.pins} is not enabled`);
    return { irq, intid: data.parent?.hwirq ?? data.hwirq };
  }
}

/** How the board counts a function's interrupts. */
function interruptsOf({ interrupts }: Device, { msiVectors }: Description): PciInterrupts {
  return { pins: interrupts.some(isPin) ? 1 : 0, vectors: msiVectors > 1 ? "msix" : "msi" };
}

function functionOf(device: Device, description: Description, lines: readonly LineDevice[]): PciFunction {
  const { vendor, device: deviceId, requesterId, msiVectors, bridge } = description;
  const registers = Math.max(PAGE, powerOfTwo(REGISTERS_STRIDE * device.interrupts.length));
  const bars: Bar[] = [{ index: 0, size: registers, kind: "mem32", registers: new RegisterFile(lines) }];
  const capabilities = [pmCapability({ noSoftReset: true }), expressCapability({ hasFlr: true })];
  let msix: MsixLayout | undefined;
  if (msiVectors > 1) {
    const pbaOffset = Math.max(PAGE, powerOfTwo(ENTRY * msiVectors));
    msix = { vectors: msiVectors, tableBar: MSIX_BAR, tableOffset: 0, pbaBar: MSIX_BAR, pbaOffset };
    bars.push({ index: MSIX_BAR, size: 2 * pbaOffset, kind: "mem32", registers: NO_REGISTERS });
    capabilities.push(msixCapability(msix));
  } else if (msiVectors === 1) capabilities.push(msiCapability({ vectors: 1 }));
  const ids = { name: functionName(description), requesterId, vendor: vendor ?? UNKNOWN, device: deviceId ?? UNKNOWN, classCode: CLASS, headerType: bridge ? 1 : 0 };
  const fn = new PciFunction({ ...ids, intxPin: interruptsOf(device, description).pins, bars, capabilities, ...(msix === undefined ? {} : { msix }) });
  fn.core = new Core(lines);
  return fn;
}

function isPin(interrupt: Interrupt): boolean {
  return interrupt.kind !== "msi";
}

function powerOfTwo(size: number): number {
  let power = 1;
  while (power < size) power *= 2;
  return power;
}

/** A reset takes away what is outstanding. */
class Core implements FunctionCore {
  constructor(private readonly lines: readonly LineDevice[]) {}

  *reset(): Step<void> {
    for (let i = 0; i < this.lines.length; i++) yield* this.lines[i].reset();
  }
}
