import type { EventfdContext } from "../../host/eventfd.js";
import type { Vm } from "../../kvm/vm.js";
import type { Property } from "../property.js";

/** I2, I4 and I5 of kvm-irq-core.md 10.1, where no lock is held over a change. Each rests on what one lock protects. */
export class CoreInvariants implements Property {
  readonly name = "core-invariants";
  readonly sentence = "an eventfd has one irqfd, a GSI one resampler, and a resampler at least one member";

  /** @param eventfds those looked at; more may be added as the program is built */
  constructor(
    private readonly vm: Vm,
    private readonly eventfds: readonly EventfdContext[],
  ) {}

  check(): string | null {
    for (const { waiters, id } of this.eventfds) {
      const priorities = waiters.entries().filter((entry) => entry.isPriority).length;
      if (priorities > 1) return `I2: eventfd ${id} has ${priorities} priority entries`;
    }
    return this.checkResamplers();
  }

  private checkResamplers(): string | null {
    const { resamplers, resamplerLock } = this.vm.irqfds;
    if (!resamplerLock.isOpen()) return null;
    const gsis = new Set<number>();
    for (const resampler of resamplers.toArray()) {
      if (resampler.members.isEmpty()) return `I4: the resampler of GSI ${resampler.gsi} has no member`;
      if (gsis.has(resampler.gsi)) return `I5: GSI ${resampler.gsi} has two resamplers`;
      gsis.add(resampler.gsi);
    }
    return null;
  }
}
