import { writes, reads } from "../../sim/access.js";
import { ListLink, KernelList } from "../../sim/list.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { ApicAccelerator, Lapic } from "./lapic/lapic.js";
import { POSTED_INTR_VECTOR, POSTED_INTR_WAKEUP_VECTOR, PostedDescriptor } from "../../arch/x86/posted-descriptor.js";
import { addVectors, highestVector } from "../../arch/x86/vector-set.js";

const PIR_WORDS = 8;

/** A vCPU as those who post to it see it (host-irq.md 3.1), implemented by the VM. */
export interface PostedVcpu {
  readonly id: number;
  /** The physical CPU that it is loaded on, or was last. */
  readonly physicalCpu: number;
  /** IN_GUEST_MODE, asked after a point of its own. */
  isInGuest(): Step<boolean>;
  /** Is it the vCPU of the running context? */
  isCurrent(): boolean;
  /** Wakes it if it is blocked. */
  wakeUp(): Step<void>;
}

/** The physical CPUs' local APICs, as far as notifications go. */
export interface NotificationPort {
  /** Decides the layout of NDST. */
  readonly isX2apic: boolean;
  apicId(cpu: number): number;
  /** A host interrupt with this vector on the physical CPU with this APIC id. */
  send(apicId: number, vector: number): Step<void>;
}

/** wakeup_vcpus_on_cpu: vCPUs that blocked on one physical CPU. */
class WakeupList {
  readonly lock: Spinlock;
  readonly blocked = new KernelList<PostedInterrupts>();

  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "wakeup_vcpus_on_cpu_lock");
  }
}

/** The host's half of posted interrupts: what its CPUs do with the notification vectors (x86-irqchip.md 10.4). */
export class PostedHost {
  private readonly lists: readonly WakeupList[];

  constructor(
    readonly sim: Sim,
    cpus: number,
    readonly port: NotificationPort,
  ) {
    this.lists = Array.from({ length: cpus }, () => new WakeupList(sim));
  }

  ndstOf(cpu: number): number {
    const id = this.port.apicId(cpu);
    return this.port.isX2apic ? id : (id << 8) & 0xff00;
  }

  /** The APIC id in an NDST. */
  apicIdOf(ndst: number): number {
    return this.port.isX2apic ? ndst : (ndst >> 8) & 0xff;
  }

  *enlist(cpu: number, posted: PostedInterrupts): Step<void> {
    const list = this.lists[cpu];
    yield* list.lock.lock();
    yield* list.blocked.addTail(posted.link);
    yield* list.lock.unlock();
  }

  *unlist(cpu: number, posted: PostedInterrupts): Step<void> {
    const list = this.lists[cpu];
    yield* list.lock.lock();
    yield* list.blocked.remove(posted.link);
    yield* list.lock.unlock();
  }

  /** Vector 0xf1 on this CPU: wakes every listed vCPU to which something was posted. */
  *wakeupHandler(cpu: number): Step<void> {
    const list = this.lists[cpu];
    yield* list.lock.lock();
    for (let posted = yield* list.blocked.first(); posted !== null; posted = yield* list.blocked.next(posted.link)) {
      const isOn = yield* posted.descriptor.isOn();
      if (isOn) yield* posted.vcpu.wakeUp();
    }
    yield* list.lock.unlock();
  }

  /** Ids of the vCPUs listed on a CPU, for inspection. */
  listed(cpu: number): number[] {
    return this.lists[cpu].blocked.toArray().map((posted) => posted.vcpu.id);
  }
}

/** Why a vCPU leaves its physical CPU. */
export type PutReason = "blocking" | "preempted";

/** Posted interrupts of one vCPU on Intel (x86-irqchip.md 10.2 to 10.4). */
export class PostedInterrupts implements ApicAccelerator {
  readonly vendor = "intel";
  readonly descriptor = new PostedDescriptor();
  readonly link: ListLink<PostedInterrupts> = new ListLink<PostedInterrupts>(this);
  /** The CPU of the last load: where it is listed while it blocks. */
  private cpu = -1;

  /** @param address of the descriptor in host memory, 64-byte aligned: what a posted IRTE carries */
  constructor(
    private readonly host: PostedHost,
    readonly vcpu: PostedVcpu,
    readonly address = 0,
  ) {}

