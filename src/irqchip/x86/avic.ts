import { reads } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { matchesDestination } from "./apic-match.js";
import { AvicLogicalTable, AvicPhysicalTable } from "./avic-tables.js";
import { DeliveryMode, Shorthand } from "./contract.js";
import { sendIpi } from "./lapic/ipi.js";
import { ApicReg, DFR_FLAT } from "./lapic/registers.js";
import type { ApicAccelerator, Lapic } from "./lapic/lapic.js";
import type { LocalApicSet } from "./local-apics.js";
import type { NotificationPort, PostedVcpu } from "./posted-interrupts.js";
import { hasVector } from "../../arch/x86/vector-set.js";

const XAPIC_IDS = 256;
const FLAT_SIZE = 8;
const CLUSTER_SIZE = 4;
const BROADCAST = 0xff;

/** EXITINFO2 of AVIC_INCOMPLETE_IPI; DELIVERED: no exit. */
export const enum AvicIpi {
  DELIVERED = -1,
  INVALID_TYPE = 0,
  NOT_RUNNING = 1,
  INVALID_TARGET = 2,
  INVALID_BACKING_PAGE = 3,
}

/** AVIC of one VM (x86-irqchip.md 11): the tables, IPIs as hardware sends them, and what KVM does about their exits. */
export class Avic {
  readonly physical = new AvicPhysicalTable(XAPIC_IDS);
  readonly logical = new AvicLogicalTable();
  private readonly byId: (AvicVcpu | null)[] = new Array<AvicVcpu | null>(XAPIC_IDS).fill(null);

  constructor(
    readonly set: LocalApicSet,
    /** Rings doorbells: `send(apicId, -1)`. */
    readonly port: NotificationPort,
    /** In GA tags, above the vCPU id. */
    readonly vmId = 1,
  ) {}

  /** Makes a local APIC's register page its backing page. Only ids below 256 have an entry. */
  *attach(lapic: Lapic, vcpu: PostedVcpu, backingPage: number): Step<AvicVcpu> {
    const avic = new AvicVcpu(this, lapic, vcpu);
    this.byId[vcpu.id] = avic;
    yield* this.physical.install(vcpu.id, backingPage);
    yield* lapic.accelerate(avic);
    yield* avic.logicalChanged();
    return avic;
  }

  /** What an IOMMU's guest-mode entry carries to name a vCPU in its log. */
  gaTag(vcpuId: number): number {
    return (this.vmId << 8) | (vcpuId & 0xff);
  }

  /** A GA log entry: a device posted to a vCPU that does not run. */
  *gaLog(tag: number): Step<void> {
    const avic = tag >>> 8 === this.vmId ? this.byId[tag & 0xff] : null;
    if (avic !== null) yield* avic.vcpu.wakeUp();
  }

  /**
   * The guest writes ICR and hardware sends: edge-triggered fixed vectors only. It looks at all targets before it sends to
   * any; an entry that is not valid ends the walk with nothing sent.
   */
  *hardwareIpi(source: Lapic, low: number, high: number): Step<AvicIpi> {
    const isFixed = ((low >> 8) & 7) === (DeliveryMode.FIXED as number);
    if (!isFixed || (low & (1 << 15)) !== 0) return AvicIpi.INVALID_TYPE;
    const vector = low & 0xff;
    const shorthand = ((low >> 18) & 3) as Shorthand;
    if (shorthand === Shorthand.SELF) return yield* this.postTo(source.vcpu.id, vector);
    const destination = high >>> 24;
    if (shorthand !== Shorthand.NONE || destination === BROADCAST) {
      return yield* this.postToAll(shorthand === Shorthand.ALL_BUT_SELF ? source.vcpu.id : -1, vector);
    }
    if ((low & (1 << 11)) !== 0) return yield* this.postLogical(source, destination, vector);
    const isValid = yield* this.physical.isValid(destination);
    return isValid ? yield* this.postTo(destination, vector) : AvicIpi.INVALID_TARGET;
  }

  private *postToAll(except: number, vector: number): Step<AvicIpi> {
    let outcome = AvicIpi.DELIVERED;
    for (let id = 0; id < XAPIC_IDS; id++) {
      const isValid = id !== except && (yield* this.physical.isValid(id));
      if (!isValid) continue;
      const one = yield* this.postTo(id, vector);
      if (one !== AvicIpi.DELIVERED) outcome = one;
    }
    return outcome;
  }

