import { reads } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import {
  KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
  KVM_X2APIC_API_USE_32BIT_IDS,
  KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST,
  KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST,
} from "../../uapi/kvm.js";
import { ApicMode } from "./apic-base.js";
import { deliverFast, deliverMessage } from "./apic-deliver.js";
import { MapKeeper } from "./apic-map.js";
import { matchesDestination } from "./apic-match.js";
import { chipRules, type ChipRules } from "./chip-rules.js";
import { ApicMessage, type EoiSink, type LocalApics, type Receivers, Shorthand, type X86IrqchipVm, type X86Vcpu } from "./contract.js";
import { Inhibits, type InhibitWatcher } from "./inhibits.js";
import type { Hazards } from "../../sim/hazards.js";
import { LAPIC_DEFAULTS, type LapicOptions, X2apicApi } from "./lapic/options.js";
import { Lapic } from "./lapic/lapic.js";
import { decodeMsi, isValidMsi } from "./msi.js";

const TWO_32 = 4_294_967_296;
const FIRST_FLAGS = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
const EOI_BROADCAST_FLAGS = KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST | KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST;

/** The flags of KVM_CAP_X2APIC_API that a kernel knows in any mode; 0: not even the capability. */
export function x2apicApiFlags(rules: ChipRules): number {
  if (!rules.hasX2apicApi) return 0;
  return rules.hasEoiBroadcastFlags ? FIRST_FLAGS | EOI_BROADCAST_FLAGS : FIRST_FLAGS;
}

/** Who says which vectors of a vCPU are handled (8.3): the IOAPIC, or in split mode the VM's message routes. */
export type EntryScanner = Pick<EoiSink, "scanEntries">;

/** All local APICs of a VM: message delivery between them and to them (x86-irqchip.md 6, 7). */
export class LocalApicSet implements LocalApics, InhibitWatcher {
  /** By vCPU index. A vCPU that is being created is here before it is online. */
  readonly lapics: Lapic[] = [];
  readonly options: LapicOptions;
  readonly hazards: Hazards;
  readonly rules: ChipRules;
  readonly api = new X2apicApi();
  readonly inhibits: Inhibits;
  readonly map: MapKeeper;
  /** The IOAPIC of full mode. */
  eoiSink: EoiSink | null = null;
  scanner: EntryScanner | null = null;
  /** KVM_SET_BOOT_CPU_ID */
  bootCpuId = 0;
  /** Messages and lists that deliveries borrow: one for each that is under way. */
  private readonly messages: ApicMessage[] = [];
  private readonly spare: (Lapic | null)[][] = [];

  constructor(
    readonly vm: X86IrqchipVm,
    options: Partial<LapicOptions> = {},
  ) {
    this.options = { ...LAPIC_DEFAULTS, ...options };
    this.hazards = vm.sim.hazards;
    this.rules = chipRules(this.options.compat);
    this.inhibits = new Inhibits(this);
    this.map = new MapKeeper(this);
  }

  /** Full mode: the IOAPIC hears of EOIs and names the handled vectors. */
  connectIoapic(ioapic: EoiSink): void {
    this.eoiSink = ioapic;
    this.scanner = ioapic;
  }

  /** KVM_CAP_X2APIC_API (2): 0, or -EINVAL for unknown or contradicting flags, or bit 2 outside split mode. */
  enableX2apicApi(flags: number): number {
    const isEnable = (flags & KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST) !== 0;
    const isDisable = (flags & KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST) !== 0;
    if (!this.rules.hasX2apicApi || (flags & ~x2apicApiFlags(this.rules)) !== 0 || (isEnable && isDisable)) return -EINVAL;
    if (isEnable && this.options.mode !== "split") return -EINVAL;
    if ((flags & KVM_X2APIC_API_USE_32BIT_IDS) !== 0) this.api.use32BitIds = true;
    if ((flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK) !== 0) this.api.isBroadcastQuirkDisabled = true;
    if (isEnable) this.api.suppression = "enabled";
    if (isDisable) this.api.suppression = "disabled";
    return 0;
  }

  /**
   * A vCPU is being created: its local APIC, reset. Called before the vCPU is in `vm.vcpus`, so the map that this
   * builds does not know it: messages to it give 0 until the next rebuild (6.2).
   */
  *add(vcpu: X86Vcpu): Step<Lapic> {
    const lapic = new Lapic(this, vcpu);
    this.lapics[vcpu.index] = lapic;
    yield* lapic.reset(false);
    return lapic;
  }

