import { Command, Pci } from "../../arch/pci/config-registers.js";
import { Process } from "../../host/process.js";
import { run, type Step } from "../../sim/step.js";
import { VFIO_PCI_CONFIG_REGION_INDEX, VFIO_XEN_IOMMU } from "../../uapi/vfio.js";
import { VFIO_IRQ_NOTIFY_EVTCHN, VFIO_IRQ_NOTIFY_GUEST_MSI } from "../../uapi/vfio-xen.js";
import { Arguments } from "../../vmm/arguments.js";
import { must } from "../../vmm/must.js";
import { VfioContainerClient, VfioGroupClient } from "../../vmm/vfio.js";
import { VfioXenClient } from "../../vmm/xen-function.js";
import { Meter } from "../meter.js";
import { machineOptions, placement, type StageRequest } from "../stage.js";
import { XEN_GUEST, XenMachine } from "../xen-machine.js";
import type { Assembled } from "./measured.js";
import type { Notification } from "./result.js";
import { XenGuestCpu } from "./xen-guest.js";

const USER = { args: 0x1_0000, ram: 0x1000_0000 } as const;
const GUEST_RAM = 0x4000_0000;
const RAM_SIZE = 0x20_0000;
const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX * 2 ** 40;
const GUEST_VECTOR = 0x51;

/** A machine with Xen below its kernel, and the function's interrupt bound to what `notification` says of the guest. */
export function assembleOnXen(asked: StageRequest, notification: Notification): Assembled {
  const { workload } = asked.request;
  const [interrupt] = asked.interrupts;
  const machine = new XenMachine(machineOptions(asked.request));
  run(machine.boot());
  const vfio = run(openOnXen(machine));
  const guest = new XenGuestCpu(machine.sim, machine.xen, workload, placement(machine.host.cpus.length).vcpuCpus[0]);
  const source = machine.sourceOf(interrupt.index);
  if (source === undefined) throw new Error(`interrupt ${interrupt.index} of ${machine.deviceName} has no source`);
  guest.serve(source);
  must(run(vfio.setNotify(interrupt.index, ...elementOf(notification))), "VFIO_DEVICE_SET_IRQ_NOTIFY");
  const { irq } = machine.lineOf(interrupt.index);
  return { host: machine.host, vfio, index: interrupt.index, irq, source, meter: meterOf(interrupt.index, irq), guest };
}

/** There are no eventfds, and the guest's acknowledge names the device's own interrupt. */
function meterOf(index: number, irq: number): Meter {
  const nothing = { triggerEventfds: [], resampleEventfds: [], spuriousNumber: -1 };
  return new Meter({ ...nothing, irqs: [irq], indexes: [index], guestIntids: [index], isDevice: () => false, isIpi: () => false, takers: [0], stateOf: () => "resident" });
}

/** What the device model in the control domain does: container, memory of the guest, device. */
function* openOnXen({ sim, nodes, group: id, deviceName, interrupts }: XenMachine): Step<VfioXenClient> {
  const process = new Process(sim, "device model", { capabilities: ["IPC_LOCK"] });
  const args = new Arguments(process, USER.args);
  process.memory.map(USER.ram, RAM_SIZE);
  const containerFd = must(yield* nodes.open(process, "/dev/vfio/vfio"), "open /dev/vfio/vfio");
  const groupFd = must(yield* nodes.open(process, `/dev/vfio/${id}`), `open /dev/vfio/${id}`);
  const container = new VfioContainerClient(process, containerFd, args);
  const group = new VfioGroupClient(process, groupFd, args);
  must(yield* group.setContainer(containerFd), "VFIO_GROUP_SET_CONTAINER");
  must(yield* container.setIommu(VFIO_XEN_IOMMU), "VFIO_SET_IOMMU");
  must(yield* container.mapDma(GUEST_RAM, RAM_SIZE, USER.ram), "VFIO_IOMMU_MAP_DMA");
  const fd = must(yield* group.deviceFd(deviceName), "VFIO_GROUP_GET_DEVICE_FD");
  const vfio = new VfioXenClient(process, fd, args, interrupts);
  must(yield* vfio.writeRegister(CONFIG + Pci.COMMAND, 2, Command.MEMORY | Command.MASTER), "write of COMMAND");
  return vfio;
}

/** An event channel with a port of the hypervisor's choice, or a vector that bind_pt_irq programs: words of the element. */
function elementOf(notification: Notification): [kind: number, words: number[]] {
  return notification === "guest vector" ? [VFIO_IRQ_NOTIFY_GUEST_MSI, [0, GUEST_VECTOR, 0, 0, 0, 0]] : [VFIO_IRQ_NOTIFY_EVTCHN, [XEN_GUEST, 0]];
}
