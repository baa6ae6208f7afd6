import type { PhysicalGic } from "../../arch/gic/contract.js";
import type { Process } from "../../host/process.js";
import type { AckListener, ArmIrqchip, MmioBus } from "../../irqchip/contract.js";
import { NEEDS_SCAN } from "../../irqchip/x86/apic-deliver.js";
import { chipRules, type ChipRules, type X86Compat } from "../../irqchip/x86/chip-rules.js";
import type { PioBus, X86IrqchipVm } from "../../irqchip/x86/contract.js";
import type { LapicOptions } from "../../irqchip/x86/lapic/options.js";
import type { IoApic } from "../../irqchip/x86/ioapic/ioapic.js";
import { LocalApicSet, x2apicApiFlags } from "../../irqchip/x86/local-apics.js";
import { isValidMsi } from "../../irqchip/x86/msi.js";
import type { PicPair } from "../../irqchip/x86/pic.js";
import type { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EINVAL, ENOTTY, ENXIO, EWOULDBLOCK } from "../../uapi/errno.js";
import * as K from "../../uapi/kvm.js";
import { KVM_GET_SUPPORTED_CPUID, KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC, KVM_NR_IRQCHIPS } from "../../uapi/x86.js";
import type { Arch, BypassHooks, IrqForwarding, IrqLine, VmArch, VmIoctl } from "../arch.js";
import type { KvmDeviceType } from "../device.js";
import { isAckNotified, notifyMasked } from "../notifiers.js";
import { notifyIrqfdResampler } from "../resampler.js";
import type { Route } from "../route.js";
import { RouteScanner } from "../route-scanner.js";
import { setIrq } from "../routing.js";
import type { Vm } from "../vm.js";
import { systemAttr } from "./attr.js";
import { x86Capability } from "./capabilities.js";
import { PostingHooks } from "./bypass.js";
import type { KvmPit } from "./pit.js";
import { supportedCpuid } from "./cpuid.js";
import type { PostingHost } from "./module.js";
import { X86Vcpus } from "./create-vcpu.js";
import { VcpuX86 } from "./vcpu.js";
import { X86_VM_IOCTLS } from "./vm-ioctls.js";
import { X86_VCPU_MMAP_SIZE } from "./run-page.js";

const PINS_OF_ONE_PIC = 8;
const IPA_BITS = 46;
const MAX_VCPUS = 1024;
const MAX_RESERVED_PINS = 4096;

/** Which interrupt controllers of an x86 VM are in the kernel: none, PIC and IOAPIC too, or the LAPICs alone. */
export type IrqchipMode = "none" | "full" | "split";

/** What distinguishes x86 hosts and kernels. */
export interface X86Options {
  /** Which kernel's chips (x86-irqchip.md 15). Default newest. */
  readonly compat?: X86Compat | ChipRules;
  /** AMD without AVIC: a guest entry loses the low nibble of TPR (7.3). Default false. */
  readonly losesTprLowNibble?: boolean;
  /** What else the local APICs are (x86-irqchip.md 14.3); their mode, kernel and lost nibble are given elsewhere. */
  readonly lapic?: Partial<Omit<LapicOptions, "mode" | "compat" | "losesTprLowNibble">>;
  /** 0x20: an IOAPIC with an EOI register (5.1). Default 0x11. */
  readonly ioapicVersion?: 0x11 | 0x20;
  /** Where the module has APIC virtualisation on: what it needs of the host. Default null: off. */
  readonly posting?: PostingHost | null;
}

/** The x86 rules of KVM (x86-irqchip.md). */
export class X86 implements Arch {
  readonly name = "x86";
  readonly vcpuMmapSize = X86_VCPU_MMAP_SIZE;
  readonly compat: X86Compat | ChipRules;
  readonly rules: ChipRules;

  /** @param cpus physical CPUs online: what KVM_CAP_NR_VCPUS recommends */
  constructor(
    readonly cpus = 2,
    readonly options: X86Options = {},
  ) {
    this.compat = options.compat ?? "newest";
    this.rules = chipRules(this.compat);
  }

  /** The processor has the TPR itself. */
  get hasApicv(): boolean {
    return (this.options.posting ?? null) !== null;
  }

  ipaBits(type: number): number {
    return type === 0 ? IPA_BITS : -EINVAL;
  }

  capability(capability: number): number {
    return x86Capability(capability, this, true);
  }

  systemIoctl(process: Process, request: number, argument: number): number {
    if (request === KVM_GET_SUPPORTED_CPUID) return supportedCpuid(process, argument);
    const isAttr = request === K.KVM_HAS_DEVICE_ATTR || request === K.KVM_GET_DEVICE_ATTR;
    return isAttr ? systemAttr(process, request, argument) : -EINVAL;
  }

  createVm(vm: Vm): X86Vm {
    return new X86Vm(vm, this);
  }
}

