import { KvmMachine } from "../../explore/stages/kvm-machine.js";
import { PpcE500 } from "../../kvm/powerpc/e500.js";
import { PpcVcpuFile } from "../../kvm/powerpc/vcpu-ioctl.js";
import type { PpcVcpu } from "../../kvm/powerpc/vcpu.js";
import { PpcModule } from "../../kvm/powerpc/module.js";
import { PhysicalXics } from "../../host/xics/physical-xics.js";
import { XicsHost } from "../../host/xics/xics-host.js";
import * as K from "../../uapi/kvm.js";

/** The device by system calls, on an e500 VM. */
export class E500 {
  readonly m: KvmMachine;
  readonly vm: number;

  constructor() {
    this.m = new KvmMachine({ arch: new PpcE500(), host: (sim) => new PpcModule(new XicsHost(sim, new PhysicalXics(2))) });
    this.vm = this.m.createVm();
  }

  vcpu(id: number): { fd: number; vcpu: PpcVcpu } {
    const fd = this.m.ioctl(this.vm, K.KVM_CREATE_VCPU, id);
    const file = this.m.process.file(fd);
    if (!(file instanceof PpcVcpuFile)) throw new Error("no vCPU");
    return { fd, vcpu: file.vcpu };
  }

  connect(vcpu: number, device: number, cpu: number): number {
    return this.m.ioctlOn(vcpu, K.KVM_ENABLE_CAP, K.kvm_enable_cap, (view) => {
      K.kvm_enable_cap.cap.set(view, K.KVM_CAP_IRQ_MPIC);
      K.kvm_enable_cap.args[0].setNumber(view, device >>> 0);
      K.kvm_enable_cap.args[1].setNumber(view, cpu);
    });
  }

  set(device: number, group: number, attr: number, ...words: number[]): number {
    return this.m.attr(K.KVM_SET_DEVICE_ATTR, device, group, attr, words);
  }

  /** The value, or a negative errno. */
  get(device: number, group: number, attr: number): number {
    const result = this.m.attr(K.KVM_GET_DEVICE_ATTR, device, group, attr, [0xeeee_eeee]);
    return result < 0 ? result : this.m.process.memory.getU32(0x4f000);
  }
}
