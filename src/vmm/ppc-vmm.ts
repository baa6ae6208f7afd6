import type { PpcSoftware } from "../guest/ppc-software.js";
import type { DeviceNodes } from "../host/device-nodes.js";
import type { Host } from "../host/machine.js";
import { PpcVcpuFile } from "../kvm/powerpc/vcpu-ioctl.js";
import type { Step } from "../sim/step.js";
import { KVM_DEV_TYPE_XICS, KVM_EXIT_PAPR_HCALL, kvm_run } from "../uapi/kvm.js";
import { KVM_XICS_LEVEL_SENSITIVE_HI } from "../uapi/powerpc.js";
import { VFIO_SPAPR_TCE_v2_IOMMU } from "../uapi/vfio.js";
import { type GuestMessage, KvmVm } from "./kvm.js";
import { must } from "./must.js";
import { PpcKvmVcpu, PpcKvmVm, XicsFile } from "./ppc-kvm.js";
import type { VfioContainer } from "./vfio.js";
import { VmmCore, type VmmProcess } from "./vmm-core.js";
import type { VmmVcpu } from "./vmm-vcpu.js";

/** The guest's real addresses, and the tokens of its firmware calls (QEMU's). */
export const PPC_GUEST = { ram: 0, rtas: 0x10_0000, devices: 0x6000_0000, tokens: { setXive: 0x200a, getXive: 0x200b, intOff: 0x200c, intOn: 0x200d } } as const;

/** The calls that the kernel serves. */
const IN_KERNEL: readonly (readonly [string, number])[] = [
  ["ibm,set-xive", PPC_GUEST.tokens.setXive],
  ["ibm,get-xive", PPC_GUEST.tokens.getXive],
  ["ibm,int-off", PPC_GUEST.tokens.intOff],
  ["ibm,int-on", PPC_GUEST.tokens.intOn],
];
const MASKED_PRIORITY = 0xff;
const H_FUNCTION = -2;

/** A source of the guest's controller. */
export interface PpcSource {
  readonly irq: number;
  readonly isLsi: boolean;
}

export interface PpcVmmOptions {
  /** Physical CPU of the main thread. */
  readonly mainCpu: number;
  /** Physical CPUs of the vCPUs: the first is vCPU 0's alone as far as there are others for the rest. */
  readonly vcpuCpus: readonly number[];
  /** Interrupt server numbers by index of the vCPU, which is its id. */
  readonly servers: readonly number[];
  readonly sources: readonly PpcSource[];
  readonly software: PpcSoftware;
  /** Indexes of the vCPUs in the order in which they are made; default ascending. */
  readonly order?: readonly number[];
}

/** The reference user space of a guest on POWER with an in-kernel XICS. */
export class PpcVmm extends VmmCore {
  readonly guestMap = PPC_GUEST;
  /** By index. */
  vcpus: PpcKvmVcpu[] = [];
  /** The VM's XICS. */
  xics: XicsFile;

  private constructor(
    host: Host,
    nodes: DeviceNodes,
    started: VmmProcess,
    readonly options: PpcVmmOptions,
  ) {
    super(host, nodes, started, options.mainCpu);
    this.xics = new XicsFile(this.process, -1, this.args);
  }

  /** A process with a VM: XICS, vCPUs connected to it, tokens, sources that are masked, RAM and software; nothing runs yet. */
  static *start(host: Host, nodes: DeviceNodes, options: PpcVmmOptions): Step<PpcVmm> {
    const vmm = new PpcVmm(host, nodes, yield* VmmCore.startProcess(host, nodes), options);
    yield* vmm.furnish(options.order ?? options.servers.map((_, index) => index));
    yield* vmm.mapRam();
    for (let index = 0; index < options.servers.length; index++) must(yield* vmm.vcpus[index].begin(options.software.entries[index]), "KVM_SET_REGS");
    return vmm;
  }

