import type { Step } from "../../sim/step.js";
import * as kvm from "../../uapi/kvm.js";
import { KVM_CREATE_PIT2, kvm_pit_config, KVM_SET_BOOT_CPU_ID } from "../../uapi/x86.js";
import { chipId } from "./chip-calls.js";
import { flagsOf } from "./descriptor-calls.js";
import { answerOf, type NamedDescriptors } from "./descriptors.js";
import { BAD_POINTER, CAPABILITY, DEVICE_TYPE, IOEVENTFD_FLAG, IRQFD_FLAG, POINTER_REQUEST, ROUTE_TYPE } from "./names.js";
import type { RoutingEntryArgs, X86Args } from "./op.js";
import type { X86Answer, X86Call } from "./vector.js";

type Attribute = X86Args<"hasDeviceAttr">;
const BUFFER_BYTES = 64;

const numbered = (names: Readonly<Record<string, number>>, of: string | number): number => (typeof of === "number" ? of : names[of]) >>> 0;
const view = (size: number): DataView => new DataView(new ArrayBuffer(size));
const bytesOf = (of: DataView): Uint8Array => new Uint8Array(of.buffer);

/** Ioctls on the VM and on its devices. */
export class VmCalls {
  constructor(private readonly descriptors: NamedDescriptors) {}

  *perform({ op, args }: X86Call): Step<X86Answer | null> {
    const { descriptors } = this;
    switch (op) {
      case "createVm":
        return descriptors.adopt(yield* descriptors.ioctl("kvm", kvm.KVM_CREATE_VM, args.type ?? 0), args.as ?? "vm");
      case "createIrqchip":
        return answerOf(yield* this.onVm(args, kvm.KVM_CREATE_IRQCHIP, 0));
      case "createPit2":
        return yield* this.createPit2(args);
      case "createVcpu":
        return descriptors.adopt(yield* this.onVm(args, kvm.KVM_CREATE_VCPU, args.id), args.as ?? `vcpu${args.id}`);
      case "setBootCpuId":
        return answerOf(yield* this.onVm(args, KVM_SET_BOOT_CPU_ID, args.id));
      case "checkExtension":
        return answerOf(yield* descriptors.ioctl(args.on ?? args.vm ?? "vm", kvm.KVM_CHECK_EXTENSION, numbered(CAPABILITY, args.cap)));
      case "enableCap":
        return yield* this.enableCap(args);
      case "irqfd":
        return yield* this.irqfd(args);
      case "ioeventfd":
        return yield* this.ioeventfd(args);
      case "irqLine":
        return answerOf(yield* this.onVm(args, kvm.KVM_IRQ_LINE, bytesOf(irqLevel(args))));
      case "irqLineStatus":
        return yield* this.irqLineStatus(args);
      case "setGsiRouting":
        return answerOf(yield* this.onVm(args, kvm.KVM_SET_GSI_ROUTING, bytesOf(routing(args))));
      case "signalMsi":
        return yield* this.signalMsi(args);
      case "createDevice":
        return yield* this.createDevice(args);
      case "hasDeviceAttr":
        return yield* this.attribute(kvm.KVM_HAS_DEVICE_ATTR, args);
      case "setDeviceAttr":
        return yield* this.attribute(kvm.KVM_SET_DEVICE_ATTR, args);
      case "getDeviceAttr":
        return yield* this.attribute(kvm.KVM_GET_DEVICE_ATTR, args);
      case "badPointer":
        return answerOf(yield* descriptors.ioctl(args.on, POINTER_REQUEST[args.request], BAD_POINTER[args.pointer]));
      default:
        return null;
    }
  }

  private *onVm(args: { readonly vm?: string | undefined }, request: number, argument: number | Uint8Array): Step<number> {
    return yield* this.descriptors.ioctl(args.vm ?? "vm", request, argument);
  }

  private *createPit2(args: X86Args<"createPit2">): Step<X86Answer> {
    const config = view(kvm_pit_config.size);
    kvm_pit_config.flags.set(config, args.flags ?? 0);
    return answerOf(yield* this.onVm(args, KVM_CREATE_PIT2, bytesOf(config)));
  }

  private *enableCap(args: X86Args<"enableCap">): Step<X86Answer> {
    const { kvm_enable_cap } = kvm;
    const cap = view(kvm_enable_cap.size);
    kvm_enable_cap.cap.set(cap, numbered(CAPABILITY, args.cap));
    kvm_enable_cap.flags.set(cap, args.flags ?? 0);
    for (const [i, argument] of (args.args ?? []).entries()) kvm_enable_cap.args[i].setNumber(cap, argument);
    return answerOf(yield* this.onVm(args, kvm.KVM_ENABLE_CAP, bytesOf(cap)));
  }

  private *irqfd(args: X86Args<"irqfd">): Step<X86Answer> {
    const { kvm_irqfd } = kvm;
    const irqfd = view(kvm_irqfd.size);
    kvm_irqfd.fd.set(irqfd, this.descriptors.fd(args.fd) | 0);
    kvm_irqfd.gsi.set(irqfd, args.gsi >>> 0);
    kvm_irqfd.flags.set(irqfd, flagsOf(IRQFD_FLAG, args.flags));
    kvm_irqfd.resamplefd.set(irqfd, args.resamplefd === undefined ? 0 : this.descriptors.fd(args.resamplefd) | 0);
    return answerOf(yield* this.onVm(args, kvm.KVM_IRQFD, bytesOf(irqfd)));
  }

