import type { DeviceNodes } from "../host/device-nodes.js";
import type { GicHost } from "../host/gic/gic-host.js";
import type { GuestSoftware } from "../guest/software.js";
import { VcpuFile } from "../kvm/arm64/vcpu-ioctl.js";
import type { Step } from "../sim/step.js";
import {
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP_ADDR,
  KVM_DEV_ARM_VGIC_GRP_CTRL,
  KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
  KVM_VGIC_ITS_ADDR_TYPE,
  KVM_VGIC_V2_ADDR_TYPE_CPU,
  KVM_VGIC_V2_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
} from "../uapi/arm.js";
import { KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2, KVM_DEV_TYPE_ARM_VGIC_V3 } from "../uapi/kvm.js";
import { type GsiRoute, type GuestMessage, KvmDevice, KvmVcpu } from "./kvm.js";
import { must } from "./must.js";
import { VmmCore, type VmmProcess } from "./vmm-core.js";

/** The guest's physical address space. */
export const GUEST = { distributor: 0x0800_0000, cpuInterface: 0x0801_0000, its: 0x0808_0000, redistributors: 0x080a_0000, devices: 0x0a00_0000, ram: 0x4000_0000 } as const;
const GENERIC_V8 = 5;
const PSCI_0_2 = 1 << 2;
const FIRST_SPI = 32;

/** The guest that a {@link Vmm} starts, and where its threads run. */
export interface VmmOptions {
  /** Physical CPU of the main thread. */
  readonly mainCpu: number;
  /** Physical CPUs of the vCPUs: the first is vCPU 0's alone as far as there are others for the rest. */
  readonly vcpuCpus: readonly number[];
  /** vCPU 0 is dealt out like the others. */
  readonly sharesCpus?: boolean;
  readonly vcpus: number;
  /** Interrupts of the guest's GIC, 64 to 992 in steps of 32. */
  readonly interrupts: number;
  /** The guest has an ITS, at GUEST.its. */
  readonly hasIts?: boolean;
  readonly software: GuestSoftware;
}

/** The reference user space of an Arm guest with an in-kernel GIC. */
export class Vmm extends VmmCore {
  readonly guestMap = GUEST;

  private readonly spis: number;

  private constructor(
    override readonly host: GicHost,
    nodes: DeviceNodes,
    started: VmmProcess,
    options: VmmOptions,
  ) {
    super(host, nodes, started, options.mainCpu);
    this.spis = options.interrupts - FIRST_SPI;
  }

  /** A process with a VM: vCPUs initialised, GIC ready, RAM mapped, software in place; nothing runs yet. */
  static *start(host: GicHost, nodes: DeviceNodes, options: VmmOptions): Step<Vmm> {
    const started = yield* VmmCore.startProcess(host, nodes);
    const vmm = new Vmm(host, nodes, started, options);
    for (let id = 0; id < options.vcpus; id++) yield* vmm.addVcpu(id, options);
    yield* vmm.createGic(options.interrupts, options.hasIts ?? false);
    yield* vmm.mapRam();
    return vmm;
  }

  private *addVcpu(id: number, options: VmmOptions): Step<void> {
    const fd = must(yield* this.vm.createVcpu(id), "KVM_CREATE_VCPU");
    must(yield* new KvmVcpu(this.process, fd, this.args).init(GENERIC_V8, PSCI_0_2), "KVM_ARM_VCPU_INIT");
    const file = this.process.file(fd);
    if (!(file instanceof VcpuFile)) throw new Error("KVM_CREATE_VCPU gave something that is no vCPU");
    const { vcpu } = file;
    vcpu.guest = options.software.guest;
    vcpu.regs.pc = options.software.entries[id];
    this.addThread(vcpu, fd, id, options.vcpuCpus, options.sharesCpus ?? false);
  }

  private *createGic(interrupts: number, hasIts: boolean): Step<void> {
    const isV2 = this.host.gic.version === 2;
    const fd = must(yield* this.vm.createDevice(isV2 ? KVM_DEV_TYPE_ARM_VGIC_V2 : KVM_DEV_TYPE_ARM_VGIC_V3), "KVM_CREATE_DEVICE vgic");
    const gic = new KvmDevice(this.process, fd, this.args);
    must(yield* gic.setU32(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, interrupts), "NR_IRQS");
    const distributor = isV2 ? KVM_VGIC_V2_ADDR_TYPE_DIST : KVM_VGIC_V3_ADDR_TYPE_DIST;
    must(yield* gic.setU64(KVM_DEV_ARM_VGIC_GRP_ADDR, distributor, GUEST.distributor), "GICD address");
    const [second, address] = isV2 ? [KVM_VGIC_V2_ADDR_TYPE_CPU, GUEST.cpuInterface] : [KVM_VGIC_V3_ADDR_TYPE_REDIST, GUEST.redistributors];
    must(yield* gic.setU64(KVM_DEV_ARM_VGIC_GRP_ADDR, second, address), "GICC or GICR address");
    if (hasIts) yield* this.createIts();
    must(yield* gic.set(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT), "VGIC INIT");
  }

  private *createIts(): Step<void> {
    const fd = must(yield* this.vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_ITS), "KVM_CREATE_DEVICE ITS");
    must(yield* new KvmDevice(this.process, fd, this.args).setU64(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, GUEST.its), "ITS address");
  }

  /** Each line is one of messages from now on; the GSIs of the SPIs are as INIT made them. */
  *routeMessages(messages: readonly { readonly line: number; readonly message: GuestMessage }[]): Step<void> {
    const spis: GsiRoute[] = Array.from({ length: this.spis }, (_, pin) => ({ gsi: pin, chip: 0, pin }));
    const routes = messages.map(({ line, message }): GsiRoute => ({ gsi: this.gsiOf(line), message }));
    must(yield* this.vm.setRoutes([...spis, ...routes]), "KVM_SET_GSI_ROUTING");
  }

  override *setLine(intid: number, isHigh: boolean): Step<number> {
    return yield* this.vm.setSpi(intid, isHigh);
  }

  /** The GSI of an SPI of the guest. */
  override gsiOf(intid: number): number {
    return intid - FIRST_SPI;
  }
}
