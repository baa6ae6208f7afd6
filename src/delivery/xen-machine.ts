import { isX86 } from "../board/assign.js";
import type { Interrupt } from "../board/board.js";
import { functionName } from "../board/pci.js";
import { connectPin, hostFromBoard } from "../host/board-host.js";
import type { HostDriver } from "../host/driver-binding.js";
import type { IommuGroupOptions } from "../host/iommu/group.js";
import type { Host } from "../host/machine.js";
import { connectPin as connectGsi, type HostPin, x86HostFromBoard } from "../host/x86/board-host.js";
import { XenHypervisor } from "../host/xen/hypervisor.js";
import { XenMsiDomain } from "../host/xen/msi-domain.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { VfioXenPciDriver } from "../vfio/backends/xen/driver.js";
import type { IommuBackend } from "../vfio/iommu/backend.js";
import { XenIommuBackend } from "../vfio/iommu/xen.js";
import type { Vfio } from "../vfio/vfio.js";
import type { PciInterrupts } from "../vmm/pci-device.js";
import { BoardMachine, type MachineOptions, simOf } from "./machine.js";
import { type ConnectPin, PciHardware } from "./pci-hardware.js";

/** The guest that the device is for. */
export const XEN_GUEST = 5;
/** Where Xen takes messages, on any architecture of this model. */
const MESSAGES = { start: 0xfee0_0000n, end: 0xfeef_ffffn, kind: "msi" } as const;

/** The board's function as a kernel above Xen has it: wire and messages go through the hypervisor. */
class XenPciHardware extends PciHardware {
  override readonly driver = "vfio-xen-pci";

  constructor(
    host: Host,
    options: MachineOptions,
    description: ConstructorParameters<typeof PciHardware>[2],
    connect: ConnectPin,
    private readonly xen: XenHypervisor,
    private readonly messages: XenMsiDomain,
  ) {
    super(host, options, description, connect);
  }

  override makeDriver(vfio: Vfio): HostDriver {
    return new VfioXenPciDriver(vfio, { xen: this.xen, msi: this.messages, guest: XEN_GUEST });
  }
}

/** A PCI function of a board whose kernel is Xen's control domain: no host handler, no KVM (vfio.md 21). */
export class XenMachine extends BoardMachine {
  readonly xen: XenHypervisor;
  /** How the board counts the function's interrupts. */
  readonly interrupts: PciInterrupts;

  constructor(options: MachineOptions) {
    const { device } = options;
    if (device.pci === null) throw new Error(`${device.path} is no PCI function`);
    const { host, connect } = hostOf(simOf(options), options);
    const xen = new XenHypervisor(host.sim);
    xen.addGuest(XEN_GUEST);
    const messages = new XenMsiDomain(host.irqs, xen.pirqs);
    host.msi = messages;
    const wiring = new XenWiring(xen, functionName(device.pci), connect);
    const hardware = new XenPciHardware(host, options, device.pci, (pin) => wiring.connect(pin), xen, messages);
    super(options, host, hardware, MESSAGES);
    this.xen = xen;
    this.interrupts = hardware.interrupts;
  }

  protected override *loadKvm(): Step<void> {}

  protected override groupOptions(): IommuGroupOptions {
    return { iommu: "xen", reserved: [MESSAGES] };
  }

  protected override iommuBackend(): IommuBackend {
    return new XenIommuBackend(this.sim, this.xen, XEN_GUEST);
  }
}

function hostOf(sim: Sim, { board }: MachineOptions): { host: Host; connect: ConnectPin } {
  if (isX86(board)) {
    const host = x86HostFromBoard(sim, board);
    return { host, connect: (pin) => connectGsi(host, board, pin) };
  }
  const host = hostFromBoard(sim, board);
  return { host, connect: (pin) => connectPin(host, board, pin) };
}

/** A pin's wire goes to Xen while its interrupt is mapped there. */
class XenWiring {
  constructor(
    private readonly xen: XenHypervisor,
    private readonly name: string,
    private readonly connectToHost: ConnectPin,
  ) {}

  *connect(pin: Interrupt): Step<HostPin | null> {
    const wire = yield* this.connectToHost(pin);
    return wire === null ? null : { irq: wire.irq, intid: wire.intid, sink: this.xen.pirqs.lineOf(this.name, wire.sink) };
  }
}
