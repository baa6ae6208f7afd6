import type { PhysicalGic } from "../../arch/gic/contract.js";
import type { Process } from "../../host/process.js";
import { Icc } from "../../arch/gic/icc.js";
import { EBUSY, E2BIG, EEXIST, EINVAL, ENODEV } from "../../uapi/errno.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { ArmIrqchip, ArmIrqchipVm, ArmMessage, IrqchipVcpu, KvmDeviceOps, MappedIrqOps } from "../contract.js";
import { createIts } from "./its/its.js";
import { injectMsi, injectMsiAtomic } from "./its/msi.js";
import { setForwarding, unsetForwarding } from "./v4/forward.js";
import { beginWfi, endWfi } from "./v4/run.js";
import { getAttribute, hasAttribute, setAttribute } from "./vgic-attr.js";
import { VgicCpu } from "./vgic-cpu.js";
import { isPendingFor, loadCpuInterface, putCpuInterface } from "./vgic-cpuif.js";
import { deactivateTrapped } from "./vgic-deactivate.js";
import { type VgicCompat, VgicDist } from "./vgic-dist.js";
import { flushHwstate } from "./vgic-flush.js";
import { destroyVgic, ensureInitialized, initVgic, mapResources } from "./vgic-init.js";
import { isMappedActive, mapPhysIrq, resetMappedIrq, setOwner, unmapPhysIrq } from "./vgic-mapped.js";
import { pruneApList } from "./vgic-prune.js";
import { injectIrq } from "./vgic-queue.js";
import { dispatchSgiV3 } from "./vgic-sgi.js";
import { syncHwstate } from "./vgic-sync.js";
import { VgicV2 } from "./vgic-v2.js";
import { VgicV3 } from "./vgic-v3.js";

export const VGIC_V2_MAX_CPUS = 8;
export const VGIC_V3_MAX_CPUS = 512;

export interface VgicOptions {
  /** Default newest. */
  readonly compat?: VgicCompat;
}

/** KVM's virtual GICv2 or GICv3 (gic-v3.md). */
export class Vgic implements ArmIrqchip {
  readonly kind = "arm";
  readonly name: string;
  readonly dist: VgicDist;

  constructor(
    readonly vm: ArmIrqchipVm,
    dist: VgicDist,
  ) {
    this.dist = dist;
    this.name = dist.model === 2 ? "kvm-arm-vgic" : "kvm-arm-vgic-v3";
  }

  get model(): 2 | 3 {
    return this.dist.model;
  }

  get isInitialized(): boolean {
    return this.dist.initialized;
  }

  get spiCount(): number {
    return this.dist.nrSpis;
  }

  *vcpuCreated(vcpu: IrqchipVcpu): Step<number> {
    const { dist } = this;
    yield* this.vm.slotsLock.lock();
    yield* dist.configLock.lock();
    let error = dist.initialized && !dist.hazards.vcpuAfterInit ? -EBUSY : 0; // it would have no vPE (hazard R20)
    if (error === 0) {
      const cpu = new VgicCpu(dist.sim, vcpu, dist.model);
      dist.addCpu(cpu);
      yield* dist.configLock.unlock();
      error = yield* dist.frames.bindRedist(cpu);
    } else yield* dist.configLock.unlock();
    yield* this.vm.slotsLock.unlock();
    return error;
  }

