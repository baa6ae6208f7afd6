import type { PpcSoftware } from "../guest/ppc-software.js";
import type { DeviceNodes } from "../host/device-nodes.js";
import type { Host } from "../host/machine.js";
import { PpcVcpuFile } from "../kvm/powerpc/vcpu-ioctl.js";
import type { Step } from "../sim/step.js";
import { KVM_DEV_TYPE_XICS, KVM_EXIT_PAPR_HCALL } from "../uapi/kvm.js";
import { KVM_XICS_LEVEL_SENSITIVE_HI } from "../uapi/powerpc.js";
import { VFIO_SPAPR_TCE_v2_IOMMU } from "../uapi/vfio.js";
import { GuestWords } from "./guest-words.js";
import { type GuestMessage, KvmVm } from "./kvm.js";
import { must } from "./must.js";
import { PaprCall } from "./papr-call.js";
import { TceTable } from "./ppc-dma.js";
import { PpcHypercalls } from "./ppc-hypercalls.js";
import { PpcKvmVcpu, PpcKvmVm, XicsFile } from "./ppc-kvm.js";
import { MessageFirmware, type SourceMaker } from "./ppc-messages.js";
import type { VfioContainerClient } from "./vfio.js";
import { VmmCore, type VmmProcess } from "./vmm-core.js";
import type { VmmVcpu } from "./vmm-vcpu.js";

/**
 * The guest's machine, as QEMU's: real addresses, tokens of its firmware calls, its host bridge's unit and the number of its DMA window,
 * the sources that firmware gives to functions as messages.
 */
export const PPC_GUEST = {
  ram: 0,
  rtas: 0x10_0000,
  devices: 0x6000_0000,
  tokens: { setXive: 0x200a, getXive: 0x200b, intOff: 0x200c, intOn: 0x200d, querySource: 0x2018, changeMsi: 0x2019 },
  buid: [0x800_0000, 0x2000_0000],
  liobn: 0x8000_0000,
  messages: { first: 0x1300, count: 0xd00 },
} as const;

/** The calls that the kernel serves. */
const IN_KERNEL: readonly (readonly [string, number])[] = [
  ["ibm,set-xive", PPC_GUEST.tokens.setXive],
  ["ibm,get-xive", PPC_GUEST.tokens.getXive],
  ["ibm,int-off", PPC_GUEST.tokens.intOff],
  ["ibm,int-on", PPC_GUEST.tokens.intOn],
];
const MASKED_PRIORITY = 0xff;

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
export class PpcVmm extends VmmCore implements SourceMaker {
  readonly guestMap = PPC_GUEST;
  /** Those of the options, and what firmware gave to functions since. */
  readonly sources: PpcSource[];
  /** Which messages the guest's functions have. */
  readonly messages: MessageFirmware;
  private readonly words: GuestWords;
  private readonly hypercalls: PpcHypercalls;
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
    this.sources = [...options.sources];
    this.messages = new MessageFirmware(PPC_GUEST.messages, this);
    this.words = new GuestWords(this.process.memory, this.ram);
    this.hypercalls = new PpcHypercalls(this.words, this.messages, PPC_GUEST.tokens);
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
    const { sources } = this;
    this.xics = new XicsFile(this.process, must(yield* this.vm.createDevice(KVM_DEV_TYPE_XICS), "KVM_CREATE_DEVICE xics"), this.args);
    this.vcpus = [];
    this.threads.length = 0;
    for (let i = 0; i < order.length; i++) yield* this.addVcpu(order[i]);
    const vm = new PpcKvmVm(this.process, this.vm.fd, this.args);
    for (let i = 0; i < IN_KERNEL.length; i++) must(yield* vm.defineToken(IN_KERNEL[i][0], IN_KERNEL[i][1]), "KVM_PPC_RTAS_DEFINE_TOKEN");
    for (let i = 0; i < sources.length; i++) yield* this.makeSource(sources[i]);
  }

  private *makeSource({ irq, isLsi }: PpcSource): Step<void> {
    must(yield* this.xics.setSource(irq, { lo: 0, hi: MASKED_PRIORITY | (isLsi ? KVM_XICS_LEVEL_SENSITIVE_HI : 0) }), "KVM_DEV_XICS_GRP_SOURCES");
  }

  *resetSource(irq: number): Step<void> {
    const source = { irq, isLsi: false };
    if (!this.sources.some((each) => each.irq === irq)) this.sources.push(source);
    yield* this.makeSource(source);
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

  /** Hypercalls that the kernel leaves to user space. */
  override *handleExit({ vcpu }: VmmVcpu, reason: number): Step<boolean> {
    if (reason !== KVM_EXIT_PAPR_HCALL) return false;
    const call = new PaprCall(this.process.memory, vcpu.runAddress);
    call.finish(yield* this.hypercalls.serve(call));
    return true;
  }

  /** Devices reach what the guest lets them reach, by entries of its DMA window; RAM is there to be reached. */
  override *openIommu(container: VfioContainerClient): Step<void> {
    const { size, user } = this.ram;
    must(yield* container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU), "VFIO_SET_IOMMU");
    must(yield* container.registerMemory(user, size), "VFIO_IOMMU_SPAPR_REGISTER_MEMORY");
    const window = yield* container.defaultWindow();
    if (typeof window === "number") throw new Error(`VFIO_IOMMU_SPAPR_TCE_GET_INFO: ${window}`);
    this.hypercalls.tables.push(new TceTable(container, this.words, PPC_GUEST.liobn, window));
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
