import { reads, shared, writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import { ApicBase, ApicMode } from "../apic-base.js";
import { AutoEoiVectors } from "../auto-eoi.js";
import { ApicMessage, DeliveryMode, type Receivers, type X86Vcpu } from "../contract.js";
import { HandledVectors } from "../handled-vectors.js";
import type { ApicvVendor } from "../inhibits.js";
import * as access from "./access.js";
import { endOfInterrupt } from "./eoi.js";
import { deliverLocal } from "./lvt.js";
import { InitEvents } from "./init.js";
import * as record from "./record.js";
import { ApicReg, LAPIC_RECORD_SIZE, LVR_DIRECTED_EOI, LVT_MASKED, LVT_MODE_SHIFT, SPIV_DIRECTED_EOI } from "./registers.js";
import { LapicTimer } from "./timer.js";
import type { LocalApicSet } from "../local-apics.js";
import { addVector, countVectors, hasVector, highestVector, removeVector } from "../../../arch/x86/vector-set.js";

/** Hardware that takes vectors past the software's IRR: posted interrupts (10), AVIC (11). */
export interface ApicAccelerator {
  readonly vendor: ApicvVendor;
  /** Delivers one vector. False: it was pending already. */
  deliver(lapic: Lapic, vector: number): Step<boolean>;
  /** Moves what hardware or other CPUs posted into the IRR. */
  sync(lapic: Lapic): Step<void>;
  /** Nothing that was posted before SET_LAPIC or a reset stays. */
  clear(lapic: Lapic): Step<void>;
  /** LDR or DFR may have changed. */
  logicalChanged(): Step<void>;
}

/** What a vCPU's CPUID says of its local APIC. */
export interface ApicCpuid {
  readonly hasX2apic: boolean;
  readonly hasTscDeadline: boolean;
  /** MAXPHYADDR */
  readonly physicalBits: number;
}

/**
 * One local APIC as KVM emulates it (x86-irqchip.md 6.4, 7, 8.1). No lock: IRR, ISR and TMR change by atomic bit
 * operations, everything else by its own vCPU alone.
 */
export class Lapic {
  /** The registers at their xAPIC offsets, as int32. */
  readonly page = new Int32Array(LAPIC_RECORD_SIZE >> 2);
  readonly irr: Int32Array = this.page.subarray(ApicReg.IRR >> 2, ApicReg.ESR >> 2);
  readonly isr: Int32Array = this.page.subarray(ApicReg.ISR >> 2, ApicReg.TMR >> 2);
  readonly tmr: Int32Array = this.page.subarray(ApicReg.TMR >> 2, ApicReg.IRR >> 2);
  /** The page once more: for ID, LDR, DFR and LVT0, which other contexts read. */
  readonly addressing: Int32Array = this.page;
  /** A hint: false only when IRR is empty. */
  irrPending = false;
  isSwEnabled = false;
  /** Accepted mode-1 messages: what arbitration without hashing compares. */
  arbitrationCount = 0;
  readonly base: ApicBase;
  readonly timer: LapicTimer;
  readonly init: InitEvents;
  readonly handled: HandledVectors;
  readonly autoEoi: AutoEoiVectors;
  /** In use now. */
  accelerator: ApicAccelerator | null = null;
  /** There to be used while nothing inhibits it. */
  hardware: ApicAccelerator | null = null;
  needsApicvUpdate = false;
  /** Null before KVM_SET_CPUID2. */
  cpuid: ApicCpuid | null = null;
  /** The halves of the last successful {@link msrRead}. */
  msrLow = 0;
  msrHigh = 0;
  /** Filled anew by each interprocessor interrupt. */
  readonly message = new ApicMessage();
  /** How many vectors ISR holds. */
  inService = 0;

  constructor(
    readonly set: LocalApicSet,
    readonly vcpu: X86Vcpu,
  ) {
    this.base = new ApicBase(this);
    this.timer = new LapicTimer(this);
    this.init = new InitEvents(this);
    this.handled = new HandledVectors(this);
    this.autoEoi = new AutoEoiVectors(set.inhibits);
  }

  // Accepting (6.4).

  /** 1 or 0: did it accept? Called from any context. */
  *accept(message: ApicMessage, receivers: Receivers | null): Step<number> {
    return yield* this.acceptIrq(message.mode, message.vector, message.isLevel, message.isAsserted, receivers);
  }

  *acceptIrq(mode: DeliveryMode, vector: number, isLevel: boolean, isAsserted: boolean, receivers: Receivers | null): Step<number> {
    if (mode === DeliveryMode.FIXED) return yield* this.acceptVector(mode, vector, isLevel, isAsserted, receivers);
    if (mode !== DeliveryMode.LOWEST_PRIORITY) return yield* this.init.accept(mode, vector, isLevel, isAsserted);
    yield writes(this, "arbitrationCount");
    this.arbitrationCount++;
    return yield* this.acceptVector(mode, vector, isLevel, isAsserted, receivers);
  }

  private *acceptVector(mode: DeliveryMode, vector: number, isLevel: boolean, isAsserted: boolean, receivers: Receivers | null): Step<number> {
    if (isLevel && !isAsserted) return 0;
    yield reads(this.base, "mode");
    const isPresent = this.base.mode !== ApicMode.DISABLED;
    yield reads(this, "isSwEnabled");
    if (!isPresent || !this.isSwEnabled) {
      this.note(mode, vector, isLevel, "target disabled");
      return 0;
    }
    if (receivers !== null) receivers.add(this.vcpu.index);
    yield reads(this, "tmr");
    if (hasVector(this.tmr, vector) !== isLevel) {
      yield writes(this, "tmr");
      if (isLevel) addVector(this.tmr, vector);
      else removeVector(this.tmr, vector);
    }
    yield* this.deliverVector(mode, vector, isLevel);
    return 1;
  }

  private *deliverVector(mode: DeliveryMode, vector: number, isLevel: boolean): Step<void> {
    yield reads(this, "accelerator");
    const { accelerator } = this;
    if (accelerator !== null) {
      const isNew = yield* accelerator.deliver(this, vector);
      this.note(mode, vector, isLevel, isNew ? "posted" : "PIR already set");
      return;
    }
    const isNew = yield* this.setIrr(vector);
    this.note(mode, vector, isLevel, isNew ? "requested" : "IRR already set");
    yield* this.vcpu.requestEvent();
  }

  private note(mode: DeliveryMode, vector: number, isLevel: boolean, outcome: string): void {
    const { sim } = this.set.vm;
    if (sim.tracing) sim.emit(Ev.kvm_apic_accept_irq, this.vcpu.id, mode, isLevel ? 1 : 0, vector, outcome);
  }

  /** 7.8: a local interrupt. Was it accepted? */
  *deliverLocal(lvt: number): Step<boolean> {
    return yield* deliverLocal(this, lvt);
  }

  // Requests (7.4). The hint follows the bit when it is set and precedes it when it is cleared (X15).

  /** False: the bit was set already. */
  *setIrr(vector: number): Step<boolean> {
    const { hazards } = this.set;
    if (hazards.hintBeforeBit) yield* this.setHint();
    yield writes(this, "irr");
    const isNew = !hasVector(this.irr, vector);
    addVector(this.irr, vector);
    if (!hazards.hintBeforeBit) yield* this.setHint();
    return isNew;
  }

  *setHint(): Step<void> {
    yield writes(this, "irrPending");
    this.irrPending = true;
  }

  private *clearIrr(vector: number): Step<void> {
    const isLate = this.set.hazards.hintClearedLast;
    if (!isLate) {
      yield writes(this, "irrPending");
      this.irrPending = this.accelerator !== null;
    }
    yield writes(this, "irr");
    removeVector(this.irr, vector);
    yield reads(this, "irr");
    const isEmpty = highestVector(this.irr) < 0;
    if (isEmpty !== isLate) return;
    yield writes(this, "irrPending");
    this.irrPending = !isEmpty;
  }

  /** -1: none. */
  *highestRequest(): Step<number> {
    if (this.hardware !== null) yield* this.hardware.sync(this);
    yield reads(this, "irrPending");
    if (!this.irrPending) return -1;
    yield reads(this, "irr");
    return highestVector(this.irr);
  }

  // Priority (7.3).

  /** The most urgent vector in service, -1: none. */
  *highestInService(): Step<number> {
    if (this.inService === 0) return -1;
    yield reads(this, "isr");
    return highestVector(this.isr);
  }

  /** Recomputes PPR; what it was. */
  *computePpr(): Step<number> {
    const { page } = this;
    const old = page[ApicReg.PPR >> 2];
    const tpr = page[ApicReg.TPR >> 2] & 0xff;
    const block = Math.max(0, yield* this.highestInService()) & 0xf0;
    page[ApicReg.PPR >> 2] = (tpr & 0xf0) >= block ? tpr : block;
    return old;
  }

  /** Recomputes PPR, and asks for a look when a request has become deliverable. */
  *updatePpr(): Step<void> {
    const old = yield* this.computePpr();
    if (this.page[ApicReg.PPR >> 2] >= old) return;
    const vector = yield* this.deliverable();
    if (vector >= 0) yield* this.vcpu.requestEvent();
  }

  private *deliverable(): Step<number> {
    const highest = yield* this.highestRequest();
    return highest >= 0 && (highest & 0xf0) > this.page[ApicReg.PPR >> 2] ? highest : -1;
  }

  /** The vector that {@link take} would take, -1: none. Only the global enable counts here (7.4). */
  *nextInterrupt(): Step<number> {
    if (this.hardware !== null) yield* this.updateApicv();
    if (!this.base.isEnabled()) return -1;
    yield* this.computePpr();
    return yield* this.deliverable();
  }

  /** The CPU takes this vector, which {@link nextInterrupt} gave: IRR to ISR, past it where its end comes by itself. */
  *take(vector: number): Step<void> {
    const { sim } = this.set.vm;
    if (sim.tracing) sim.emit(Ev.apic_take, this.vcpu.id, vector);
    yield* this.clearIrr(vector);
    if (this.autoEoi.has(vector)) {
      yield* this.updatePpr();
      return;
    }
    yield* this.setIsr(vector);
    yield* this.computePpr();
  }

  private *setIsr(vector: number): Step<void> {
    yield writes(this, "isr");
    if (!hasVector(this.isr, vector)) this.inService++;
    addVector(this.isr, vector);
  }

  // End of interrupt (8.1).

  /** The vector that ended, -1 when none was in service. */
  *eoi(): Step<number> {
    return yield* endOfInterrupt(this);
  }

  /** 8.5: the guest has asked for no broadcast, and user space lets it; whether the version offers it is not asked again (6.18). */
  isBroadcastSuppressed(): boolean {
    return this.set.api.suppression === "enabled" && this.wantsDirectedEoi();
  }

  /** SPIV bit 12, whoever set it. */
  wantsDirectedEoi(): boolean {
    return (this.page[ApicReg.SPIV >> 2] & SPIV_DIRECTED_EOI) !== 0;
  }

  /** This vCPU gets hardware that virtualises its local APIC (null: loses it), to be used while nothing inhibits it. */
  *accelerate(hardware: ApicAccelerator | null): Step<void> {
    this.hardware = hardware;
    yield* this.requestApicvUpdate();
    yield* this.updateApicv();
  }

  /** Called from any context. */
  *requestApicvUpdate(): Step<void> {
    yield writes(this, "needsApicvUpdate");
    this.needsApicvUpdate = true;
    yield* this.vcpu.requestEvent();
  }

  /**
   * KVM_REQ_APICV_UPDATE in the vCPU's own context. The vCPU looks after it, as an interrupt accepted by hardware made no
   * event request. While inhibited, devices may go on posting: looks at the IRR merge that all the same ("KVM: VMX: prepare
   * sync_pir_to_irr for running with APICv disabled", 2021).
   */
  private *updateApicv(): Step<void> {
    yield writes(this, "needsApicvUpdate");
    if (!this.needsApicvUpdate) return;
    this.needsApicvUpdate = false;
    const isInhibited = this.hardware !== null && (yield* this.set.inhibits.isInhibited(this.hardware.vendor));
    const next = isInhibited ? null : this.hardware;
    if (next === this.accelerator) return;
    const { hardware, accelerator } = this;
    yield writes(this, "accelerator");
    this.accelerator = next;
    if (accelerator !== null && hardware === null) yield* accelerator.sync(this);
    yield* this.recount();
    yield* this.vcpu.requestEvent();
  }

  /** Is the vector in IRR or ISR? What is only posted does not count: a rescan merges it first. */
  *isPendingOrInService(vector: number): Step<boolean> {
    yield reads(this, "irr");
    if (hasVector(this.irr, vector)) return true;
    yield reads(this, "isr");
    return hasVector(this.isr, vector);
  }

  /** After the whole page changed: hints and caches anew. */
  *recount(): Step<void> {
    yield reads(this, "isr");
    this.inService = countVectors(this.isr);
    yield writes(this, "irrPending");
    this.irrPending = true;
    yield reads(this, "irr");
    const isEmpty = highestVector(this.irr) < 0;
    if (!isEmpty || this.accelerator !== null) return;
    yield writes(this, "irrPending");
    this.irrPending = false;
  }

  // The CPU's side: CR8, MMIO, MSRs; user space's: the record.

  cr8(): number {
    return (this.page[ApicReg.TPR >> 2] >> 4) & 0xf;
  }

  /** MOV to CR8, bits 3:0. */
  *setCr8(value: number): Step<void> {
    yield* access.writeTpr(this, (value & 0xf) << 4);
  }

  /** After each exit from the guest: where CR8 carries the TPR, its low nibble does not survive (7.3). */
  *syncCr8(): Step<void> {
    if (this.set.options.losesTprLowNibble && (this.page[ApicReg.TPR >> 2] & 0xf) !== 0) yield* access.writeTpr(this, this.page[ApicReg.TPR >> 2] & 0xf0);
  }

  /** Does this guest physical address reach the register window? */
  hasAddress(address: number): boolean {
    return this.base.holds(address);
  }

  /** A guest load of 1, 2, 4 or 8 bytes: the low 32 bits. */
  *mmioRead(offset: number, size: number): Step<number> {
    return yield* access.mmioRead(this, offset, size);
  }

  *mmioWrite(offset: number, size: number, value: number): Step<void> {
    yield* access.mmioWrite(this, offset, size, value);
  }

  /** RDMSR of 0x1b, 0x6e0 or 0x800-0x8ff: true with the value in `msrLow` and `msrHigh`, false for #GP. */
  *msrRead(msr: number): Step<boolean> {
    return yield* access.msrRead(this, msr);
  }

  /** WRMSR by the guest, or by user space where `isHost`: false for #GP. */
  *msrWrite(msr: number, low: number, high: number, isHost = false): Step<boolean> {
    return yield* access.msrWrite(this, msr, low, high, isHost);
  }

  /** KVM_SET_CPUID2: what follows of it for version and timer modes. */
  *setCpuid(cpuid: ApicCpuid): Step<void> {
    this.cpuid = cpuid;
    this.setVersion();
  }

  setVersion(): void {
    const { hasCmci, mode } = this.set.options;
    const canDirect = this.cpuid !== null && this.cpuid.hasX2apic && mode === "split" && this.set.api.suppression !== "disabled";
    this.page[ApicReg.LVR >> 2] = 0x14 | ((hasCmci ? 6 : 5) << 16) | (canDirect ? LVR_DIRECTED_EOI : 0);
  }

  /** 7.9: does it take ExtINT from a PIC? Asked from any context. */
  *acceptsPic(): Step<boolean> {
    yield reads(this.base, "mode");
    if (this.base.mode === ApicMode.DISABLED) return true;
    yield reads(this, "addressing");
    const lint0 = this.addressing[ApicReg.LVT0 >> 2];
    return (lint0 & LVT_MASKED) === 0 && ((lint0 >> LVT_MODE_SHIFT) & 7) === DeliveryMode.EXTINT;
  }

  /** Power-on (`isInit` false) or INIT: registers to their reset values (7.1). */
  *reset(isInit: boolean): Step<void> {
    yield* record.reset(this, isInit);
  }

  /** KVM_GET_LAPIC: 1024 bytes into `into` as 256 words. */
  *get(into: Int32Array): Step<void> {
    yield* record.getRecord(this, into);
  }

  /** KVM_SET_LAPIC: 0, or -EINVAL for an id that is not the vCPU's (7.10). */
  *put(from: Int32Array): Step<number> {
    return yield* record.setRecord(this, from);
  }
}
shared(Lapic, "irr", "isr", "tmr", "addressing", "irrPending", "isSwEnabled", "arbitrationCount", "needsApicvUpdate");
