import type { IommuGroupOptions, ReservedRegion } from "../host/iommu/group.js";
import { connectPin, xicsHostFromBoard } from "../host/xics/board-host.js";
import { MESSAGE_WINDOW } from "../host/xics/message-domain.js";
import type { XicsHost } from "../host/xics/xics-host.js";
import { PpcModule } from "../kvm/powerpc/module.js";
import { Ppc } from "../kvm/powerpc/powerpc.js";
import { KvmNode } from "../kvm/system.js";
import type { Step } from "../sim/step.js";
import type { IommuBackend } from "../vfio/iommu/backend.js";
import { SpaprBackend } from "../vfio/iommu/spapr.js";
import { BoardMachine, type MachineOptions, simOf } from "./machine.js";
import { PciHardware } from "./pci-hardware.js";

/** Where messages go on Power: taken out of translation. */
const MESSAGES: ReservedRegion = { start: BigInt(MESSAGE_WINDOW), end: BigInt(MESSAGE_WINDOW + 0xffff), kind: "msi" };

/** A Power machine: the functions of its host bridges, behind their DMA windows. */
export class PowerMachine extends BoardMachine {
  /** @param hasRealMode KVM serves the hypercalls of the interrupt controller in real mode where it can */
  constructor(
    options: MachineOptions,
    readonly hasRealMode: boolean,
    override readonly host: XicsHost = xicsHostFromBoard(simOf(options), options.board),
  ) {
    const { device } = options;
    if (device.pci === null) throw new Error(`${device.path} is no PCI function`);
    super(options, host, new PciHardware(host, options, device.pci, (pin) => connectPin(host, pin)), MESSAGES);
  }

  protected override *loadKvm(): Step<void> {
    const { host, nodes } = this;
    nodes.register("/dev/kvm", new KvmNode(new PpcModule(host), new Ppc(host.cpus.length, { realMode: this.hasRealMode })));
  }

  /** The host bridge's table and its default window. */
  protected override groupOptions(): IommuGroupOptions {
    const { address, size } = this.dmaWindow;
    return { ...super.groupOptions(), tce: { windowStart: BigInt(address), windowSize: BigInt(size) } };
  }

  /** The default window, bytes. */
  get dmaWindow(): { readonly address: number; readonly size: number } {
    const { board, device } = this.options;
    return board.iommus.find((iommu) => iommu.path === device.iommu?.path)?.window ?? ASSUMED_WINDOW;
  }

  protected override iommuBackend(): IommuBackend {
    return new SpaprBackend(this.sim);
  }
}

/** Of a function whose host bridge names none (--assume-iommu): PAPR's usual gibibyte. */
const ASSUMED_WINDOW = { address: 0, size: 0x4000_0000 };
