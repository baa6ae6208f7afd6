import { KVM_IRQCHIP_TYPE_XICS, KVM_INTERRUPT_UNSET, KVM_CAP_IRQCHIP_ARGS } from "../../uapi/powerpc.js";
import type { ArmIrqchip } from "../../irqchip/contract.js";
import type { MpicProfile } from "../../irqchip/mpic/constants.js";
import type { MpicDevice } from "../../irqchip/mpic/device.js";
import type { SourceController } from "../../irqchip/sources.js";
import type { XicsDevice } from "../../irqchip/xics/device.js";
import { Rtas } from "../../irqchip/xics/rtas.js";
import type { Xics } from "../../irqchip/xics/xics.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOTTY, ENXIO } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import type { Arch, BypassHooks, IrqForwarding, IrqLine, VmArch, VmIoctl } from "../arch.js";
import type { KvmDeviceType } from "../device.js";
import { IdentityRouting } from "../identity-routing.js";
import { PpcVcpus } from "./create-vcpu.js";
import type { PpcVcpu } from "./vcpu.js";
import { createXics, join, XICS } from "./xics.js";
import type { Route } from "../route.js";
import type { RoutingTable } from "../routing-table.js";
import type { Vm } from "../vm.js";

const IPA_BITS = 46;
export const MAX_PPC_VCPUS = 2048;
const MEMSLOTS = 512;

/** What distinguishes POWER hosts. */
export interface PpcOptions {
  /** HV's real mode: hypercalls of the interrupt controller are served without an exit where they can be (xics.md 14). Default false. */
  readonly realMode?: boolean;
  /** Refuses by EINVAL what KVM takes and what no VMM can mean: an irqfd of a level source that does not resample (xics.md R21). Default false. */
  readonly strict?: boolean;
  /** Of an e500's controller (mpic.md 12). Default "strict", as KVM has it. */
  readonly mpicProfile?: MpicProfile;
}

const WITHHELD: ReadonlySet<number> = new Set([K.KVM_CAP_IRQ_ROUTING, K.KVM_CAP_SIGNAL_MSI]);

/** The POWER (book3s) rules of KVM (xics.md). */
export class Ppc implements Arch {
  readonly name = "powerpc";
  readonly vcpuMmapSize = PPC_VCPU_MMAP_SIZE;
  /** Routes cannot be set, and there is no such message. */
  readonly withheld: ReadonlySet<number> = WITHHELD;

  /** @param cpus physical CPUs online: what KVM_CAP_NR_VCPUS recommends */
  constructor(
    readonly cpus = 2,
    readonly options: PpcOptions = {},
  ) {}

  ipaBits(type: number): number {
    return type <= 2 ? IPA_BITS : -EINVAL;
  }

  capability(capability: number): number {
    switch (capability) {
      case K.KVM_CAP_NR_VCPUS:
        return this.cpus;
      case K.KVM_CAP_MAX_VCPUS:
        return MAX_PPC_VCPUS;
      case K.KVM_CAP_MAX_VCPU_ID:
        return MAX_PPC_VCPU_IDS;
      case K.KVM_CAP_NR_MEMSLOTS:
        return MEMSLOTS;
      case K.KVM_CAP_ONE_REG:
      case K.KVM_CAP_ENABLE_CAP:
      case K.KVM_CAP_PPC_UNSET_IRQ:
      case K.KVM_CAP_PPC_IRQ_LEVEL:
      case K.KVM_CAP_PPC_RTAS:
      case K.KVM_CAP_IRQ_XICS:
      case KVM_CAP_IRQCHIP_ARGS:
        return 1;
      default:
        return 0;
    }
  }

  createVm(vm: Vm): PpcVm {
    return new PpcVm(vm, this);
  }
}

/** What KVM_GET_VCPU_MMAP_SIZE answers: the run page. */
export const PPC_VCPU_MMAP_SIZE = 4096;
/** KVM_MAX_VCPU_IDS: eight threads' worth of numbers for each core that could be. */
export const MAX_PPC_VCPU_IDS = MAX_PPC_VCPUS * 8;

/** A VM on POWER: its controller, its RTAS tokens, and what the core asks about it. */
export class PpcVm implements VmArch {
  readonly name = "powerpc";
  readonly chips: number = 1;
  readonly pinsPerChip: number = 0;
  readonly unknownIoctl = -ENOTTY;
  readonly withheld: ReadonlySet<number>;
  readonly ioctls: ReadonlyMap<number, VmIoctl> = PPC_VM_IOCTLS;
  readonly bypass: BypassHooks | null = null;
  readonly forwarding: IrqForwarding | null = null;
  /** Of machines that PAPR describes. */
  readonly isSpapr: boolean = true;
  readonly armIrqchip: ArmIrqchip | null = null;
  readonly maxVcpus = MAX_PPC_VCPUS;
  readonly vcpuFactory = new PpcVcpus(this);
  /** Online vCPUs by index. */
  readonly vcpus: PpcVcpu[] = [];
  readonly rtas: Rtas;
  xicsDevice: XicsDevice | null = null;
  /** KVM_CREATE_IRQCHIP_ARGS made it: later vCPUs are connected at their creation. */
  connectsAll = false;

  constructor(
    readonly vm: Vm,
    protected readonly arch: Ppc,
  ) {
    this.withheld = arch.withheld;
    this.rtas = new Rtas(vm.sim);
  }

  get xics(): Xics | null {
    return this.xicsDevice === null ? null : this.xicsDevice.xics;
  }

