import type { DmaFault, DmaFaults } from "../host/iommu/faults.js";
import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, ENOENT } from "../uapi/errno.js";
import { VFIO_IOMMU_FAULT_BLOCKED, VFIO_IOMMU_FAULT_PERMISSION, VFIO_IOMMU_FAULT_UNANSWERED, VFIO_IOMMU_FAULT_WRITE, vfio_iommu_fault } from "../uapi/vfio-fault.js";

const argument = new UserArgument(vfio_iommu_fault.size);

/** VFIO_IOMMU_TAKE_FAULT: 0 with the oldest fault, -EFAULT, -EINVAL, or -ENOENT where there is none. */
export function* takeFault(faults: DmaFaults, process: Process, address: number): Step<number> {
  const layout = vfio_iommu_fault;
  const { view } = argument;
  if (!argument.copyIn(process, address)) return -EFAULT;
  const argsz = layout.argsz.get(view);
  if (argsz < layout.size) return -EINVAL;
  if (!process.memory.isWritable(address, layout.size)) return -EFAULT;
  const taken = yield* faults.take();
  if (taken === null) return -ENOENT;
  const { fault, left, lost } = taken;
  layout.argsz.set(view, argsz);
  layout.flags.set(view, flagsOf(fault));
  layout.group.set(view, fault.group);
  layout.stream.set(view, fault.stream);
  layout.iova.setNumber(view, fault.iova);
  layout.left.set(view, left);
  layout.lost.set(view, lost);
  argument.copyOut(process, address, layout.size);
  return 0;
}

function flagsOf({ isWrite, reason }: DmaFault): number {
  const why = { unmapped: 0, permission: VFIO_IOMMU_FAULT_PERMISSION, blocked: VFIO_IOMMU_FAULT_BLOCKED, unanswered: VFIO_IOMMU_FAULT_UNANSWERED }[reason];
  return why | (isWrite ? VFIO_IOMMU_FAULT_WRITE : 0);
}