  *setAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    return yield* setAttribute(this.dist, process, group, attrLo, attrHi, address);
  }

  *getAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    return yield* getAttribute(this.dist, process, group, attrLo, attrHi, address);
  }

  *hasAttr(_process: Process, group: number, attrLo: number, attrHi: number): Step<number> {
    return yield* hasAttribute(this.dist, group, attrLo, attrHi);
  }

  *mapResources(): Step<number> {
    return yield* mapResources(this.dist);
  }

  /** CTRL_INIT: takes config_lock. */
  *init(): Step<number> {
    yield* this.dist.configLock.lock();
    const error = yield* initVgic(this.dist);
    yield* this.dist.configLock.unlock();
    return error;
  }

  *ensureInitialized(): Step<number> {
    return yield* ensureInitialized(this.dist);
  }

  *destroy(): Step<void> {
    yield* destroyVgic(this.dist);
  }

  *inject(vcpu: number, intid: number, level: boolean, owner: object | null): Step<number> {
    if (vcpu >= this.dist.cpus.length) return -EINVAL;
    return yield* injectIrq(this.dist, this.cpuOrNull(vcpu), intid, level, owner);
  }

  get hasIts(): boolean {
    return this.dist.hasIts;
  }

  *createIts(): Step<KvmDeviceOps | number> {
    return this.dist.model === 2 ? -ENODEV : yield* createIts(this.dist);
  }

  *injectMsi(message: ArmMessage): Step<number> {
    return yield* injectMsi(this.dist, message);
  }

  *injectMsiAtomic(message: ArmMessage): Step<number> {
    return yield* injectMsiAtomic(this.dist, message);
  }

  *setForwarding(hostIrq: number, message: ArmMessage): Step<number> {
    return yield* setForwarding(this.dist, hostIrq, message);
  }

  *unsetForwarding(hostIrq: number, message: ArmMessage): Step<number> {
    return yield* unsetForwarding(this.dist, hostIrq, message);
  }

  *beginWfi(vcpu: number): Step<void> {
    const { v4 } = this.dist;
    if (v4 !== null && v4.hasVpes) yield* beginWfi(v4, v4.cpus[vcpu]);
  }

  *endWfi(vcpu: number): Step<void> {
    const { v4 } = this.dist;
    if (v4 !== null && v4.hasVpes) yield* endWfi(v4, v4.cpus[vcpu]);
  }

  *hasVlpis(vcpu: number): Step<boolean> {
    const { v4 } = this.dist;
    if (v4 === null || !v4.hasVpes || this.dist.is2017) return false;
    const { vpe } = v4.cpus[vcpu];
    yield reads(vpe, "vlpis");
    return v4.hasVsgis || vpe.vlpis > 0;
  }

  *mapPhysicalIrq(vcpu: number, intid: number, hostIntid: number, ops: MappedIrqOps | null = null): Step<number> {
    return yield* mapPhysIrq(this.dist, this.cpuOrNull(vcpu), intid, hostIntid, ops);
  }

  *unmapPhysicalIrq(vcpu: number, intid: number): Step<number> {
    return yield* unmapPhysIrq(this.dist, this.cpuOrNull(vcpu), intid);
  }

  mappedPhysicalIrq(vcpu: number, intid: number): number {
    return this.dist.irq(this.cpuOrNull(vcpu), intid)?.hwintid ?? -1;
  }

  *isMappedActive(vcpu: number, intid: number): Step<boolean> {
    return yield* isMappedActive(this.dist, this.cpuOrNull(vcpu), intid);
  }

  *resetMappedIrq(vcpu: number, intid: number): Step<void> {
    yield* resetMappedIrq(this.dist, this.dist.cpus[vcpu], intid);
  }

  *setOwner(vcpu: number, intid: number, owner: object): Step<number> {
    return yield* setOwner(this.dist, this.cpuOrNull(vcpu), intid, owner);
  }

  *isPendingFor(vcpu: number): Step<boolean> {
    return yield* isPendingFor(this.dist, this.dist.cpus[vcpu]);
  }

  *load(vcpu: number, physicalCpu: number): Step<void> {
    yield* loadCpuInterface(this.dist, this.dist.cpus[vcpu], physicalCpu);
  }

  *put(vcpu: number): Step<void> {
    yield* putCpuInterface(this.dist, this.dist.cpus[vcpu]);
  }

  *flush(vcpu: number): Step<void> {
    yield* flushHwstate(this.dist, this.dist.cpus[vcpu]);
  }

  *sync(vcpu: number): Step<void> {
    yield* syncHwstate(this.dist, this.dist.cpus[vcpu]);
  }

  *processUpdate(vcpu: number): Step<void> {
    yield* pruneApList(this.dist, this.dist.cpus[vcpu]);
  }

  *guestSysregWrite(vcpu: number, encoding: number, low: number, high: number): Step<boolean> {
    if (this.dist.model === 2) return false;
    const cpu = this.dist.cpus[vcpu];
    switch (encoding) {
      case Icc.SGI1R:
        yield* dispatchSgiV3(this.dist, cpu, low, high, true);
        return true;
      case Icc.SGI0R:
      case Icc.ASGI1R:
        yield* dispatchSgiV3(this.dist, cpu, low, high, false);
        return true;
      case Icc.DIR:
        yield* deactivateTrapped(this.dist, cpu, low);
        return true;
      default:
        return false;
    }
  }

  /** Does a GICv2 guest's GICC_DIR trap? It is in a page of its own, that [6.1] gives to the guest. */
  get trapsGiccDir(): boolean {
    return this.dist.model === 2 && !this.dist.isLinux61;
  }

  /** GICC_DIR of a GICv2 guest, trapped. */
  *guestDeactivate(vcpu: number, value: number): Step<void> {
    yield* deactivateTrapped(this.dist, this.dist.cpus[vcpu], value);
  }

  private cpuOrNull(vcpu: number): VgicCpu | null {
    return vcpu < 0 ? null : this.dist.cpus[vcpu];
  }
}

