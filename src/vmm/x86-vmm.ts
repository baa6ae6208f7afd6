import type { DeviceNodes } from "../host/device-nodes.js";
import type { Host } from "../host/machine.js";
import type { X86Software } from "../guest/x86-software.js";
import { X86VcpuFile } from "../kvm/x86/vcpu-ioctl.js";
import type { Step } from "../sim/step.js";
import { EAGAIN } from "../uapi/errno.js";
import { KVM_CAP_SPLIT_IRQCHIP, KVM_EXIT_IO, KVM_EXIT_IOAPIC_EOI, kvm_run } from "../uapi/kvm.js";
import { CPUID_1_ECX_X2APIC, KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE } from "../uapi/x86.js";
import type { GsiRoute, GuestMessage } from "./kvm.js";
import { must } from "./must.js";
import { UserIoApic } from "./user-ioapic.js";
import { VmmCore, type VmmProcess } from "./vmm-core.js";
import { X86KvmVcpu } from "./x86-kvm.js";
import type { VmmVcpu } from "./vmm-vcpu.js";

/** The guest's physical address space; in RAM, software and a word of its own. */
export const X86_GUEST = { ram: 0, code: 0x8000, scratch: 0x10_0000, devices: 0x6000_0000 } as const;
const PIC_LINES = 16;
const PINS_OF_ONE_PIC = 8;

export interface X86VmmOptions {
  /** Physical CPU of the main thread. */
  readonly mainCpu: number;
  /** Physical CPUs of the vCPUs: the first is vCPU 0's alone as far as there are others for the rest. */
  readonly vcpuCpus: readonly number[];
  readonly vcpus: number;
  /** "full": PIC, IOAPIC and local APICs in the kernel. "split": the local APICs alone, the IOAPIC is this VMM's. */
  readonly irqchip: "full" | "split";
  readonly software: X86Software;
}

/** The reference user space of an x86 guest. */
export class X86Vmm extends VmmCore {
  readonly guestMap = X86_GUEST;
  /** Null with a full irqchip. */
  readonly ioapic: UserIoApic | null;
  private readonly messages: GsiRoute[] = [];

  private constructor(
    host: Host,
    nodes: DeviceNodes,
    started: VmmProcess,
    private readonly options: X86VmmOptions,
  ) {
    super(host, nodes, started, options.mainCpu);
    this.ioapic = options.irqchip === "split" ? new UserIoApic(this) : null;
    if (this.ioapic !== null) this.mmio.push(this.ioapic);
  }

  /** A process with a VM: irqchip, routes, vCPUs, RAM and software; nothing runs yet. */
  static *start(host: Host, nodes: DeviceNodes, options: X86VmmOptions): Step<X86Vmm> {
    const started = yield* VmmCore.startProcess(host, nodes);
    const vmm = new X86Vmm(host, nodes, started, options);
    if (options.irqchip === "full") must(yield* vmm.vm.createIrqchip(), "KVM_CREATE_IRQCHIP");
    else must(yield* vmm.vm.enableCapability(KVM_CAP_SPLIT_IRQCHIP, KVM_IOAPIC_NUM_PINS), "KVM_CAP_SPLIT_IRQCHIP");
    yield* vmm.mapRam();
    for (let id = 0; id < options.vcpus; id++) yield* vmm.addVcpu(id);
    yield* vmm.updateRoutes();
    return vmm;
  }

  /** Others than the boot CPU wait for a start-up message. */
  private *addVcpu(id: number): Step<void> {
    const { software, vcpuCpus } = this.options;
    const fd = must(yield* this.vm.createVcpu(id), "KVM_CREATE_VCPU");
    must(yield* new X86KvmVcpu(this.process, fd, this.args).setCpuid(CPUID_1_ECX_X2APIC), "KVM_SET_CPUID2");
    const file = this.process.file(fd);
    if (!(file instanceof X86VcpuFile)) throw new Error("KVM_CREATE_VCPU gave something that is no vCPU");
    const { vcpu } = file;
    vcpu.guest = software.guest;
    if (id === 0) vcpu.regs.rip = software.entry;
    this.addThread(vcpu, fd, id, vcpuCpus);
  }

  /** A vCPU that is being started leaves KVM_RUN once, to be called again. */
  override runsAgain(result: number): boolean {
    return result === -EAGAIN;
  }

  /** Ends of interrupt are told to this VMM's IOAPIC. */
  override *handleExit({ vcpu }: VmmVcpu, reason: number): Step<boolean> {
    if (reason === KVM_EXIT_IO) return true; // a port that nobody has
    if (reason !== KVM_EXIT_IOAPIC_EOI) return false;
    const vector = this.process.memory.getU8(vcpu.runAddress + kvm_run.eoi.vector.offset);
    if (this.ioapic !== null) yield* this.ioapic.endOfInterrupt(vector);
    return true;
  }

  /** A GSI that sends a message: what the guest's driver wrote into an entry of MSI-X. */
  *routeMessage(gsi: number, message: GuestMessage): Step<void> {
    this.messages.push({ gsi, message });
    yield* this.updateRoutes();
  }

  /** The whole table: the chips' pins, or what this VMM's IOAPIC says, and the messages. */
  *updateRoutes(): Step<void> {
    const chips = this.ioapic === null ? DEFAULT_ROUTES : this.ioapic.routes();
    must(yield* this.vm.setRoutes([...chips, ...this.messages]), "KVM_SET_GSI_ROUTING");
  }

  override *setLine(gsi: number, isHigh: boolean): Step<number> {
    return yield* this.vm.setGsi(gsi, isHigh);
  }

  override gsiOf(gsi: number): number {
    return gsi;
  }
}

/** x86-irqchip.md 3.2 */
const DEFAULT_ROUTES: readonly GsiRoute[] = [
  ...Array.from({ length: KVM_IOAPIC_NUM_PINS }, (_, gsi) => ({ gsi, chip: KVM_IRQCHIP_IOAPIC, pin: gsi })),
  ...Array.from({ length: PIC_LINES }, (_, gsi) => ({
    gsi,
    chip: gsi < PINS_OF_ONE_PIC ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
    pin: gsi % PINS_OF_ONE_PIC,
  })),
];