  /** By software: another vCPU, an irqfd. */
  *deliver(_lapic: Lapic, vector: number): Step<boolean> {
    const { descriptor, vcpu } = this;
    const isNew = yield* descriptor.setPir(vector);
    if (!isNew) return false;
    const mustNotify = yield* descriptor.setOn();
    if (!mustNotify) return true;
    const isInGuest = yield* vcpu.isInGuest();
    if (!isInGuest) yield* vcpu.wakeUp();
    else if (!vcpu.isCurrent()) yield* this.host.port.send(this.host.port.apicId(vcpu.physicalCpu), POSTED_INTR_VECTOR);
    return true;
  }

  /** Moves the PIR into the IRR, in the vCPU's context before entry and before any look at the IRR. */
  *sync(lapic: Lapic): Step<void> {
    const { descriptor } = this;
    const isOn = yield* descriptor.isOn();
    if (!isOn) return;
    // X11: ON goes first. A poster that comes after it finds ON clear and notifies again; cleared last, its vector would sleep.
    if (!this.host.sim.hazards.clearOnLate) yield* descriptor.clearOn();
    yield* this.merge(lapic);
    if (this.host.sim.hazards.clearOnLate) yield* descriptor.clearOn();
  }

  private *merge(lapic: Lapic): Step<void> {
    let hasMerged = false;
    for (let word = 0; word < PIR_WORDS; word++) {
      const bits = yield* this.descriptor.exchangePir(word);
      if (bits === 0) continue;
      yield writes(lapic, "irr");
      addVectors(lapic.irr, word, bits);
      hasMerged = true;
    }
    if (!hasMerged || lapic.accelerator !== null) return;
    // Inhibited: no RVI makes the processor look, the vCPU has to.
    yield* lapic.setHint();
    yield* lapic.vcpu.requestEvent();
  }

  /** SET_LAPIC and reset begin with nothing posted. */
  *clear(lapic: Lapic): Step<void> {
    yield* this.descriptor.clearOn();
    for (let word = 0; word < PIR_WORDS; word++) yield* this.descriptor.exchangePir(word);
    yield* lapic.setHint();
  }

  *logicalChanged(): Step<void> {}

  /** Scheduled in on a physical CPU. */
  *load(cpu: number): Step<void> {
    const { descriptor } = this;
    const nv = yield* descriptor.nv();
    const wasBlocked = nv === POSTED_INTR_WAKEUP_VECTOR;
    if (!wasBlocked && this.cpu === cpu) {
      const wasSuppressed = yield* descriptor.clearSn();
      if (wasSuppressed) yield* this.catchUp();
      return;
    }
    // X14: the list of the CPU that it blocked on, which is not this one if the thread was moved.
    if (wasBlocked) yield* this.host.unlist(this.host.sim.hazards.unlistFromNewCpu ? cpu : this.cpu, this);
    this.cpu = cpu;
    yield* descriptor.direct(POSTED_INTR_VECTOR, this.host.ndstOf(cpu));
    yield* this.catchUp();
  }

  /** X12: what was posted while SN was set has set no ON. */
  private *catchUp(): Step<void> {
    if (this.host.sim.hazards.loadWithoutCheck) return;
    const isEmpty = yield* this.descriptor.isPirEmpty();
    if (!isEmpty) yield* this.descriptor.setOn();
  }

  /**
   * Scheduled out. Only where somebody may post past KVM (a device, IPI virtualisation): the caller's to know. A vCPU that
   * blocks with interrupts enabled is woken by 0xf1; one that was preempted wants no notification.
   */
  *put(reason: PutReason): Step<void> {
    const { descriptor } = this;
    if (reason === "preempted") {
      yield* descriptor.setSn();
      return;
    }
    yield* this.host.enlist(this.cpu, this);
    const isOn = yield* descriptor.setNv(POSTED_INTR_WAKEUP_VECTOR);
    // X13: posted before the switch, it was notified by 0xf2, which means nothing outside the guest.
    if (isOn && !this.host.sim.hazards.blockWithoutCheck) yield* this.host.port.send(this.host.port.apicId(this.cpu), POSTED_INTR_WAKEUP_VECTOR);
  }

  /** RVI, the low byte of the guest interrupt status: the highest request, 0 for none. */
  *rvi(lapic: Lapic): Step<number> {
    yield reads(lapic, "irr");
    return Math.max(0, highestVector(lapic.irr));
  }
}