  private *ioeventfd(args: X86Args<"ioeventfd">): Step<X86Answer> {
    const { kvm_ioeventfd } = kvm;
    const ioeventfd = view(kvm_ioeventfd.size);
    kvm_ioeventfd.datamatch.setBig(ioeventfd, BigInt(args.datamatch ?? 0));
    kvm_ioeventfd.addr.setBig(ioeventfd, BigInt(args.addr));
    kvm_ioeventfd.len.set(ioeventfd, args.len);
    kvm_ioeventfd.fd.set(ioeventfd, this.descriptors.fd(args.fd));
    kvm_ioeventfd.flags.set(ioeventfd, flagsOf(IOEVENTFD_FLAG, args.flags));
    return answerOf(yield* this.onVm(args, kvm.KVM_IOEVENTFD, bytesOf(ioeventfd)));
  }

  private *irqLineStatus(args: X86Args<"irqLineStatus">): Step<X86Answer> {
    const level = irqLevel(args);
    const result = yield* this.onVm(args, kvm.KVM_IRQ_LINE_STATUS, bytesOf(level));
    return result < 0 ? answerOf(result) : { ret: result, status: kvm.kvm_irq_level.status.get(level) };
  }

  private *signalMsi(args: X86Args<"signalMsi">): Step<X86Answer> {
    const { kvm_msi } = kvm;
    const msi = view(kvm_msi.size);
    kvm_msi.address_lo.set(msi, args.addressLo);
    kvm_msi.address_hi.set(msi, args.addressHi ?? 0);
    kvm_msi.data.set(msi, args.data);
    kvm_msi.flags.set(msi, args.flags ?? 0);
    kvm_msi.devid.set(msi, args.devid ?? 0);
    return answerOf(yield* this.onVm(args, kvm.KVM_SIGNAL_MSI, bytesOf(msi)));
  }

  private *createDevice(args: X86Args<"createDevice">): Step<X86Answer> {
    const { kvm_create_device } = kvm;
    const device = view(kvm_create_device.size);
    const flags = args.flags === "TEST" ? kvm.KVM_CREATE_DEVICE_TEST : (args.flags ?? 0);
    kvm_create_device.type.set(device, numbered(DEVICE_TYPE, args.type));
    kvm_create_device.flags.set(device, flags >>> 0);
    const result = yield* this.onVm(args, kvm.KVM_CREATE_DEVICE, bytesOf(device));
    if (result < 0) return answerOf(result);
    if (flags & kvm.KVM_CREATE_DEVICE_TEST) return { ret: result, deviceFd: 0 };
    this.descriptors.adopt(kvm_create_device.fd.get(device), args.as ?? "device");
    return { ret: result, deviceFd: "fd" };
  }

  private *attribute(request: number, args: Attribute): Step<X86Answer> {
    const { kvm_device_attr } = kvm;
    const attribute = view(kvm_device_attr.size);
    kvm_device_attr.flags.set(attribute, args.flags ?? 0);
    kvm_device_attr.group.set(attribute, args.group);
    kvm_device_attr.attr.setBig(attribute, BigInt(args.attr));
    kvm_device_attr.addr.setNumber(attribute, this.pointer(args.addr));
    return answerOf(yield* this.descriptors.ioctl(args.dev, request, bytesOf(attribute)));
  }

  private pointer(to: Attribute["addr"]): number {
    if (to === undefined || typeof to === "number") return to ?? 0;
    const memory = view(BUFFER_BYTES);
    if (typeof to === "object") memory.setInt32(0, this.descriptors.fd(to.fd), true);
    return this.descriptors.system.place(bytesOf(memory));
  }
}

function irqLevel(args: X86Args<"irqLine">): DataView {
  const level = view(kvm.kvm_irq_level.size);
  kvm.kvm_irq_level.irq.set(level, args.gsi >>> 0);
  kvm.kvm_irq_level.level.set(level, args.level >>> 0);
  return level;
}

function routing(args: X86Args<"setGsiRouting">): DataView {
  const entries = Array.isArray(args.entries) ? args.entries : repeated(args.entries);
  const nr = args.nr ?? entries.length;
  const { kvm_irq_routing, kvm_irq_routing_entry } = kvm;
  // The kernel refuses more entries before it looks at any.
  const room = Math.max(entries.length, Math.min(nr, kvm.KVM_MAX_IRQ_ROUTES));
  const table = view(kvm_irq_routing.size + room * kvm_irq_routing_entry.size);
  kvm_irq_routing.nr.set(table, nr);
  kvm_irq_routing.flags.set(table, args.flags ?? 0);
  for (const [i, entry] of entries.entries()) writeEntry(table, kvm_irq_routing.size + i * kvm_irq_routing_entry.size, entry);
  return table;
}

const repeated = ({ count, firstGsi, template }: { readonly count: number; readonly firstGsi: number; readonly template: RoutingEntryArgs }): RoutingEntryArgs[] =>
  Array.from({ length: count }, (_, i) => ({ ...template, gsi: firstGsi + i }));

function writeEntry(table: DataView, at: number, entry: RoutingEntryArgs): void {
  const { kvm_irq_routing_entry: record } = kvm;
  record.gsi.set(table, (entry.gsi ?? 0) >>> 0, at);
  record.type.set(table, numbered(ROUTE_TYPE, entry.type), at);
  record.flags.set(table, (entry.flags ?? 0) >>> 0, at);
  record.pad.set(table, (entry.pad ?? 0) >>> 0, at);
  if (entry.irqchip !== undefined) record.irqchip.irqchip.set(table, chipId(entry.irqchip), at);
  if (entry.pin !== undefined) record.irqchip.pin.set(table, entry.pin >>> 0, at);
  if (entry.addressLo !== undefined) record.msi.address_lo.set(table, entry.addressLo, at);
  if (entry.addressHi !== undefined) record.msi.address_hi.set(table, entry.addressHi, at);
  if (entry.data !== undefined) record.msi.data.set(table, entry.data, at);
  if (entry.devid !== undefined) record.msi.devid.set(table, entry.devid, at);
}
