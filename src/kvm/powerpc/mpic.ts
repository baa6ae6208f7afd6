import type { MpicModel } from "../../irqchip/mpic/constants.js";
import type { MpicVm } from "../../irqchip/mpic/contract.js";
import { MpicDevice } from "../../irqchip/mpic/device.js";
import { Mpic } from "../../irqchip/mpic/mpic.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, EPERM } from "../../uapi/errno.js";
import type { KvmDevice } from "../device.js";
import type { E500Vm } from "./e500.js";
import type { PpcVcpu } from "./vcpu.js";
import { installDefaultRouting } from "../routing.js";

/** kvm.lock held: the device, with an empty routing table, or -EINVAL where the VM has one. */
export function* createMpic(arch: E500Vm, model: MpicModel): Step<MpicDevice | number> {
  if (arch.hasIrqchip()) return -EINVAL;
  const { vm } = arch;
  const view: MpicVm = { sim: vm.sim, slotsLock: vm.slotsLock, mmioBus: vm.mmioBus, acks: vm };
  const routed = yield* installDefaultRouting(vm, 0);
  if (routed < 0) return routed;
  const device = new MpicDevice(new Mpic(view, model, arch.profile), new Detach(arch));
  arch.device = device;
  return device;
}

/** At the end of the VM its vCPUs have no controller any more. */
class Detach {
  constructor(private readonly arch: E500Vm) {}

  *detach(): Step<void> {
    for (let i = 0; i < this.arch.vcpus.length; i++) this.arch.vcpus[i].mpicCpu = -1;
  }
}

/** KVM_CAP_IRQ_MPIC on a vCPU; vcpu.mutex held. 0, -EPERM, -EEXIST or -EBUSY, in this order. */
export function* connectMpic(device: KvmDevice | null, vcpu: PpcVcpu, cpu: number): Step<number> {
  if (device === null || !(device.ops instanceof MpicDevice) || device.vm !== vcpu.vm) return -EPERM;
  return yield* joinMpic(device.ops, vcpu, cpu);
}

export function* joinMpic(device: MpicDevice, vcpu: PpcVcpu, cpu: number): Step<number> {
  const result = yield* device.connect(vcpu, cpu, vcpu.irqType !== "default");
  if (result !== 0) return result;
  vcpu.mpicCpu = cpu;
  vcpu.irqType = "mpic";
  return 0;
}

/** 5.9: KVM acknowledges for a guest whose processor shows the vector in EPR. */
export function* takeProxied(vcpu: PpcVcpu): Step<void> {
  const { mpicDevice } = vcpu.arch;
  const vector = mpicDevice === null ? null : yield* mpicDevice.takeProxied(vcpu.mpicCpu);
  if (vector !== null) vcpu.deliverProxied(vector);
}
