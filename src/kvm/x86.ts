import type { ArmIrqchip } from "../irqchip/contract.js";
import type { Step } from "../sim/step.js";
import { EINVAL, ENOTTY, ENXIO, EWOULDBLOCK } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC, KVM_NR_IRQCHIPS } from "../uapi/x86.js";
import type { Arch, BypassHooks, IrqForwarding, IrqLine, VmArch, VmIoctl } from "./arch.js";
import type { KvmDeviceType } from "./device.js";
import type { Route } from "./route.js";
import { setIrq } from "./routing.js";
import type { Vm } from "./vm.js";

const PINS_OF_ONE_PIC = 8;
const IPA_BITS = 46;
const VCPU_MMAP_SIZE = 3 * 4096;

/** Which interrupt controllers of an x86 VM are in the kernel: none, PIC and IOAPIC too, or the LAPICs alone. */
export type IrqchipMode = "none" | "full" | "split";

/** The x86 rules of KVM, for VMs without in-kernel controllers: they refuse what needs one. */
export class X86 implements Arch {
  readonly name = "x86";
  readonly vcpuMmapSize = VCPU_MMAP_SIZE;

  ipaBits(type: number): number {
    return type === 0 ? IPA_BITS : -EINVAL;
  }

  capability(capability: number): number {
    if (capability === K.KVM_CAP_NR_MEMSLOTS) return 32764;
    return capability === K.KVM_CAP_MP_STATE ? 1 : 0;
  }

  createVm(vm: Vm): X86Vm {
    return new X86Vm(vm, this);
  }
}

/** An x86 VM. */
export class X86Vm implements VmArch {
  readonly name = "x86";
  readonly chips = KVM_NR_IRQCHIPS;
  readonly pinsPerChip = KVM_IOAPIC_NUM_PINS;
  readonly unknownIoctl = -ENOTTY;
  readonly ioctls: ReadonlyMap<number, VmIoctl> = new Map<number, VmIoctl>();
  readonly bypass: BypassHooks | null = null;
  readonly forwarding: IrqForwarding | null = null;
  readonly armIrqchip: ArmIrqchip | null = null;
  readonly maxVcpus = 1024;
  irqchipMode: IrqchipMode = "none";
  /** KVM_CAP_X2APIC_API's 32-bit address format: the low byte of address_hi must then be 0. */
  x2apicFormat = false;

  constructor(
    readonly vm: Vm,
    private readonly arch: X86,
  ) {}

  capability(capability: number): number {
    return this.arch.capability(capability);
  }

  enableCapability(): number {
    return -EINVAL;
  }

  irqchipReady(): boolean {
    return true;
  }

  /** Resampling needs the acknowledge of the full irqchip (kvm-irq-core.md 2.3, AS4). */
  allowsIrqfd(isResampling: boolean): number {
    if (this.irqchipMode === "full") return 0;
    return this.irqchipMode === "split" && !isResampling ? 0 : -EINVAL;
  }

  allowsRouting(): boolean {
    return this.hasIrqchip();
  }

  hasIrqchip(): boolean {
    return this.irqchipMode !== "none";
  }

  /** kvm-irq-core.md 4.4; a slave PIC's pins are kept as 8 to 15. HV_SINT and XEN_EVTCHN are not built in. */
  checkRoute(route: Route): number {
    if (route.type === K.KVM_IRQ_ROUTING_MSI) return this.x2apicFormat && (route.addressHi & 0xff) !== 0 ? -EINVAL : 0;
    if (route.type !== K.KVM_IRQ_ROUTING_IRQCHIP || this.irqchipMode === "split") return -EINVAL;
    if (route.chip > KVM_IRQCHIP_IOAPIC) return -EINVAL;
    const pins = route.chip === KVM_IRQCHIP_IOAPIC ? KVM_IOAPIC_NUM_PINS : PINS_OF_ONE_PIC;
    if (route.pin >= pins) return -EINVAL;
    if (route.chip === 1) route.pin += PINS_OF_ONE_PIC;
    return 0;
  }

  *setRoute(_route: Route, _source: number, _level: number, _lineStatus: boolean): Step<number> {
    throw new Error("an x86 VM without controllers has no routes");
  }

  *setRouteAtomic(_route: Route): Step<number> {
    return -EWOULDBLOCK;
  }

  *routesChanged(): Step<void> {}

  *ackNotifiersChanged(): Step<void> {}

  *irqLine(line: IrqLine, wantsStatus: boolean): Step<number> {
    if (!this.hasIrqchip()) return -ENXIO;
    const status = yield* setIrq(this.vm, 0, line.irq, line.level, wantsStatus);
    line.irq = status >>> 0;
    return 0;
  }

  deviceType(_type: number): KvmDeviceType | null {
    return null;
  }

  *destroy(): Step<void> {}
}