  isBootCpu(vcpu: X86Vcpu): boolean {
    return vcpu.id === this.bootCpuId;
  }

  *deliver(message: ApicMessage, receivers: Receivers | null): Step<number> {
    return yield* deliverMessage(this, null, message, receivers);
  }

  /** An IPI. */
  *deliverFrom(source: Lapic, message: ApicMessage, receivers: Receivers | null): Step<number> {
    return yield* deliverMessage(this, source, message, receivers);
  }

  /** KVM_SIGNAL_MSI and MSI routes: the result of 6.3, or -EINVAL for an address that 32-bit ids forbid. */
  *signalMsi(addressHi: number, addressLo: number, data: number): Step<number> {
    const { use32BitIds } = this.api;
    if (!isValidMsi(addressHi, use32BitIds)) return -EINVAL;
    const message = this.messages.pop() ?? new ApicMessage();
    decodeMsi(message, addressHi, addressLo, data, use32BitIds);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.kvm_msi_set_irq, (addressHi >>> 0) * TWO_32 + (addressLo >>> 0), data >>> 0);
    const result = yield* deliverMessage(this, null, message, null);
    this.messages.push(message);
    return result;
  }

  /** {@link signalMsi} where nothing may sleep: NEEDS_SCAN, with nothing done, where the map cannot resolve it (9). */
  *signalMsiInAtomic(addressHi: number, addressLo: number, data: number): Step<number> {
    const { use32BitIds } = this.api;
    if (!isValidMsi(addressHi, use32BitIds)) return -EINVAL;
    const message = this.messages.pop() ?? new ApicMessage();
    decodeMsi(message, addressHi, addressLo, data, use32BitIds);
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.kvm_msi_set_irq, (addressHi >>> 0) * TWO_32 + (addressLo >>> 0), data >>> 0);
    const result = yield* deliverFast(this, null, message, null);
    this.messages.push(message);
    return result;
  }

  *matches(vcpuIndex: number, destination: number, isLogical: boolean): Step<boolean> {
    const lapic = this.lapics[vcpuIndex];
    return yield* matchesDestination(lapic, null, Shorthand.NONE, destination, isLogical);
  }

  *isPendingOrInService(vcpuIndex: number, vector: number): Step<boolean> {
    return yield* this.lapics[vcpuIndex].isPendingOrInService(vector);
  }

  *acceptsPic(vcpuIndex: number): Step<boolean> {
    return yield* this.lapics[vcpuIndex].acceptsPic();
  }

  addHandled(vcpuIndex: number, vector: number, isStale: boolean): void {
    this.lapics[vcpuIndex].handled.add(vector, isStale);
  }

  /** 8.3, one route or entry of a running rescan: adds its vector if the vCPU is meant or still has it pending. */
  *scanOne(vcpuIndex: number, destination: number, isLogical: boolean, vector: number): Step<void> {
    const lapic = this.lapics[vcpuIndex];
    const isMeant = yield* this.matches(vcpuIndex, destination, isLogical);
    if (isMeant) {
      lapic.handled.add(vector, false);
      return;
    }
    const isPending = yield* lapic.isPendingOrInService(vector);
    if (isPending) lapic.handled.add(vector, true);
  }

  /** Is this vCPU's APIC globally enabled? Asked from any context. */
  *isPresent(vcpuIndex: number): Step<boolean> {
    const { base } = this.lapics[vcpuIndex];
    yield reads(base, "mode");
    return base.mode !== ApicMode.DISABLED;
  }

  /** KVM_REQ_APICV_UPDATE to every vCPU whose local APIC hardware virtualises, or could. */
  *inhibitsChanged(): Step<void> {
    for (let i = 0; i < this.vm.vcpus.length; i++) {
      const lapic = this.lapics[this.vm.vcpus[i].index];
      if (lapic.hardware !== null) yield* lapic.requestApicvUpdate();
    }
  }

  /** An empty list for one delivery. */
  borrowCandidates(): (Lapic | null)[] {
    return this.spare.pop() ?? new Array<Lapic | null>(this.vm.vcpus.length).fill(null);
  }

  returnCandidates(list: (Lapic | null)[], used: number): void {
    for (let i = 0; i < used; i++) list[i] = null;
    this.spare.push(list);
  }
}