  /**
   * A fresh VM of this process takes the place of the one that there is, which goes with everything in it; memory slots are
   * the same. The first steps of xics.md 12.3: nothing of the guest is in it yet but its memory.
   * @param order indexes of the vCPUs in the order in which they are made
   */
  *renew(order: readonly number[]): Step<void> {
    const old = [...this.vcpus.map((vcpu) => vcpu.fd), this.xics.fd, this.vm.fd];
    for (let i = 0; i < old.length; i++) yield* this.process.close(old[i]);
    this.vm = new KvmVm(this.process, must(yield* this.kvm.createVm(), "KVM_CREATE_VM"), this.args);
    yield* this.furnish(order);
    yield* this.mapAgain();
  }

  private *furnish(order: readonly number[]): Step<void> {
    const { sources } = this.options;
    this.xics = new XicsFile(this.process, must(yield* this.vm.createDevice(KVM_DEV_TYPE_XICS), "KVM_CREATE_DEVICE xics"), this.args);
    this.vcpus = [];
    this.threads.length = 0;
    for (let i = 0; i < order.length; i++) yield* this.addVcpu(order[i]);
    const vm = new PpcKvmVm(this.process, this.vm.fd, this.args);
    for (let i = 0; i < IN_KERNEL.length; i++) must(yield* vm.defineToken(IN_KERNEL[i][0], IN_KERNEL[i][1]), "KVM_PPC_RTAS_DEFINE_TOKEN");
    for (let i = 0; i < sources.length; i++) {
      const { irq, isLsi } = sources[i];
      must(yield* this.xics.setSource(irq, { lo: 0, hi: MASKED_PRIORITY | (isLsi ? KVM_XICS_LEVEL_SENSITIVE_HI : 0) }), "KVM_DEV_XICS_GRP_SOURCES");
    }
  }

  private *addVcpu(index: number): Step<void> {
    const fd = must(yield* this.vm.createVcpu(index), "KVM_CREATE_VCPU");
    const file = this.process.file(fd);
    if (!(file instanceof PpcVcpuFile)) throw new Error("KVM_CREATE_VCPU gave something that is no vCPU");
    const { servers, software, vcpuCpus } = this.options;
    file.vcpu.guest = software.guest;
    this.vcpus[index] = new PpcKvmVcpu(this.process, fd, this.args);
    must(yield* this.vcpus[index].connect(this.xics.fd, servers[index]), "KVM_CAP_IRQ_XICS");
    this.addThread(file.vcpu, fd, index, vcpuCpus);
  }

  /** Hypercalls that the kernel leaves to user space: none is known here. */
  override *handleExit({ vcpu }: VmmVcpu, reason: number): Step<boolean> {
    if (reason !== KVM_EXIT_PAPR_HCALL) return false;
    const { memory } = this.process;
    const at = vcpu.runAddress + kvm_run.papr_hcall.ret.offset;
    memory.setU32(at, H_FUNCTION >>> 0);
    memory.setU32(at + 4, 0xffff_ffff);
    return true;
  }

  /** Devices reach RAM by the default DMA window, in which each page is where the guest has it: H_PUT_TCE for all of it at once. */
  override *openIommu(container: VfioContainer): Step<void> {
    const { guest, size, user } = this.ram;
    must(yield* container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU), "VFIO_SET_IOMMU");
    must(yield* container.registerMemory(user, size), "VFIO_IOMMU_SPAPR_REGISTER_MEMORY");
    must(yield* container.mapDma(guest, size, user), "VFIO_IOMMU_MAP_DMA");
  }

  /** There is no KVM_SIGNAL_MSI: a message's data is the number of its source, which is pulsed. */
  override *sendMessage({ data }: GuestMessage): Step<number> {
    return yield* this.setLine(data, true);
  }

  override *setLine(irq: number, isHigh: boolean): Step<number> {
    return yield* this.vm.setGsi(irq, isHigh);
  }

  override gsiOf(irq: number): number {
    return irq;
  }
}
