import type { XicsVm } from "../../irqchip/xics/contract.js";
import { XicsDevice } from "../../irqchip/xics/device.js";
import { RealMode } from "../../irqchip/xics/real-mode.js";
import { Xics } from "../../irqchip/xics/xics.js";
import { reads, writes } from "../../sim/access.js";
import type { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EEXIST, ENODEV, EPERM } from "../../uapi/errno.js";
import type { KvmDeviceOps } from "../../irqchip/contract.js";
import type { KvmDevice, KvmDeviceType } from "../device.js";
import { notifyAcked } from "../notifiers.js";
import { archOfPpc, type PpcVm } from "./powerpc.js";
import type { PpcVcpu } from "./vcpu.js";
import type { Vm } from "../vm.js";

const TIMEBASE_HZ = 512_000_000;
const NS_PER_SECOND = 1_000_000_000;

/** The VM as its XICS sees it. */
class XicsVmOf implements XicsVm {
  readonly sim: Sim;
  readonly lock: Mutex;
  readonly acks = this;

  constructor(private readonly vm: Vm) {
    this.sim = vm.sim;
    this.lock = vm.lock;
  }

  timebase(): number {
    return Math.floor((this.sim.now() * TIMEBASE_HZ) / NS_PER_SECOND);
  }

  *notifyAcked(chip: number, pin: number): Step<void> {
    yield* notifyAcked(this.vm, chip, pin);
  }

  *hasAckListeners(): Step<boolean> {
    yield reads(this.vm, "routing");
    return this.vm.notifiers.isUsed;
  }
}

/** KVM_DEV_TYPE_XICS (xics.md 5.1). */
class XicsType implements KvmDeviceType {
  readonly name = "kvm-xics";

  *create(vm: Vm): Step<KvmDeviceOps | number> {
    return createXics(archOfPpc(vm));
  }
}
export const XICS: KvmDeviceType = new XicsType();

/** kvm.lock held: the device, or -EEXIST where the VM has a controller. */
export function createXics(arch: PpcVm): XicsDevice | number {
  if (arch.hasIrqchip()) return -EEXIST;
  const device = new XicsDevice(new Xics(new XicsVmOf(arch.vm)), new Detach(arch));
  arch.xicsDevice = device;
  return device;
}

/** The first half of a release: each vCPU is kept out of the kernel while it loses its presentation controller (R24). */
class Detach {
  constructor(private readonly arch: PpcVm) {}

  *detach(): Step<void> {
    const { arch } = this;
    const { releaseBesideRtas, releaseUnlocked } = arch.vm.hazards;
    for (let i = 0; i < arch.vcpus.length; i++) {
      const vcpu = arch.vcpus[i];
      if (!releaseUnlocked) yield* vcpu.mutex.lock();
      if (vcpu.icp !== null && arch.xics !== null) {
        yield* arch.xics.disconnect(vcpu.icp);
        vcpu.icp.free();
      }
      if (vcpu.irqType === "xics") vcpu.irqType = "default";
      vcpu.icp = null;
      vcpu.realMode = null;
      if (!releaseUnlocked) yield* vcpu.mutex.unlock();
    }
    // A firmware call of a vCPU that was let go above is over first: Linux does not wait for it (R24).
    const { lock } = arch.rtas;
    if (!releaseBesideRtas) yield* lock.lock();
    yield writes(arch, "xicsDevice");
    arch.xicsDevice = null;
    if (!releaseBesideRtas) yield* lock.unlock();
  }
}

/** KVM_CAP_IRQ_XICS on a vCPU, rows 2 to 7 (5.2); vcpu.mutex held. */
export function* connectXics(device: KvmDevice | null, vcpu: PpcVcpu, server: number): Step<number> {
  if (device === null || !(device.ops instanceof XicsDevice)) return -EPERM;
  if (device.vm !== vcpu.vm) return -EPERM;
  if (vcpu.irqType !== "default") return -EBUSY;
  const { xics } = vcpu.arch;
  if (xics === null) return -ENODEV;
  return yield* join(xics, vcpu, server);
}

/** A presentation controller for a vCPU that has none: 0, or -EEXIST. */
export function* join(xics: Xics, vcpu: PpcVcpu, server: number): Step<number> {
  const icp = yield* xics.connect(vcpu, server);
  if (typeof icp === "number") return icp;
  vcpu.icp = icp;
  vcpu.realMode = vcpu.arch.hasRealMode ? new RealMode(xics, icp) : null;
  vcpu.irqType = "xics";
  return 0;
}