/** An x86 VM: its controllers, and what the core and they ask about it. */
export class X86Vm implements VmArch, X86IrqchipVm {
  readonly name = "x86";
  readonly chips = KVM_NR_IRQCHIPS;
  readonly pinsPerChip = KVM_IOAPIC_NUM_PINS;
  readonly unknownIoctl = -ENOTTY;
  readonly ioctls: ReadonlyMap<number, VmIoctl> = X86_VM_IOCTLS;
  readonly bypass: BypassHooks | null;
  /** The same: device interrupts that are, or could be, posted into this VM. */
  readonly postings: PostingHooks | null;
  readonly forwarding: IrqForwarding | null = null;
  readonly armIrqchip: ArmIrqchip | null = null;
  readonly maxVcpus = MAX_VCPUS;
  readonly vcpuFactory = new X86Vcpus(this);
  irqchipMode: IrqchipMode = "none";
  /** Flags of KVM_CAP_X2APIC_API given before there were local APICs. */
  private x2apicFlags = 0;
  /** Online vCPUs by index. */
  readonly vcpus: VcpuX86[] = [];
  bootCpuId = 0;
  /** GSIs below it whose level routes exit with KVM_EXIT_IOAPIC_EOI (split mode). */
  reservedPins = 0;
  apics: LocalApicSet | null = null;
  pic: PicPair | null = null;
  ioapic: IoApic | null = null;
  /** KVM_CREATE_PIT2's. */
  pit: KvmPit | null = null;
  readonly sim: Sim;
  readonly acks: AckListener;

  constructor(
    readonly vm: Vm,
    readonly arch: X86,
  ) {
    const { posting } = this;
    this.sim = vm.sim;
    this.acks = vm;
    this.postings = posting !== null && posting.postsDevices ? new PostingHooks(this, posting) : null;
    this.bypass = this.postings;
  }

  /** Null without APIC virtualisation. */
  get posting(): PostingHost | null {
    return this.arch.options.posting ?? null;
  }

  // VmArch: what the core asks.

  capability(capability: number): number {
    return x86Capability(capability, this.arch, this.irqchipMode === "split");
  }

  enableCapability(capability: number, arg0: number): number {
    if (capability === K.KVM_CAP_SPLIT_IRQCHIP && this.arch.rules.hasSplitIrqchip) return this.enableSplit(arg0);
    return capability === K.KVM_CAP_X2APIC_API ? this.enableX2apicApi(arg0) : -EINVAL;
  }

  private enableSplit(reservedPins: number): number {
    if (reservedPins > MAX_RESERVED_PINS) return -EINVAL;
    if (this.irqchipMode !== "none" || this.vm.createdVcpus > 0) return -EEXIST;
    this.reservedPins = reservedPins;
    this.createApics("split").scanner = new RouteScanner(this);
    this.irqchipMode = "split";
    return 0;
  }

  /** KVM_SET_BOOT_CPU_ID. */
  setBootCpu(id: number): void {
    this.bootCpuId = id;
    if (this.apics !== null) this.apics.bootCpuId = id;
  }

  /** The local APICs to be, with what user space chose before. */
  createApics(mode: "full" | "split"): LocalApicSet {
    const { lapic = {}, losesTprLowNibble = false } = this.arch.options;
    const apics = new LocalApicSet(this, { ...lapic, mode, losesTprLowNibble, compat: this.arch.compat });
    apics.bootCpuId = this.bootCpuId;
    apics.enableX2apicApi(this.x2apicFlags);
    this.apics = apics;
    return apics;
  }

  /** 8.5: the flags of 2026 exclude each other; suppression needs an IOAPIC of user space's. */
  private enableX2apicApi(flags: number): number {
    if (flags > 0xffff_ffff || !this.arch.rules.hasX2apicApi) return -EINVAL;
    if (this.apics !== null) return this.apics.enableX2apicApi(flags);
    if ((flags & ~(x2apicApiFlags(this.arch.rules) & ~K.KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST)) !== 0) return -EINVAL;
    this.x2apicFlags |= flags;
    return 0;
  }

  /** Do MSI addresses carry 32-bit destinations? */
  private get use32BitIds(): boolean {
    if (this.apics !== null) return this.apics.api.use32BitIds;
    return (this.x2apicFlags & K.KVM_X2APIC_API_USE_32BIT_IDS) !== 0;
  }

  irqchipReady(): boolean {
    return true;
  }

  /** Resampling needs the acknowledge of the full irqchip (kvm-irq-core.md 2.3, AS4). */
  *allowsIrqfd(isResampling: boolean): Step<number> {
    if (this.irqchipMode === "full") return 0;
    return this.irqchipMode === "split" && !isResampling ? 0 : -EINVAL;
  }

  allowsRouting(): boolean {
    return this.hasIrqchip();
  }