  private *postLogical(source: Lapic, destination: number, vector: number): Step<AvicIpi> {
    const isFlat = source.page[ApicReg.DFR >> 2] === DFR_FLAT;
    const first = isFlat ? 0 : (destination >>> 4) * CLUSTER_SIZE;
    const bits = destination & ((1 << (isFlat ? FLAT_SIZE : CLUSTER_SIZE)) - 1);
    for (let left = bits; left !== 0; left &= left - 1) {
      const id = yield* this.logical.find(first + 31 - Math.clz32(left & -left));
      if (id < 0) return AvicIpi.INVALID_TARGET;
    }
    let outcome = AvicIpi.DELIVERED;
    for (let left = bits; left !== 0; left &= left - 1) {
      const id = yield* this.logical.find(first + 31 - Math.clz32(left & -left));
      const one = id < 0 ? AvicIpi.DELIVERED : yield* this.postTo(id, vector);
      if (one !== AvicIpi.DELIVERED) outcome = one;
    }
    return outcome;
  }

  /** The request goes into the backing page first; then the doorbell, or the exit for a target that does not run. */
  private *postTo(id: number, vector: number): Step<AvicIpi> {
    const target = this.byId[id];
    if (target === null) return AvicIpi.INVALID_BACKING_PAGE;
    yield* target.lapic.setIrr(vector);
    const host = yield* this.physical.runsOn(id);
    if (host < 0) return AvicIpi.NOT_RUNNING;
    yield* this.ring(id, host);
    return AvicIpi.DELIVERED;
  }

  *ring(id: number, host: number): Step<void> {
    this.set.vm.sim.emit(Ev.kvm_avic_doorbell, id, host);
    yield* this.port.send(host, DOORBELL);
  }

  /** The guest's ICR write with AVIC: by hardware, and where that exits by KVM. */
  *writeIcr(source: Lapic, low: number, high: number): Step<AvicIpi> {
    const reason = yield* this.hardwareIpi(source, low, high);
    if (reason !== AvicIpi.DELIVERED) this.set.vm.sim.emit(Ev.kvm_avic_incomplete_ipi, source.vcpu.id, low >>> 0, reason);
    if (reason === AvicIpi.INVALID_TYPE) yield* sendIpi(source, low, high);
    else if (reason === AvicIpi.NOT_RUNNING) yield* this.kickTargets(source, low, high);
    return reason;
  }

  /** The requests are in the backing pages: KVM only makes the targets look. */
  private *kickTargets(source: Lapic, low: number, high: number): Step<void> {
    const shorthand = ((low >> 18) & 3) as Shorthand;
    for (let i = 0; i < this.set.vm.vcpus.length; i++) {
      const lapic = this.set.lapics[this.set.vm.vcpus[i].index];
      const { [lapic.vcpu.id]: target } = this.byId;
      const isMatch = yield* matchesDestination(lapic, source, shorthand, high >>> 24, (low & (1 << 11)) !== 0);
      if (isMatch && target !== null) yield* target.notify();
    }
  }
}

/** What {@link NotificationPort.send} is given for a doorbell, which is no vector. */
export const DOORBELL = -1;

/** AVIC of one vCPU. */
export class AvicVcpu implements ApicAccelerator {
  readonly vendor = "amd";
  private logicalIndex = -1;

  constructor(
    private readonly avic: Avic,
    readonly lapic: Lapic,
    readonly vcpu: PostedVcpu,
  ) {}

  /** By software: the request first, then whether the target runs (the barrier of svm_deliver_interrupt). */
  *deliver(lapic: Lapic, vector: number): Step<boolean> {
    const isNew = yield* lapic.setIrr(vector);
    yield* this.notify();
    return isNew;
  }

  /** A doorbell to a CPU that it has just left is harmless: VMRUN evaluates the requests again. */
  *notify(): Step<void> {
    const { avic, vcpu } = this;
    const isInGuest = yield* vcpu.isInGuest();
    if (!isInGuest) yield* vcpu.wakeUp();
    else if (!vcpu.isCurrent()) yield* avic.ring(vcpu.id, avic.port.apicId(vcpu.physicalCpu));
  }

  /** The backing page is the register page: nothing to merge. */
  *sync(): Step<void> {}
  *clear(): Step<void> {}

  *load(cpu: number): Step<void> {
    yield* this.avic.physical.setRunning(this.vcpu.id, this.avic.port.apicId(cpu));
  }

  *put(): Step<void> {
    yield* this.avic.physical.setRunning(this.vcpu.id, -1);
  }

  /** LDR or DFR changed: the old entry goes, the new one comes. */
  *logicalChanged(): Step<void> {
    const { avic, lapic } = this;
    yield reads(lapic, "addressing");
    const next = AvicLogicalTable.indexOf(lapic.addressing[ApicReg.LDR >> 2], lapic.addressing[ApicReg.DFR >> 2]);
    if (next === this.logicalIndex) return;
    if (this.logicalIndex >= 0) yield* avic.logical.clear(this.logicalIndex);
    this.logicalIndex = next;
    if (next >= 0) yield* avic.logical.set(next, this.vcpu.id);
  }

  /** Does the EOI of this vector trap? Level ones do, edge ones KVM never sees. */
  *trapsEoi(vector: number): Step<boolean> {
    yield reads(this.lapic, "tmr");
    return hasVector(this.lapic.tmr, vector);
  }
}
