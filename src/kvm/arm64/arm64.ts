import type { ArmIrqchip, KvmDeviceOps } from "../../irqchip/contract.js";
import { createVgic, prepareVgic, type Vgic, type VgicOptions } from "../../irqchip/gic/vgic.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { armIrqLineId, armIrqLineType, armIrqLineVcpu } from "../../uapi/arm.js";
import { KVM_ARM_IRQ_CPU_FIQ, KVM_ARM_IRQ_TYPE_CPU, KVM_ARM_IRQ_TYPE_PPI, KVM_ARM_IRQ_TYPE_SPI } from "../../uapi/arm.js";
import { KVM_VM_TYPE_ARM_IPA_SIZE_MASK } from "../../uapi/arm.js";
import { EINVAL, ENODEV, ENXIO, EWOULDBLOCK } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import type { Arch, BypassHooks, IrqForwarding, IrqLine, VmArch, VmIoctl } from "../arch.js";
import { GuestStop, SpiForwarding } from "./bypass.js";
import { DirectInjection } from "./direct.js";
import { createIrqchip, noVmAttr, setDeviceAddr, VGIC_ITS, VGIC_V2, VGIC_V3 } from "./irqchip.js";
import { ARM64_VCPUS, preferredTarget } from "./create-vcpu.js";
import type { KvmDeviceType } from "../device.js";
import type { Route } from "../route.js";
import type { Vm } from "../vm.js";

/** SPIs begin here: GSI and pin 0 are INTID 32. */
export const FIRST_SPI = 32;
const FIRST_PPI = 16;
/** One chip; pins up to the last INTID that can be an SPI (kvm-irq-core.md 4.1). */
const CHIPS = 1;
const PINS = 1020 - FIRST_SPI;
const DEFAULT_IPA_BITS = 40;
const MIN_IPA_BITS = 32;
const MAX_VCPUS_V2 = 8;
const MAX_VCPUS_V3 = 512;
const VCPU_MMAP_SIZE = 2 * 4096;

export interface Arm64Options {
  /** Physical CPUs online: what KVM_CAP_NR_VCPUS recommends. */
  cpus: number;
  /** GIC version of the host; null when it has none that can serve guests. */
  gicVersion: 2 | 3 | null;
  /** Guest physical address bits the host can offer. Default 48. */
  maxIpaBits?: number;
  /** Whose rules the interrupt controllers of its VMs follow where kernels differ (gic.md D0.5, D7). Default: the newest kernel's. */
  vgic?: VgicOptions;
}

/** The arm64 rules of KVM. */
export class Arm64 implements Arch {
  readonly name = "arm64";
  readonly vcpuMmapSize = VCPU_MMAP_SIZE;
  readonly maxIpaBits: number;
  readonly maxVcpus: number;
  readonly vgic: VgicOptions;

  constructor(private readonly options: Arm64Options) {
    this.maxIpaBits = options.maxIpaBits ?? 48;
    this.vgic = options.vgic ?? {};
    this.maxVcpus = options.gicVersion === 3 ? MAX_VCPUS_V3 : MAX_VCPUS_V2;
  }

  ipaBits(type: number): number {
    if (type < 0 || type > KVM_VM_TYPE_ARM_IPA_SIZE_MASK) return -EINVAL;
    const bits = type === 0 ? DEFAULT_IPA_BITS : type;
    return bits < MIN_IPA_BITS || bits > this.maxIpaBits ? -EINVAL : bits;
  }

  capability(capability: number): number {
    switch (capability) {
      case K.KVM_CAP_IRQCHIP:
        return this.options.gicVersion === null ? 0 : 1;
      case K.KVM_CAP_NR_VCPUS:
        return Math.min(this.options.cpus, this.maxVcpus);
      case K.KVM_CAP_MAX_VCPUS:
      case K.KVM_CAP_MAX_VCPU_ID:
        return this.maxVcpus;
      case K.KVM_CAP_NR_MEMSLOTS:
        return 32767;
      case K.KVM_CAP_MP_STATE:
      case K.KVM_CAP_ONE_REG:
      case K.KVM_CAP_ARM_PSCI_0_2:
      case K.KVM_CAP_ARM_USER_IRQ:
      case K.KVM_CAP_ARM_IRQ_LINE_LAYOUT_2:
      case K.KVM_CAP_ARM_NISV_TO_USER:
        return 1;
      case K.KVM_CAP_ARM_VM_IPA_SIZE:
        return this.maxIpaBits;
      case K.KVM_CAP_MSI_DEVID:
        return -EINVAL; // a question about a VM
      default:
        return 0;
    }
  }

