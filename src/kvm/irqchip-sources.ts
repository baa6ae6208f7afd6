import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import { getSources, setSources } from "../irqchip/sources.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, ENXIO } from "../uapi/errno.js";
import { kvm_irq_sources, kvm_irqchip_args } from "../uapi/powerpc.js";
import type { Vm } from "./vm.js";

// The interface proposed in February 2013 (xics.md 4). Its generic part is here and in irqchip/sources.ts; which types
// there are is the architecture's. Both calls on sources hold kvm.lock, under which a controller is released: these have no
// descriptor of it that would keep it.

const ARGS = new UserArgument(kvm_irqchip_args.size);

/** KVM_CREATE_IRQCHIP_ARGS: -EINVAL for a type that this machine has not. */
export function* createIrqchipArgs(vm: Vm, process: Process, address: number): Step<number> {
  if (!ARGS.copyIn(process, address)) return -EFAULT;
  const type = kvm_irqchip_args.type.get(ARGS.view);
  const param = kvm_irqchip_args.param.get(ARGS.view);
  const { arch } = vm;
  return arch.createIrqchipOfType === undefined ? -EINVAL : yield* arch.createIrqchipOfType(type, param);
}

/** Callers at once have a record each: calls on two VMs may interrupt each other. */
const spare: UserArgument[] = [];

/** KVM_IRQCHIP_SET_SOURCES; -ENXIO without a controller. */
export function* irqchipSetSources(vm: Vm, process: Process, address: number): Step<number> {
  const { rangeUnlocked } = vm.hazards;
  if (!rangeUnlocked) yield* vm.lock.lock();
  const chip = vm.arch.sourceController ?? null;
  const record = spare.pop() ?? new UserArgument(kvm_irq_sources.size);
  let result = -ENXIO;
  if (chip !== null) result = record.copyIn(process, address) ? yield* setSources(chip, record.view) : -EFAULT;
  spare.push(record);
  if (!rangeUnlocked) yield* vm.lock.unlock();
  return result;
}

/** KVM_IRQCHIP_GET_SOURCES: nothing is copied back unless all sources exist. */
export function* irqchipGetSources(vm: Vm, process: Process, address: number): Step<number> {
  const { rangeUnlocked } = vm.hazards;
  if (!rangeUnlocked) yield* vm.lock.lock();
  const chip = vm.arch.sourceController ?? null;
  const record = spare.pop() ?? new UserArgument(kvm_irq_sources.size);
  let result = -ENXIO;
  if (chip !== null) result = record.copyIn(process, address) ? yield* getSources(chip, record.view) : -EFAULT;
  if (result === 0 && !record.copyOut(process, address)) result = -EFAULT;
  spare.push(record);
  if (!rangeUnlocked) yield* vm.lock.unlock();
  return result;
}
