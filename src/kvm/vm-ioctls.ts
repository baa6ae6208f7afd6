import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_DEVICE,
  KVM_CREATE_VCPU,
  KVM_ENABLE_CAP,
  KVM_IOEVENTFD,
  KVM_IRQ_LINE,
  KVM_IRQ_LINE_STATUS,
  KVM_IRQFD,
  KVM_SET_GSI_ROUTING,
  KVM_SET_USER_MEMORY_REGION,
  KVM_SIGNAL_MSI,
} from "../uapi/kvm.js";
import { KVM_CREATE_IRQCHIP_ARGS, KVM_IRQCHIP_GET_SOURCES, KVM_IRQCHIP_SET_SOURCES } from "../uapi/powerpc.js";
import type { VmIoctl } from "./arch.js";
import { checkVmExtension, enableCap } from "./capabilities.js";
import { createVcpu } from "./create-vcpu.js";
import { createDevice } from "./device.js";
import { ioeventfd } from "./ioeventfd.js";
import { irqLine, irqLineStatus, signalMsi } from "./irq-line.js";
import { createIrqchipArgs, irqchipGetSources, irqchipSetSources } from "./irqchip-sources.js";
import { irqfdIoctl } from "./irqfd.js";
import { setUserMemoryRegion } from "./memory-region.js";
import { setGsiRouting } from "./routing.js";

/** What a VM descriptor answers on every architecture; `VmArch.ioctls` has the rest. */
export const VM_IOCTLS: ReadonlyMap<number, VmIoctl> = new Map<number, VmIoctl>([
  [KVM_CHECK_EXTENSION, checkVmExtension],
  [KVM_CREATE_VCPU, createVcpu],
  [KVM_SET_USER_MEMORY_REGION, setUserMemoryRegion],
  [KVM_ENABLE_CAP, enableCap],
  [KVM_IRQ_LINE, irqLine],
  [KVM_IRQ_LINE_STATUS, irqLineStatus],
  [KVM_SET_GSI_ROUTING, setGsiRouting],
  [KVM_IRQFD, irqfdIoctl],
  [KVM_IOEVENTFD, ioeventfd],
  [KVM_SIGNAL_MSI, signalMsi],
  [KVM_CREATE_DEVICE, createDevice],
  [KVM_CREATE_IRQCHIP_ARGS, createIrqchipArgs],
  [KVM_IRQCHIP_GET_SOURCES, irqchipGetSources],
  [KVM_IRQCHIP_SET_SOURCES, irqchipSetSources],
]);