/**
 * KVM_CREATE_DEVICE or KVM_CREATE_IRQCHIP (gic-v3.md A3.1), kvm.lock held. The new controller, or a negative errno:
 * ENODEV (this host cannot), EBUSY (a vCPU runs or has run), EEXIST (`existing`), E2BIG.
 *
 * @param prepared what {@link prepareVgic} made for an ITS that came first
 */
export function* createVgic(vm: ArmIrqchipVm, model: 2 | 3, existing: ArmIrqchip | null, options: VgicOptions = {}, prepared: Vgic | null = null): Step<Vgic | number> {
  const host = vm.hostGic;
  if (host === null || host.version !== model) return -ENODEV;
  let locked = 0;
  let isBusy = false;
  while (locked < vm.vcpus.length && !isBusy) {
    const isTaken = yield* vm.vcpus[locked].mutex.tryLock();
    if (isTaken) locked++;
    else isBusy = true;
  }
  const error = isBusy ? -EBUSY : checkCreate(vm, model, existing);
  const vgic = error === 0 ? (prepared ?? makeVgic(vm, host, model, options)) : error;
  if (typeof vgic !== "number") for (let i = 0; i < locked; i++) vgic.dist.addCpu(new VgicCpu(vm.sim, vm.vcpus[i], model));
  for (let i = 0; i < locked; i++) yield* vm.vcpus[i].mutex.unlock();
  return vgic;
}

/** The GICv3 of a VM that has none yet: what an ITS made before it is part of, without vCPUs (gic-its.md B1). */
export const prepareVgic = (vm: ArmIrqchipVm, host: PhysicalGic, options: VgicOptions): Vgic => makeVgic(vm, host, 3, options);

function makeVgic(vm: ArmIrqchipVm, host: PhysicalGic, model: 2 | 3, options: VgicOptions): Vgic {
  const driver = model === 2 ? new VgicV2() : new VgicV3();
  return new Vgic(vm, new VgicDist(vm, host, model, options.compat ?? "newest", driver));
}

function checkCreate(vm: ArmIrqchipVm, model: 2 | 3, existing: ArmIrqchip | null): number {
  if (existing !== null) return -EEXIST;
  for (let i = 0; i < vm.vcpus.length; i++) if (vm.vcpus[i].hasRun) return -EBUSY;
  return vm.vcpus.length > (model === 2 ? VGIC_V2_MAX_CPUS : VGIC_V3_MAX_CPUS) ? -E2BIG : 0;
}
