import { GicV2 } from "../../host/gic/gicv2.js";
import { GicV3 } from "../../host/gic/gicv3.js";
import { GicHost } from "../../host/gic/gic-host.js";
import { Vgic } from "../../irqchip/gic/vgic.js";
import { VgicConfig } from "../../irqchip/gic/vgic-irq.js";
import { writeConfig } from "../../irqchip/gic/vgic-state.js";
import { run } from "../../sim/step.js";
import { KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS } from "../../uapi/arm.js";
import * as K from "../../uapi/kvm.js";
import { Arm64 } from "../../kvm/arm64/arm64.js";
import type { Hazards } from "../../sim/hazards.js";
import { KvmMachine } from "./kvm-machine.js";
import { KvmModule } from "../../kvm/arm64/module.js";

/** An arm64 host with a real GIC, and the set-ups A0, A3u and A3 of kvm-irq-core.md 11 (or the same with a GICv2). */
export class ArmMachine extends KvmMachine {
  readonly gic: GicV2 | GicV3;
  readonly kernel: GicHost;
  /** The vGIC's device descriptor by VM descriptor. */
  private readonly devices = new Map<number, number>();

  constructor(version: 2 | 3 = 3, hazards: Partial<Hazards> = {}, cpus = 2) {
    const gic = version === 3 ? new GicV3({ cpus, listRegisters: 4 }) : new GicV2({ cpus, listRegisters: 4 });
    const kernels: GicHost[] = [];
    super({
      cpus,
      hazards,
      arch: new Arm64({ cpus, gicVersion: version }),
      host(sim) {
        gic.boot();
        const kernel = new GicHost(sim, gic);
        kernels.push(kernel);
        const module = new KvmModule(kernel);
        run(module.start());
        return module;
      },
    });
    this.gic = gic;
    [this.kernel] = kernels;
  }

  /** No vGIC. */
  a0(): number {
    return this.createVm();
  }

  /** GICv3 created with 96 interrupts and one vCPU, not initialised. */
  a3u(type = K.KVM_DEV_TYPE_ARM_VGIC_V3): number {
    const vm = this.createVm();
    const created = this.ioctl(vm, K.KVM_CREATE_VCPU, 0);
    if (created < 0) throw new Error(`KVM_CREATE_VCPU: ${created}`);
    const device = this.createDevice(vm, type);
    if (device < 0) throw new Error(`KVM_CREATE_DEVICE: ${device}`);
    this.devices.set(vm, device);
    if (this.setAttr(device, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, [96]) !== 0) throw new Error("NR_IRQS");
    return vm;
  }

  /** Initialised. */
  a3(type = K.KVM_DEV_TYPE_ARM_VGIC_V3): number {
    const vm = this.a3u(type);
    this.initVgic(vm);
    return vm;
  }

  initVgic(fd: number): void {
    const error = this.setAttr(this.devices.get(fd) ?? -1, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT);
    if (error !== 0) throw new Error(`CTRL_INIT: ${error}`);
  }

  vgic(fd: number): Vgic {
    const { armIrqchip } = this.vm(fd);
    if (!(armIrqchip instanceof Vgic)) throw new Error("no vGIC");
    return armIrqchip;
  }

  configure(fd: number, intid: number, config: "level" | "edge"): void {
    run(writeConfig(this.irq(fd, intid), config === "edge" ? VgicConfig.EDGE : VgicConfig.LEVEL));
  }

  irq(fd: number, intid: number) {
    const irq = this.vgic(fd).dist.irq(null, intid);
    if (irq === null) throw new Error(`no SPI ${intid}`);
    return irq;
  }
}

