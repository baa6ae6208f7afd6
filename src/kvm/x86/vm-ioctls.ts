import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { IoApic } from "../../irqchip/x86/ioapic/ioapic.js";
import { getIoApicState, setIoApicState } from "../../irqchip/x86/ioapic/record.js";
import { PicPair } from "../../irqchip/x86/pic.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EEXIST, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";
import type { VmIoctl } from "../arch.js";
import { Route } from "../route.js";
import { RoutingTable } from "../routing-table.js";
import { swapRouting } from "../routing.js";
import type { Vm } from "../vm.js";
import { MAX_X86_VCPU_IDS } from "./create-vcpu.js";
import { createPit2, getPit2, reinjectControl, setPit2 } from "./pit.js";
import { X86Vm } from "./x86.js";

const PIC_PINS = 16;
const PINS_OF_ONE_PIC = 8;

/** The x86 side of a VM; these requests are of x86 VMs alone. */
export function archOf(vm: Vm): X86Vm {
  if (!(vm.arch instanceof X86Vm)) throw new Error("an x86 request reached another architecture's VM");
  return vm.arch;
}

/** KVM_CREATE_IRQCHIP (x86-irqchip.md 2): PIC pair, IOAPIC, the default routes, mode full. */
export function* createIrqchip(vm: Vm): Step<number> {
  const arch = archOf(vm);
  yield* vm.lock.lock();
  const result = arch.hasIrqchip() ? -EEXIST : vm.createdVcpus > 0 ? -EINVAL : yield* makeChips(vm, arch);
  yield* vm.lock.unlock();
  return result;
}

function* makeChips(vm: Vm, arch: X86Vm): Step<number> {
  const apics = arch.createApics("full");
  const { compat, options } = arch.arch;
  const pic = new PicPair(arch, apics, { compat });
  const ioapic = new IoApic(arch, apics, { compat, version: options.ioapicVersion ?? 0x11 });
  apics.connectIoapic(ioapic);
  const registered = yield* pic.register();
  if (registered !== 0) return registered;
  const result = yield* ioapic.register();
  if (result !== 0) {
    yield* pic.unregister();
    return result;
  }
  const table = RoutingTable.of(vm, defaultRoutes());
  if (typeof table === "number") return table;
  yield* swapRouting(vm, table);
  arch.pic = pic;
  arch.ioapic = ioapic;
  arch.irqchipMode = "full";
  return 0;
}

/** x86-irqchip.md 3.2: 40 entries, GSI 0 to pin 0. */
function defaultRoutes(): Route[] {
  const routes: Route[] = [];
  for (let gsi = 0; gsi < X.KVM_IOAPIC_NUM_PINS; gsi++) {
    routes.push(irqchipRoute(gsi, X.KVM_IRQCHIP_IOAPIC, gsi));
    if (gsi < PIC_PINS) routes.push(irqchipRoute(gsi, gsi < PINS_OF_ONE_PIC ? X.KVM_IRQCHIP_PIC_MASTER : X.KVM_IRQCHIP_PIC_SLAVE, gsi % PINS_OF_ONE_PIC));
  }
  return routes;
}

function irqchipRoute(gsi: number, chip: number, pin: number): Route {
  const route = new Route();
  route.gsi = gsi;
  route.type = K.KVM_IRQ_ROUTING_IRQCHIP;
  route.chip = chip;
  route.pin = pin;
  return route;
}

const chip = new UserArgument(K.kvm_irqchip.size);

/** KVM_GET_IRQCHIP: the chip's own record at offset 8. */
function* getIrqchip(vm: Vm, process: Process, argument: number): Step<number> {
  if (!chip.copyIn(process, argument)) return -EFAULT;
  const { pic, ioapic } = archOf(vm);
  if (pic === null || ioapic === null) return -ENXIO;
  const id = K.kvm_irqchip.chip_id.get(chip.view);
  if (id > X.KVM_IRQCHIP_IOAPIC) return -EINVAL;
  const base = K.kvm_irqchip.chip.offset;
  if (id === X.KVM_IRQCHIP_IOAPIC) yield* getIoApicState(ioapic, record.view, 0);
  else yield* pic.getState(id as 0 | 1, record.view, 0);
  K.kvm_irqchip.chip_id.set(chip.view, id);
  chip.bytes.set(record.bytes.subarray(0, id === X.KVM_IRQCHIP_IOAPIC ? X.kvm_ioapic_state.size : X.kvm_pic_state.size), base);
  return chip.copyOut(process, argument) ? 0 : -EFAULT;
}

/** A chip's record alone: chips take their locks while it is read or written. */
const record = new UserArgument(X.kvm_ioapic_state.size);

/** KVM_SET_IRQCHIP: afterwards the PIC looks anew, whichever chip it was (4.9). */
function* setIrqchip(vm: Vm, process: Process, argument: number): Step<number> {
  if (!chip.copyIn(process, argument)) return -EFAULT;
  const { pic, ioapic } = archOf(vm);
  if (pic === null || ioapic === null) return -ENXIO;
  const id = K.kvm_irqchip.chip_id.get(chip.view);
  const base = K.kvm_irqchip.chip.offset;
  const view = new DataView(chip.bytes.slice(base, base + X.kvm_ioapic_state.size).buffer);
  if (id === X.KVM_IRQCHIP_IOAPIC) yield* setIoApicState(ioapic, view, 0);
  else if (id < X.KVM_IRQCHIP_IOAPIC) yield* pic.setState(id as 0 | 1, view, 0);
  yield* pic.refresh();
  return id > X.KVM_IRQCHIP_IOAPIC ? -EINVAL : 0;
}

/** KVM_SET_BOOT_CPU_ID: before the first vCPU. */
function* setBootCpuId(vm: Vm, _process: Process, id: number): Step<number> {
  yield* vm.lock.lock();
  let result = 0;
  if (vm.createdVcpus > 0) result = -EBUSY;
  else if (id > MAX_X86_VCPU_IDS) result = -EINVAL;
  else archOf(vm).setBootCpu(id);
  yield* vm.lock.unlock();
  return result;
}

/** Where VMX would keep its task state segment and identity map: accepted, without effect on interrupts. */
function* accepted(): Step<number> {
  return 0;
}

/** Requests of x86 VM descriptors alone. */
export const X86_VM_IOCTLS: ReadonlyMap<number, VmIoctl> = new Map<number, VmIoctl>([
  [K.KVM_CREATE_IRQCHIP, createIrqchip],
  [K.KVM_GET_IRQCHIP, getIrqchip],
  [K.KVM_SET_IRQCHIP, setIrqchip],
  [X.KVM_CREATE_PIT2, createPit2],
  [X.KVM_REINJECT_CONTROL, reinjectControl],
  [X.KVM_GET_PIT2, getPit2],
  [X.KVM_SET_PIT2, setPit2],
  [X.KVM_SET_BOOT_CPU_ID, setBootCpuId],
  [X.KVM_SET_TSS_ADDR, accepted],
  [X.KVM_SET_IDENTITY_MAP_ADDR, accepted],
]);