  hasIrqchip(): boolean {
    return this.irqchipMode !== "none";
  }

  /** kvm-irq-core.md 4.4; a slave PIC's pins are kept as 8 to 15. HV_SINT and XEN_EVTCHN are not built in. */
  checkRoute(route: Route): number {
    if (route.type === K.KVM_IRQ_ROUTING_MSI) return isValidMsi(route.addressHi, this.use32BitIds) ? 0 : -EINVAL;
    if (route.type !== K.KVM_IRQ_ROUTING_IRQCHIP || this.irqchipMode === "split") return -EINVAL;
    if (route.chip > KVM_IRQCHIP_IOAPIC) return -EINVAL;
    const pins = route.chip === KVM_IRQCHIP_IOAPIC ? KVM_IOAPIC_NUM_PINS : PINS_OF_ONE_PIC;
    if (route.pin >= pins) return -EINVAL;
    if (route.chip === 1) route.pin += PINS_OF_ONE_PIC;
    return 0;
  }

  *setRoute(route: Route, source: number, level: number, lineStatus: boolean): Step<number> {
    if (route.type === K.KVM_IRQ_ROUTING_MSI) return yield* this.setMsi(route, level);
    const { pic, ioapic } = this;
    if (route.chip === KVM_IRQCHIP_IOAPIC) return ioapic === null ? -1 : yield* ioapic.setIrq(route.pin, source, level, lineStatus);
    return pic === null ? -1 : yield* pic.setIrq(route.pin, source, level);
  }

  private *setMsi(route: Route, level: number): Step<number> {
    if (!isValidMsi(route.addressHi, this.use32BitIds)) return -EINVAL;
    if (level === 0 || this.apics === null) return -1;
    return yield* this.apics.signalMsi(route.addressHi, route.addressLo, route.data);
  }

  /** Only what the map of local APICs can answer is delivered without sleeping (x86-irqchip.md 9). */
  *setRouteAtomic(route: Route): Step<number> {
    if (route.type !== K.KVM_IRQ_ROUTING_MSI || this.apics === null) return -EWOULDBLOCK;
    const result = yield* this.apics.signalMsiInAtomic(route.addressHi, route.addressLo, route.data);
    return result === NEEDS_SCAN ? -EWOULDBLOCK : result;
  }

  /** 8.3: in split mode the routes are the IOAPIC's entries. */
  *routesChanged(): Step<void> {
    if (this.irqchipMode === "split") yield* this.scanAll();
  }

  *ackNotifiersChanged(): Step<void> {
    if (this.irqchipMode === "full") yield* this.scanAll();
  }

  private *scanAll(): Step<void> {
    for (let i = 0; i < this.vcpus.length; i++) yield* this.vcpus[i].requestScanIoapic();
  }

  *irqLine(line: IrqLine, wantsStatus: boolean): Step<number> {
    if (!this.hasIrqchip()) return -ENXIO;
    const status = yield* setIrq(this.vm, 0, line.irq, line.level, wantsStatus);
    line.irq = status >>> 0;
    return 0;
  }

  deviceType(_type: number): KvmDeviceType | null {
    return null;
  }

  /** Timers that raise interrupts: before the routing table goes (kvm-irq-core.md 6.3, H26). */
  *stopTimers(): Step<void> {
    if (this.pit !== null) yield* this.pit.destroy();
  }

  /** The chips' buses are gone already; nothing of theirs is due any more. */
  *destroy(): Step<void> {
    this.ioapic?.storm.cancel();
  }

  // X86IrqchipVm: what the controllers ask.

  get lock(): Mutex {
    return this.vm.lock;
  }
  get slotsLock(): Mutex {
    return this.vm.slotsLock;
  }
  get createdVcpus(): number {
    return this.vm.createdVcpus;
  }
  get ipaBits(): number {
    return this.vm.ipaBits;
  }
  get hostGic(): PhysicalGic | null {
    return null;
  }
  get mmioBus(): MmioBus {
    return this.vm.mmioBus;
  }
  get pioBus(): PioBus {
    return this.vm.buses.pioPort;
  }

  *installDefaultRouting(pins: number): Step<number> {
    return yield* this.vm.installDefaultRouting(pins);
  }

  *haltGuest(): Step<void> {
    yield* this.vm.haltGuest();
  }

  *resumeGuest(): Step<void> {
    yield* this.vm.resumeGuest();
  }

  *notifyMasked(chip: number, pin: number, isMasked: boolean): Step<void> {
    yield* notifyMasked(this.vm, chip, pin, isMasked);
  }

  *notifyResampler(chip: number, pin: number): Step<boolean> {
    return yield* notifyIrqfdResampler(this.vm, chip, pin);
  }

  *hasAckNotifier(chip: number, pin: number): Step<boolean> {
    return yield* isAckNotified(this.vm, chip, pin);
  }
}