  createVm(vm: Vm): Arm64Vm {
    return new Arm64Vm(vm, this);
  }
}

/** An arm64 VM: its interrupt controller, and what the core asks about it. */
export class Arm64Vm implements VmArch {
  readonly name = "arm64";
  readonly chips = CHIPS;
  readonly pinsPerChip = PINS;
  readonly unknownIoctl = -EINVAL;
  readonly ioctls: ReadonlyMap<number, VmIoctl> = ARM64_VM_IOCTLS;
  readonly vcpuFactory = ARM64_VCPUS;
  readonly bypass: BypassHooks;
  readonly forwarding: IrqForwarding;
  armIrqchip: ArmIrqchip | null = null;
  /** The GICv3 of an ITS that was made first. */
  private prepared: Vgic | null = null;

  constructor(
    readonly vm: Vm,
    private readonly arch: Arm64,
  ) {
    this.bypass = vm.directIts === null ? new GuestStop(vm) : new DirectInjection(vm, arch.vgic.compat === "v5-2017" || vm.hazards.rulesSince2017);
    this.forwarding = new SpiForwarding(this);
  }

  get maxVcpus(): number {
    return this.armIrqchip?.model === 2 ? Math.min(MAX_VCPUS_V2, this.arch.maxVcpus) : this.arch.maxVcpus;
  }

  capability(capability: number): number {
    if (capability === K.KVM_CAP_MAX_VCPUS) return this.maxVcpus;
    if (capability === K.KVM_CAP_MSI_DEVID) return (this.armIrqchip ?? this.prepared)?.hasIts === true ? 1 : 0;
    return this.arch.capability(capability);
  }

  irqchipReady(): boolean {
    return this.armIrqchip !== null && this.armIrqchip.isInitialized;
  }

  *allowsIrqfd(): Step<number> {
    return 0;
  }

  allowsRouting(): boolean {
    return true;
  }

  hasIrqchip(): boolean {
    return this.armIrqchip !== null;
  }

  /** Pins are not compared with the number of SPIs of the VM (kvm-irq-core.md 4.4). */
  checkRoute(route: Route): number {
    if (route.type === K.KVM_IRQ_ROUTING_IRQCHIP) return route.chip >= CHIPS || route.pin >= PINS ? -EINVAL : 0;
    return route.type === K.KVM_IRQ_ROUTING_MSI ? 0 : -EINVAL;
  }

  *setRoute(route: Route, _source: number, level: number, _lineStatus: boolean): Step<number> {
    const { armIrqchip } = this;
    if (route.type === K.KVM_IRQ_ROUTING_MSI) {
      if (level === 0) return -1;
      return armIrqchip === null ? -ENODEV : yield* armIrqchip.injectMsi(route);
    }
    if (armIrqchip === null || route.pin >= armIrqchip.spiCount) return -EINVAL;
    return yield* armIrqchip.inject(-1, route.pin + FIRST_SPI, level !== 0, null);
  }

  *setRouteAtomic(route: Route): Step<number> {
    const { armIrqchip } = this;
    if (armIrqchip === null || !armIrqchip.isInitialized) return -EWOULDBLOCK;
    if (route.type === K.KVM_IRQ_ROUTING_MSI) return yield* armIrqchip.injectMsiAtomic(route);
    return route.type === K.KVM_IRQ_ROUTING_IRQCHIP ? yield* this.setRoute(route, 0, 1, false) : -EWOULDBLOCK;
  }

  *routesChanged(): Step<void> {}

