import type { Device } from "../../board/board.js";
import { XEN_GUEST } from "../../delivery/xen-machine.js";
import type { VfioProfileName } from "../../vfio/profiles.js";
import { vfio_irq_evtchn } from "../../uapi/vfio-xen.js";

/** What the composite verbs need to know. */
export interface Subject {
  /** The device's bus and name in /sys, and its group's number. */
  readonly bus: string;
  readonly name: string;
  readonly group: number;
  /** The other endpoints of the group: no host driver may hold one. */
  readonly neighbours: readonly string[];
  /** The VFIO driver, and the name of its IOMMU backend's type. */
  readonly driver: string;
  readonly iommu: "TYPE1v2" | "SPAPR_TCE" | "XEN";
  readonly device: Device;
  /** Whose interface there is: every profile but draft2011 has containers. */
  readonly profile: VfioProfileName;
}

const GUEST_MEMORY = 0x10_0000;

/** What management software does to give a device to a VMM, and the VMM until interrupts come (vfio.md 2.7). */
export function assignment(subject: Subject): readonly string[] {
  return [...binding(subject), ...(subject.profile === "draft2011" ? draftSession(subject) : session(subject))];
}

function binding({ bus, name, group, neighbours, driver }: Subject): readonly string[] {
  const sys = `/sys/bus/${bus}`;
  const bind = (endpoint: string): string[] => [
    `echo ${endpoint} > ${sys}/devices/${endpoint}/driver/unbind`,
    `echo ${driver} > ${sys}/devices/${endpoint}/driver_override`,
    `echo ${endpoint} > ${sys}/drivers_probe`,
  ];
  return [...bind(name), `readlink ${sys}/devices/${name}/iommu_group`, `ls /sys/kernel/iommu_groups/${group}/devices`, ...neighbours.flatMap(bind)];
}

function session({ bus, name, group, iommu, device }: Subject): readonly string[] {
  return [
    "container = open /dev/vfio/vfio",
    "ioctl container GET_API_VERSION",
    `ioctl container CHECK_EXTENSION ${iommu}`,
    `group = open /dev/vfio/${group}`,
    "ioctl group GET_STATUS",
    "ioctl group SET_CONTAINER container",
    `ioctl container SET_IOMMU ${iommu}`,
    ...memory(iommu),
    `device = ioctl group GET_DEVICE_FD ${name}`,
    "ioctl device GET_INFO",
    "ioctl device GET_REGION_INFO index=0",
    ...interrupts(bus, iommu, device),
  ];
}

/** The same by the interface of December 2011: groups have address spaces, and there is no container (vfio.md 21.6). */
function draftSession({ name, group, device }: Subject): readonly string[] {
  return [
    `group = open /dev/vfio/${group}`,
    "ioctl group DRAFT_GROUP_GET_INFO",
    "iommu = ioctl group DRAFT_GROUP_GET_IOMMU_FD",
    "ioctl iommu DRAFT_IOMMU_GET_INFO",
    `ram = memory ${GUEST_MEMORY}`,
    `ioctl iommu DRAFT_IOMMU_MAP_DMA flags=READ|WRITE vaddr=ram iova=0 size=${GUEST_MEMORY}`,
    `device = ioctl group DRAFT_GROUP_GET_DEVICE_FD ${name}`,
    "ioctl device DRAFT_DEVICE_GET_INFO",
    "ioctl device DRAFT_DEVICE_GET_REGION_INFO index=0",
    "ioctl device DRAFT_DEVICE_RESET",
    "write device 0x70000000004 2 6",
    ...(device.interrupts.length === 0 ? [] : draftInterrupts(device)),
  ];
}

function draftInterrupts(device: Device): readonly string[] {
  const index = indexOf(device);
  return [
    `ioctl device DRAFT_DEVICE_GET_IRQ_INFO index=${index}`,
    "trigger = eventfd",
    `ioctl device DRAFT_DEVICE_SET_IRQ_EVENTFDS index=${index} count=1 data=trigger`,
    `raise ${device.interrupts[0].index}`,
    "count trigger",
  ];
}

/** VFIO's index of a function's first interrupt: a pin, or the first vector. */
const indexOf = (device: Device): number => (device.interrupts[0].kind !== "msi" ? 0 : (device.pci?.msiVectors ?? 1) > 1 ? 2 : 1);

function memory(iommu: Subject["iommu"]): readonly string[] {
  const map = `ioctl container IOMMU_MAP_DMA flags=READ|WRITE vaddr=ram iova=0 size=${GUEST_MEMORY}`;
  return [`ram = memory ${GUEST_MEMORY}`, ...(iommu === "SPAPR_TCE" ? ["ioctl container IOMMU_ENABLE"] : []), map];
}

/** The first interrupt: a pin, a line, or the first vector, which needs memory and bus mastering on. */
function interrupts(bus: string, iommu: Subject["iommu"], device: Device): readonly string[] {
  if (device.interrupts.length === 0) return ["ioctl device RESET"];
  const index = bus === "pci" ? indexOf(device) : 0;
  return [
    `ioctl device GET_IRQ_INFO index=${index}`,
    "ioctl device RESET",
    ...(bus === "pci" ? [`write device 0x70000000004 2 6`] : []),
    ...(iommu === "XEN" ? [] : ["trigger = eventfd"]),
    `ioctl device ${iommu === "XEN" ? eventChannel(index) : `SET_IRQS flags=DATA_EVENTFD|ACTION_TRIGGER index=${index} start=0 count=1 data=trigger`}`,
    `raise ${device.interrupts[0].index}`,
    iommu === "XEN" ? "take 1" : "count trigger",
  ];
}

/** The lowest free port of the guest's event channels: 1. */
const eventChannel = (index: number): string => `SET_IRQ_NOTIFY flags=EVTCHN index=${index} start=0 count=1 element_size=${vfio_irq_evtchn.size} data=${XEN_GUEST},0`;

/** The reverse: the device is its host driver's again. */
export function release({ bus, name, neighbours, driver, iommu, device, profile }: Subject): readonly string[] {
  const sys = `/sys/bus/${bus}`;
  const giveBack = (endpoint: string): string[] => [
    `echo ${endpoint} > ${sys}/drivers/${driver}/unbind`,
    `echo > ${sys}/devices/${endpoint}/driver_override`,
    `echo ${endpoint} > ${sys}/drivers_probe`,
    `readlink ${sys}/devices/${endpoint}/driver`,
  ];
  return [
    ...(device.interrupts.length === 0 || iommu === "XEN" ? [] : ["close trigger"]),
    "close device",
    ...(profile === "draft2011" ? ["close iommu", "close group"] : ["ioctl group UNSET_CONTAINER", "close group", "close container"]),
    ...[name, ...neighbours].flatMap(giveBack),
  ];
}
