import { MPIC_20, MPIC_42, MPIC_CPUS, MPIC_SOURCES, type MpicModel, type MpicProfile } from "../../irqchip/mpic/constants.js";
import type { KvmDeviceOps } from "../../irqchip/contract.js";
import type { MpicDevice } from "../../irqchip/mpic/device.js";
import type { SourceController } from "../../irqchip/sources.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EINVAL, ENXIO, EWOULDBLOCK } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { KVM_CAP_IRQCHIP_ARGS, KVM_IRQCHIP_TYPE_MPIC_20, KVM_IRQCHIP_TYPE_MPIC_42 } from "../../uapi/powerpc.js";
import type { IrqLine, VmIoctl } from "../arch.js";
import type { KvmDeviceType } from "../device.js";
import { createMpic, joinMpic } from "./mpic.js";
import type { PpcVcpu } from "./vcpu.js";
import { Ppc, PpcVm } from "./powerpc.js";
import type { Route } from "../route.js";
import { setIrq } from "../routing.js";
import { RoutingTable } from "../routing-table.js";
import type { Vm } from "../vm.js";

/** The e500 rules of KVM (mpic.md): processors of Freescale's, whose controller is the MPIC. */
export class PpcE500 extends Ppc {
  override readonly withheld: ReadonlySet<number> = new Set();

  override ipaBits(type: number): number {
    return type === 0 ? super.ipaBits(type) : -EINVAL;
  }

  override capability(capability: number): number {
    switch (capability) {
      case K.KVM_CAP_PPC_RTAS:
      case K.KVM_CAP_IRQ_XICS:
        return 0;
      case K.KVM_CAP_IRQ_MPIC:
      case K.KVM_CAP_PPC_EPR:
      case KVM_CAP_IRQCHIP_ARGS:
        return 1;
      default:
        return super.capability(capability);
    }
  }

  override createVm(vm: Vm): E500Vm {
    return new E500Vm(vm, this);
  }
}

/** A VM with an MPIC. */
export class E500Vm extends PpcVm {
  override readonly isSpapr = false;
  override readonly pinsPerChip: number = MPIC_SOURCES;
  override readonly ioctls: ReadonlyMap<number, VmIoctl> = new Map();
  device: MpicDevice | null = null;

  override get mpicDevice(): MpicDevice | null {
    return this.device;
  }

  override get hasProxy(): boolean {
    return true;
  }

  get profile(): MpicProfile {
    return this.arch.options.mpicProfile ?? "strict";
  }

  override get controllerCapability(): number {
    return K.KVM_CAP_IRQ_MPIC;
  }

  override get sourceController(): SourceController | null {
    return this.device;
  }

  override createRouting(): RoutingTable {
    return RoutingTable.empty(this.vm);
  }

  override hasIrqchip(): boolean {
    return this.device !== null;
  }

  override allowsRouting(): boolean {
    return this.hasIrqchip();
  }

  override checkRoute(route: Route): number {
    if (route.type === K.KVM_IRQ_ROUTING_MSI) return 0;
    return route.type === K.KVM_IRQ_ROUTING_IRQCHIP && route.chip === 0 && route.pin < MPIC_SOURCES ? 0 : -EINVAL;
  }

  /** How many CPUs it reached is never known (6). */
  override *setRoute(route: Route, _source: number, level: number): Step<number> {
    const { device } = this;
    if (device === null) return -ENXIO;
    if (route.type === K.KVM_IRQ_ROUTING_MSI) yield* device.message(route.data);
    else yield* device.drive(route.pin, level !== 0);
    return 0;
  }

  override *setRouteAtomic(): Step<number> {
    return -EWOULDBLOCK;
  }

  override *irqLine(line: IrqLine, wantsStatus: boolean): Step<number> {
    if (!this.hasIrqchip()) return -ENXIO;
    const status = yield* setIrq(this.vm, 0, line.irq, line.level, wantsStatus);
    line.irq = status >>> 0;
    return 0;
  }

  override deviceType(type: number): KvmDeviceType | null {
    return MPIC_TYPES[type] ?? null;
  }

  /** The calls of 2013 (xics.md 4.1): the MPIC's types are virq's own. */
  override *createIrqchipOfType(type: number, param: number): Step<number> {
    const model = type === KVM_IRQCHIP_TYPE_MPIC_20 ? MPIC_20 : type === KVM_IRQCHIP_TYPE_MPIC_42 ? MPIC_42 : null;
    if (model === null || param !== 0) return -EINVAL;
    const { vm } = this;
    yield* vm.lock.lock();
    const result = yield* this.createMpicForAll(model);
    yield* vm.lock.unlock();
    return result;
  }

  /** kvm.lock held. All that can refuse it is looked at first: nothing is left behind. */
  private *createMpicForAll(model: MpicModel): Step<number> {
    if (this.hasIrqchip()) return -EEXIST;
    if (this.vcpus.some(({ id }) => !this.canConnect(id))) return -EINVAL;
    const device = yield* createMpic(this, model);
    if (typeof device === "number") return device;
    this.connectsAll = true;
    for (let i = 0; i < this.vcpus.length; i++) yield* this.connectCreated(this.vcpus[i]);
    return 0;
  }

  override canConnect(id: number): boolean {
    return id < MPIC_CPUS;
  }

  override *connectCreated(vcpu: PpcVcpu): Step<number> {
    return this.device === null ? 0 : yield* joinMpic(this.device, vcpu, vcpu.id);
  }

  override *destroy(): Step<void> {}
}

/** The VM of this architecture; asked only where a device of its own leads. */
function archOfE500(vm: Vm): E500Vm {
  const { arch } = vm;
  if (!(arch instanceof E500Vm)) throw new Error("not an e500 VM");
  return arch;
}

/** KVM_DEV_TYPE_FSL_MPIC_20, _42 (mpic.md 3). */
class MpicType implements KvmDeviceType {
  readonly name: string;

  constructor(private readonly model: MpicModel) {
    this.name = model.name;
  }

  *create(vm: Vm): Step<KvmDeviceOps | number> {
    return yield* createMpic(archOfE500(vm), this.model);
  }
}
const MPIC_TYPES: Readonly<Record<number, KvmDeviceType>> = { 1: new MpicType(MPIC_20), 2: new MpicType(MPIC_42) };