  *ackNotifiersChanged(): Step<void> {}

  /** kvm-irq-core.md 4.7: routing is not used, `status` is never filled. */
  *irqLine(line: IrqLine, _wantsStatus: boolean): Step<number> {
    const type = armIrqLineType(line.irq);
    const id = armIrqLineId(line.irq);
    const vcpuId = armIrqLineVcpu(line.irq);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.kvm_irq_line, type, vcpuId, id, line.level);
    const { armIrqchip } = this;
    const vcpu = this.vm.vcpus.find((other) => other.id === vcpuId);
    switch (type) {
      case KVM_ARM_IRQ_TYPE_CPU:
        if (armIrqchip !== null) return -ENXIO;
        if (vcpu === undefined || id > KVM_ARM_IRQ_CPU_FIQ) return -EINVAL;
        return yield* vcpu.interruptLine(id === KVM_ARM_IRQ_CPU_FIQ, line.level !== 0);
      case KVM_ARM_IRQ_TYPE_PPI:
        if (armIrqchip === null) return -ENXIO;
        if (vcpu === undefined || id < FIRST_PPI || id >= FIRST_SPI) return -EINVAL;
        return yield* armIrqchip.inject(vcpu.index, id, line.level !== 0, null);
      case KVM_ARM_IRQ_TYPE_SPI:
        if (armIrqchip === null) return -ENXIO;
        if (id < FIRST_SPI) return -EINVAL;
        return yield* armIrqchip.inject(-1, id, line.level !== 0, null);
      default:
        return -EINVAL;
    }
  }

  enableCapability(capability: number): number {
    if (capability !== K.KVM_CAP_ARM_NISV_TO_USER) return -EINVAL;
    this.vm.nisvToUser = true;
    return 0;
  }

  /** A model that the host cannot serve has no implementation registered. */
  deviceType(type: number): KvmDeviceType | null {
    if (type === K.KVM_DEV_TYPE_ARM_VGIC_V2) return this.vm.hostGic?.version === 2 ? VGIC_V2 : null;
    if (type === K.KVM_DEV_TYPE_ARM_VGIC_V3) return this.vm.hostGic?.version === 3 ? VGIC_V3 : null;
    if (type === K.KVM_DEV_TYPE_ARM_VGIC_ITS) return this.vm.hostGic?.version === 3 ? VGIC_ITS : null;
    return null;
  }

  /** kvm.lock held: the VM's interrupt controller, or -EEXIST, -ENODEV, -EBUSY, -E2BIG. */
  *createIrqchip(model: 2 | 3): Step<ArmIrqchip | number> {
    const vgic = yield* createVgic(this.vm, model, this.armIrqchip, this.arch.vgic, this.prepared);
    if (typeof vgic !== "number") this.armIrqchip = vgic;
    return vgic;
  }

  /** kvm.lock held: an ITS of the VM's GICv3, which need not be there yet; -ENODEV where the host has none. */
  *createIts(): Step<KvmDeviceOps | number> {
    const { hostGic } = this.vm;
    if (this.armIrqchip !== null) return yield* this.armIrqchip.createIts();
    if (hostGic === null || hostGic.version !== 3) return -ENODEV;
    this.prepared ??= prepareVgic(this.vm, hostGic, this.arch.vgic);
    return yield* this.prepared.createIts();
  }

  *destroy(): Step<void> {
    if (this.armIrqchip?.destroy !== undefined) yield* this.armIrqchip.destroy();
  }
}

/** Requests of arm64 VM descriptors alone. */
const ARM64_VM_IOCTLS: ReadonlyMap<number, VmIoctl> = new Map<number, VmIoctl>([
  [K.KVM_CREATE_IRQCHIP, createIrqchip],
  [K.KVM_ARM_PREFERRED_TARGET, preferredTarget],
  [K.KVM_ARM_SET_DEVICE_ADDR, setDeviceAddr],
  [K.KVM_SET_DEVICE_ATTR, noVmAttr],
  [K.KVM_HAS_DEVICE_ATTR, noVmAttr],
]);
