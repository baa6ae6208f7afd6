import { isX86 } from "../../board/assign.js";
import type { Interrupt } from "../../board/board.js";
import { clocksOf, connectPin, hostFromBoard } from "../../host/board-host.js";
import { DeviceNodes } from "../../host/device-nodes.js";
import { Bus, type HostDriver } from "../../host/driver-binding.js";
import { IommuGroup } from "../../host/iommu/group.js";
import type { Host } from "../../host/machine.js";
import { Process } from "../../host/process.js";
import { Sysfs } from "../../host/sysfs.js";
import { connectPin as connectGsi, type HostPin, x86HostFromBoard } from "../../host/x86/board-host.js";
import { XenHypervisor } from "../../host/xen/hypervisor.js";
import { XenMsiDomain } from "../../host/xen/msi-domain.js";
import { Command, Pci } from "../../arch/pci/config-registers.js";
import { costTable } from "../../scenario/profile.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { VFIO_PCI_CONFIG_REGION_INDEX, VFIO_XEN_IOMMU } from "../../uapi/vfio.js";
import { VFIO_IRQ_NOTIFY_EVTCHN, VFIO_IRQ_NOTIFY_GUEST_MSI } from "../../uapi/vfio-xen.js";
import { VfioXenPciDriver } from "../../vfio/backends/xen/driver.js";
import { XenIommuBackend } from "../../vfio/iommu/xen.js";
import { Vfio } from "../../vfio/vfio.js";
import { Arguments } from "../../vmm/arguments.js";
import { must } from "../../vmm/must.js";
import { VfioContainer, VfioGroup } from "../../vmm/vfio.js";
import { VfioXenFunction } from "../../vmm/xen-function.js";
import type { MachineOptions } from "../machine.js";
import { type ConnectPin, PciHardware } from "../pci-hardware.js";
import { placement, type StageRequest } from "../stage.js";
import type { Assembled } from "./measured.js";
import type { Notification } from "./result.js";
import { XEN_GUEST, XenGuestCpu } from "./xen-guest.js";

const USER = { args: 0x1_0000, ram: 0x1000_0000 } as const;
const GUEST_RAM = 0x4000_0000;
const RAM_SIZE = 0x20_0000;
const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX * 2 ** 40;
const GUEST_VECTOR = 0x51;
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

/** A machine with Xen below its kernel, and the function's interrupt bound to what `notification` says of the guest. */
export function assembleOnXen({ request, interrupts }: StageRequest, notification: Notification): Assembled {
  const { board, device, workload, profile } = request;
  const [interrupt] = interrupts;
  if (device.pci === null) throw new Error(`${device.path} is no PCI function`);
  const sim = new Sim({ cpus: clocksOf(board), seed: workload.seed, costs: costTable(profile) });
  const options: MachineOptions = { board, device, seed: workload.seed, costs: costTable(profile), accessesToService: workload.accessesPerService };
  const { host, connect } = hostOf(sim, options);
  const xen = new XenHypervisor(sim);
  xen.addGuest(XEN_GUEST);
  const messages = new XenMsiDomain(host.irqs, xen.pirqs);
  host.msi = messages;
  const name = `0000:${device.pci.bdf}`;
  const wiring = new XenWiring(xen, name, connect);
  const hardware = new XenPciHardware(host, options, device.pci, (pin) => wiring.connect(pin), xen, messages);
  const nodes = new DeviceNodes();
  run(bind(host, nodes, hardware, xen));
  const vfio = run(openOnXen(sim, nodes, hardware));
  const guest = new XenGuestCpu(sim, xen, workload, placement(host.cpus.length).vcpuCpus[0]);
  const source = hardware.sources.get(interrupt.index);
  if (source === undefined) throw new Error(`interrupt ${interrupt.index} of ${name} has no source`);
  guest.serve(source);
  must(run(vfio.setNotify(interrupt.index, ...elementOf(notification))), "VFIO_DEVICE_SET_IRQ_NOTIFY");
  return { host, vfio, index: interrupt.index, irq: hardware.numbers(interrupt.index).irq, source, trigger: -1, resample: -1, guest };
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

function* bind(host: Host, nodes: DeviceNodes, hardware: PciHardware, xen: XenHypervisor): Step<void> {
  const group = new IommuGroup(host.sim, 0, { iommu: "xen", reserved: [MESSAGES] });
  const device = yield* hardware.plug(group);
  const vfio = new Vfio(host, nodes);
  vfio.registerIommu(new XenIommuBackend(host.sim, xen, XEN_GUEST));
  const bus = new Bus(hardware.bus);
  bus.addDevice(device);
  bus.addDriver(hardware.makeDriver(vfio));
  const sysfs = new Sysfs(host.sim);
  sysfs.addBus(bus);
  must(yield* sysfs.write(`/sys/bus/pci/devices/${device.name}/driver_override`, `${hardware.driver}\n`), "driver_override");
  must(yield* sysfs.write("/sys/bus/pci/drivers_probe", `${device.name}\n`), "drivers_probe");
}

/** What the device model in the control domain does: container, memory of the guest, device. */
function* openOnXen(sim: Sim, nodes: DeviceNodes, { name, interrupts }: PciHardware): Step<VfioXenFunction> {
  const process = new Process(sim, "device model", { capabilities: ["IPC_LOCK"] });
  const args = new Arguments(process, USER.args);
  process.memory.map(USER.ram, RAM_SIZE);
  const containerFd = must(yield* nodes.open(process, "/dev/vfio/vfio"), "open /dev/vfio/vfio");
  const groupFd = must(yield* nodes.open(process, "/dev/vfio/0"), "open /dev/vfio/0");
  const container = new VfioContainer(process, containerFd, args);
  const group = new VfioGroup(process, groupFd, args);
  must(yield* group.setContainer(containerFd), "VFIO_GROUP_SET_CONTAINER");
  must(yield* container.setIommu(VFIO_XEN_IOMMU), "VFIO_SET_IOMMU");
  must(yield* container.mapDma(GUEST_RAM, RAM_SIZE, USER.ram), "VFIO_IOMMU_MAP_DMA");
  const fd = must(yield* group.deviceFd(name), "VFIO_GROUP_GET_DEVICE_FD");
  const vfio = new VfioXenFunction(process, fd, args, interrupts);
  must(yield* vfio.writeRegister(CONFIG + Pci.COMMAND, 2, Command.MEMORY | Command.MASTER), "write of COMMAND");
  return vfio;
}

/** An event channel with a port of the hypervisor's choice, or a vector that bind_pt_irq programs: words of the element. */
function elementOf(notification: Notification): [kind: number, words: number[]] {
  return notification === "guest vector" ? [VFIO_IRQ_NOTIFY_GUEST_MSI, [0, GUEST_VECTOR, 0, 0, 0, 0]] : [VFIO_IRQ_NOTIFY_EVTCHN, [XEN_GUEST, 0]];
}