  get hasRealMode(): boolean {
    return this.arch.options.realMode ?? false;
  }

  private get isStrict(): boolean {
    return this.arch.options.strict ?? false;
  }

  /** What connects a vCPU to its controller. */
  get controllerCapability(): number {
    return K.KVM_CAP_IRQ_XICS;
  }

  capability(capability: number): number {
    return this.arch.capability(capability);
  }

  enableCapability(): number {
    return -EINVAL;
  }

  /** KVM_CAP_PPC_EPR: can user space give the vectors of an external proxy? */
  get hasProxy(): boolean {
    return false;
  }

  /** What tells an MPIC's vCPU its number; null without one. */
  get mpicDevice(): MpicDevice | null {
    return null;
  }

  hasIrqchip(): boolean {
    return this.xicsDevice !== null;
  }

  irqchipReady(): boolean {
    return this.hasIrqchip();
  }

  /** In strict mode an irqfd of a level must be a resampling one (R21). */
  *allowsIrqfd(isResampling: boolean, gsi: number): Step<number> {
    const { xics } = this;
    if (isResampling || xics === null || !this.isStrict) return 0;
    const isLevel = yield* xics.isLevel(gsi);
    return isLevel ? -EINVAL : 0;
  }

  allowsRouting(): boolean {
    return false;
  }

  createRouting(): RoutingTable {
    return new IdentityRouting(this.vm);
  }

  checkRoute(_route: Route): number {
    return -EINVAL;
  }

  *setRoute(route: Route, _source: number, level: number): Step<number> {
    yield reads(this, "xicsDevice"); // nothing keeps the device: its release may come behind this (R24)
    const { xics } = this;
    return xics === null ? -ENXIO : yield* xics.input(route.pin, isHigh(level));
  }

  /** An irqfd raises in its wake-up, always (13.1). */
  *setRouteAtomic(route: Route): Step<number> {
    return yield* this.setRoute(route, 0, 1);
  }

  *routesChanged(): Step<void> {}
  *ackNotifiersChanged(): Step<void> {}

  /** 5.6: always 0 where there is a controller; what became of it is the status, and 0 of everything that exists. */
  *irqLine(line: IrqLine, _wantsStatus: boolean): Step<number> {
    yield reads(this, "xicsDevice");
    const { xics } = this;
    if (xics === null) return -ENXIO;
    const status = yield* xics.input(line.irq, isHigh(line.level));
    line.irq = status >>> 0;
    return 0;
  }

  deviceType(type: number): KvmDeviceType | null {
    return type === K.KVM_DEV_TYPE_XICS ? XICS : null;
  }

  get sourceController(): SourceController | null {
    return this.xicsDevice;
  }

  /** The proposal's way to a controller (4.1): every vCPU there is, and every later one, is connected under its id. */
  *createIrqchipOfType(type: number, param: number): Step<number> {
    if (type !== KVM_IRQCHIP_TYPE_XICS || param !== 0) return -EINVAL;
    const { vm } = this;
    yield* vm.lock.lock();
    const result = yield* this.createForAll();
    yield* vm.lock.unlock();
    return result;
  }

  /** kvm.lock held; a vCPU's id is a free number of a fresh controller. */
  private *createForAll(): Step<number> {
    const device = createXics(this);
    if (typeof device === "number") return device;
    this.connectsAll = true;
    for (let i = 0; i < this.vcpus.length; i++) yield* this.connectCreated(this.vcpus[i]);
    return 0;
  }

  /** May a vCPU of this id be connected to the controller that the proposal makes? */
  canConnect(_id: number): boolean {
    return true;
  }

  /** A vCPU of a VM whose controller the proposal made: 0, or a negative errno. */
  *connectCreated(vcpu: PpcVcpu): Step<number> {
    return this.xics === null ? 0 : yield* join(this.xics, vcpu, vcpu.id);
  }

  *destroy(): Step<void> {}
}

/** KVM_IRQ_LINE's levels: UNSET and 0 lower, everything else raises (5.6). */
const isHigh = (level: number): boolean => level !== 0 && level !== KVM_INTERRUPT_UNSET;

/** The VM of this architecture; asked only where a device or request of its own leads. */
export function archOfPpc(vm: Vm): PpcVm {
  const { arch } = vm;
  if (!(arch instanceof PpcVm)) throw new Error("not a VM on POWER");
  return arch;
}

const TOKEN = new UserArgument(K.kvm_rtas_token_args.size);

/** KVM_PPC_RTAS_DEFINE_TOKEN (5.7). */
function* defineToken(vm: Vm, process: Process, address: number): Step<number> {
  if (!TOKEN.copyIn(process, address)) return -EFAULT;
  const bytes = K.kvm_rtas_token_args.name_.slice(TOKEN.view);
  const end = bytes.indexOf(0);
  const name = String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
  const { token } = K.kvm_rtas_token_args;
  return yield* archOfPpc(vm).rtas.define(name, token.lo(TOKEN.view), token.hi(TOKEN.view));
}

/** Not built into a kernel whose routes are the identity. */
function* notBuiltIn(): Step<number> {
  return -ENOTTY;
}

/** Requests of VM descriptors on POWER alone. */
const PPC_VM_IOCTLS: ReadonlyMap<number, VmIoctl> = new Map<number, VmIoctl>([
  [K.KVM_PPC_RTAS_DEFINE_TOKEN, defineToken],
  [K.KVM_SET_GSI_ROUTING, notBuiltIn],
  [K.KVM_SIGNAL_MSI, notBuiltIn],
]);
