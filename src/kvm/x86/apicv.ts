import { PostedInterrupts, type PostedVcpu } from "../../irqchip/x86/posted-interrupts.js";
import { endInService } from "../../irqchip/x86/lapic/eoi.js";
import { ApicReg } from "../../irqchip/x86/lapic/registers.js";
import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { reads, shared, writes } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import type { Step } from "../../sim/step.js";
import { wakeUp } from "../kick.js";
import { VcpuMode } from "../vcpu-core.js";
import { X86Exit } from "./guest.js";
import type { PostingHost } from "./module.js";
import type { VcpuX86 } from "./vcpu.js";

/**
 * APIC virtualisation of one vCPU (x86-irqchip.md 10.2 to 10.4): the processor delivers virtual interrupts, ends them and
 * takes notifications in guest mode, without an exit.
 */
export class Apicv implements PostedVcpu {
  readonly posted: PostedInterrupts;
  /** A notification has come in guest mode, and what was posted is not merged yet. */
  private isNotified = false;
  /** An entry has begun. */
  private mustMerge = false;

  /** {@link start} makes it. */
  constructor(
    private readonly vcpu: VcpuX86,
    private readonly lapic: Lapic,
    posting: PostingHost,
  ) {
    const address = posting.reserve();
    this.posted = new PostedInterrupts(posting.posted, this, address);
    posting.place(address, this.posted.descriptor);
  }

  /** For a new vCPU. */
  static *start(vcpu: VcpuX86, lapic: Lapic, posting: PostingHost): Step<Apicv> {
    const apicv = new Apicv(vcpu, lapic, posting);
    yield* lapic.accelerate(apicv.posted);
    return apicv;
  }

  // What those who post ask.

  get id(): number {
    return this.vcpu.id;
  }

  get physicalCpu(): number {
    return this.vcpu.physicalCpu;
  }

  *isInGuest(): Step<boolean> {
    yield reads(this.vcpu, "mode");
    return this.vcpu.mode === VcpuMode.IN_GUEST_MODE;
  }

  isCurrent(): boolean {
    return current().context === this.vcpu.thread;
  }

  *wakeUp(): Step<void> {
    yield* wakeUp(this.vcpu);
  }

  // Scheduling (10.4).

  *load(cpu: number): Step<void> {
    yield* this.posted.load(cpu);
  }

  /** Only where a device may post: else KVM's own posting sees the vCPU's state. */
  *put(isBlocking: boolean): Step<void> {
    const { postings } = this.vcpu.arch;
    if (postings === null || !postings.canPost) return;
    if (isBlocking && this.vcpu.regs.interruptFlag) yield* this.posted.put("blocking");
    else if (!isBlocking && this.vcpu.hostCpu.needsResched) yield* this.posted.put("preempted");
  }

  // The processor in guest mode.

  /** After the mode is set, so that who posts later notifies: merges what came before. */
  *enter(): Step<void> {
    yield reads(this, "isNotified");
    if (!this.isNotified && !this.mustMerge) return;
    yield writes(this, "isNotified");
    this.isNotified = false;
    this.mustMerge = false;
    yield* this.posted.sync(this.lapic);
  }

  /** Before each entry: what was posted while the vCPU was out of the guest, by whom it was not notified. */
  flush(): void {
    this.mustMerge = true;
  }

  /** The notification vector was taken; the thread of this vCPU looks. */
  *notified(isIpi: boolean): Step<void> {
    const { thread, vm } = this.vcpu;
    yield writes(this, "isNotified");
    this.isNotified = true;
    if (thread === null || this.isCurrent()) return;
    if (isIpi) vm.sim.wakeAfter(thread, Cost.ipi);
    else vm.sim.wake(thread, 0);
  }

  /** At an instruction boundary: the most urgent request is delivered if its class is above the processor's priority. */
  *deliver(): Step<void> {
    const { vcpu, lapic } = this;
    yield* this.enter();
    if (!vcpu.canInterrupt()) return;
    const vector = yield* this.posted.rvi(lapic);
    if (vector === 0) return;
    yield* lapic.computePpr();
    if (vector >> 4 <= lapic.page[ApicReg.PPR >> 2] >> 4) return;
    yield* lapic.take(vector);
    vcpu.regs.deliver(vcpu.guest.entryOf(vcpu, vector));
  }

  /** The guest writes EOI: IDLE, or EOI_INDUCED when KVM has to hear of this vector. */
  *eoi(): Step<X86Exit> {
    const vector = yield* endInService(this.lapic);
    yield* this.lapic.computePpr();
    if (vector < 0 || !this.lapic.handled.has(vector)) return X86Exit.IDLE;
    this.vcpu.trap.low = vector;
    return X86Exit.EOI_INDUCED;
  }
}
shared(Apicv, "isNotified");
