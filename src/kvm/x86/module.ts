import type { PostedDescriptor } from "../../arch/x86/posted-descriptor.js";
import type { HostCpu } from "../../host/cpu.js";
import { PostedTarget } from "../../host/x86/remapped-irq.js";
import type { X86Host } from "../../host/x86/x86-host.js";
import { PostedHost } from "../../irqchip/x86/posted-interrupts.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { WorkQueue } from "../../sim/workqueue.js";
import type { KvmHost } from "../host.js";

export interface X86ModuleOptions {
  /** enable_apicv: virtual interrupts are delivered, and posted, by the processor. Default false. */
  apicv?: boolean;
  /** The remapping hardware posts interrupts of devices too (intremap without nopost). Default: as `apicv`. */
  postsDevices?: boolean;
  /** halt_poll_ns, the longest halt poll; default 0: off. */
  haltPollMaxNs?: number;
}

/** What APIC virtualisation needs of the host (x86-irqchip.md 10). */
export interface PostingHost {
  readonly posted: PostedHost;
  /** Are interrupts of devices posted past the host? */
  readonly postsDevices: boolean;
  /** An address in host memory for a descriptor, which then lies there. */
  reserve(): number;
  place(address: number, descriptor: PostedDescriptor): void;
  /** A device's interrupt is posted as `vector` into the descriptor at this address. 0 or a negative errno. */
  post(irq: number, vector: number, descriptor: number): Step<number>;
  /** It is the host's again. */
  restore(irq: number): Step<number>;
}

/** KVM on an x86 host. */
export class X86Module implements KvmHost {
  readonly sim: Sim;
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  readonly gic = null;
  readonly cpus: readonly HostCpu[];
  readonly counterHz = 0;
  readonly haltPollMaxNs: number;
  readonly loaded = [];
  /** Null without APIC virtualisation. */
  readonly posting: PostingHost | null;

  constructor(host: X86Host, options: X86ModuleOptions = {}) {
    this.sim = host.sim;
    this.events = host.events;
    this.irqfdCleanup = host.irqfdCleanup;
    this.cpus = host.cpus;
    this.haltPollMaxNs = options.haltPollMaxNs ?? 0;
    this.posting = options.apicv ? new VtdPosting(host, options.postsDevices ?? true) : null;
  }
}

class VtdPosting implements PostingHost {
  readonly posted: PostedHost;

  constructor(
    private readonly host: X86Host,
    readonly postsDevices: boolean,
  ) {
    this.posted = new PostedHost(host.sim, host.cpus.length, host);
    host.setPostedWakeup(this.posted);
  }

  reserve(): number {
    return this.host.remapping.reserve();
  }

  place(address: number, descriptor: PostedDescriptor): void {
    this.host.remapping.place(address, descriptor);
  }

  *post(irq: number, vector: number, descriptor: number): Step<number> {
    return yield* this.host.setIrqVcpuAffinity(irq, new PostedTarget(vector, descriptor));
  }

  *restore(irq: number): Step<number> {
    return yield* this.host.setIrqVcpuAffinity(irq, null);
  }
}
