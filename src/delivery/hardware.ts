import type { Device } from "../board/board.js";
import type { DmaPort } from "../device/dma-port.js";
import type { LineDevice, WriteBack } from "../device/line-device.js";
import type { IommuGroup } from "../host/iommu/group.js";
import type { HostDevice, HostDriver } from "../host/driver-binding.js";
import type { IommuUnit } from "../host/iommu/unit.js";
import type { Step } from "../sim/step.js";
import type { VfioProfile } from "../vfio/profiles.js";
import type { Vfio } from "../vfio/vfio.js";
import type { OpenDevice } from "../vmm/vfio.js";
import type { MachineOptions } from "./machine.js";

/** What a machine has of the device under study, by the bus that it is on. */
export interface Hardware {
  /** The bus's name in /sys, and the VFIO driver's. */
  readonly bus: string;
  readonly driver: string;
  /** The device's name in /sys. */
  readonly name: string;
  /** What raises each interrupt, by the board's index. */
  readonly sources: ReadonlyMap<number, LineDevice>;
  /** The device appears, its wires connected, its DMA behind an IOMMU. */
  plug(group: IommuGroup, iommu: IommuUnit): Step<HostDevice>;
  /** Another device of its group and bus appears, which does nothing by itself; null where the group spans buses. */
  plugNeighbour(device: Device, group: IommuGroup): Step<HostDevice | null>;
  /** The plugged device's way to memory. */
  readonly dma: DmaPort;
  makeDriver(vfio: Vfio, profile: VfioProfile): HostDriver;
  /** What the VMM calls its descriptor by. */
  readonly open: OpenDevice;
  /** The host's numbers of an interrupt: of a message, once it is wired. */
  numbers(index: number): { readonly irq: number; readonly intid: number };
}

/** A descriptor. */
const WRITE_BACK_BYTES = 64;

/** What the workload has the device write before it interrupts. */
export function writeBackOf({ dmaAddress }: MachineOptions, port: DmaPort): WriteBack | null {
  return dmaAddress === undefined ? null : { port, iova: dmaAddress, bytes: new Uint8Array(WRITE_BACK_BYTES) };
}
