import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import { KVM_IRQ_ROUTING_MSI, KVM_MSI_VALID_DEVID, kvm_irq_level, kvm_msi } from "../uapi/kvm.js";
import type { IrqLine } from "./arch.js";
import { Route } from "./route.js";
import type { Vm } from "./vm.js";

// What calls that are under way borrow: a call may be interrupted by another, and allocates nothing all the same.
const spareLines: IrqLine[] = [];
const spareRoutes: Route[] = [];

const argument = new UserArgument(kvm_irq_level.size);
const { view } = argument;

/** KVM_IRQ_LINE (kvm-irq-core.md 4.7): the structure is not written back. */
export function* irqLine(vm: Vm, process: Process, address: number): Step<number> {
  if (!argument.copyIn(process, address)) return -EFAULT;
  const line = borrowLine();
  const result = yield* vm.arch.irqLine(line, false);
  spareLines.push(line);
  return result;
}

/** KVM_IRQ_LINE_STATUS: the same, and the structure is copied back. */
export function* irqLineStatus(vm: Vm, process: Process, address: number): Step<number> {
  if (!argument.copyIn(process, address)) return -EFAULT;
  const line = borrowLine();
  const result = yield* vm.arch.irqLine(line, true);
  spareLines.push(line);
  if (result !== 0) return result;
  kvm_irq_level.irq.set(view, line.irq);
  kvm_irq_level.level.set(view, line.level);
  return argument.copyOut(process, address) ? 0 : -EFAULT;
}

function borrowLine(): IrqLine {
  const line = spareLines.pop() ?? { irq: 0, level: 0 };
  line.irq = kvm_irq_level.irq.get(view);
  line.level = kvm_irq_level.level.get(view);
  return line;
}

const msi = new UserArgument(kvm_msi.size);

/** KVM_SIGNAL_MSI (kvm-irq-core.md 4.8): the MSI setter's result as it is, without any routing table. */
export function* signalMsi(vm: Vm, process: Process, address: number): Step<number> {
  if (!msi.copyIn(process, address)) return -EFAULT;
  const route = spareRoutes.pop() ?? new Route();
  route.type = KVM_IRQ_ROUTING_MSI;
  route.addressLo = kvm_msi.address_lo.get(msi.view) | 0;
  route.addressHi = kvm_msi.address_hi.get(msi.view) | 0;
  route.data = kvm_msi.data.get(msi.view) | 0;
  route.flags = kvm_msi.flags.get(msi.view);
  route.devid = kvm_msi.devid.get(msi.view) | 0;
  const isRefused = !vm.arch.hasIrqchip() || (route.flags & ~KVM_MSI_VALID_DEVID) !== 0;
  const result = isRefused ? -EINVAL : yield* vm.arch.setRoute(route, 0, 1, false);
  spareRoutes.push(route);
  return result;
}
