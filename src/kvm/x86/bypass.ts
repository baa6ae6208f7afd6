import type { IrqBypassProducer } from "../../host/irqbypass.js";
import { IrtePosting, type PostedRoute, type PostingPort, startBypass } from "../../irqchip/x86/irte-posting.js";
import type { Step } from "../../sim/step.js";
import { KVM_IRQ_ROUTING_MSI } from "../../uapi/kvm.js";
import type { BypassHooks } from "../arch.js";
import type { Irqfd } from "../irqfd.js";
import { Route } from "../route.js";
import type { PostingHost } from "./module.js";
import type { X86Vm } from "./x86.js";

/** The host's entry of one device interrupt. */
class HostEntry implements PostingPort {
  constructor(
    private readonly posting: PostingHost,
    private readonly irq: number,
  ) {}

  *post(vector: number, descriptor: number): Step<number> {
    return yield* this.posting.post(this.irq, vector, descriptor);
  }

  *restore(): Step<number> {
    return yield* this.posting.restore(this.irq);
  }
}

/** kvm-irq-core.md 7.4 on x86: a producer's interrupt is posted while its irqfd's route is one message for one vCPU. */
export class PostingHooks implements BypassHooks {
  private readonly postings = new Map<Irqfd, IrtePosting>();
  private readonly route = new Route();

  constructor(
    private readonly arch: X86Vm,
    private readonly posting: PostingHost,
  ) {}

  /** May a device post into this VM? Then vCPUs that block say where they are woken (x86-irqchip.md 10.4). */
  get canPost(): boolean {
    return this.postings.size > 0;
  }

  *stop(): Step<void> {}

  *start(): Step<void> {}

  *connect(irqfd: Irqfd, producer: IrqBypassProducer): Step<number> {
    const { apics } = this.arch;
    if (apics === null) return 0;
    const isFirst = this.postings.size === 0;
    const one = new IrtePosting(apics, new HostEntry(this.posting, producer.irq), producer.irq, irqfd.gsi);
    this.postings.set(irqfd, one);
    // A vCPU that blocks already would not be woken by what is posted to it (Linux a2486020a82e).
    if (isFirst && !this.arch.vm.hazards.connectWithoutUnblock) yield* startBypass(apics);
    const result = yield* one.update(yield* this.messageOf(irqfd));
    if (result < 0) this.postings.delete(irqfd);
    return result;
  }

  *disconnect(irqfd: Irqfd): Step<void> {
    const one = this.postings.get(irqfd);
    if (one === undefined) return;
    yield* one.update(null);
    this.postings.delete(irqfd);
  }

  /** Only another message programs the entry anew. */
  *routeChanged(irqfd: Irqfd, old: Route): Step<void> {
    const one = this.postings.get(irqfd);
    if (one === undefined) return;
    const message = yield* this.messageOf(irqfd);
    const wasMessage = old.type === KVM_IRQ_ROUTING_MSI;
    if (message === null ? !wasMessage : wasMessage && this.route.equals(old)) return;
    yield* one.update(message);
  }

  /** irqfds.lock held: the route is whole. */
  private *messageOf(irqfd: Irqfd): Step<PostedRoute | null> {
    yield* irqfd.route.load(this.route);
    return this.route.type === KVM_IRQ_ROUTING_MSI ? this.route : null;
  }
}
