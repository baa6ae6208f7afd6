import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

const IRQFD: readonly EventName[] = ["irqfd_assign", "irqfd_inject", "irqfd_deactivate", "irqfd_free"];
const RESAMPLER: readonly EventName[] = ["resampler_create", "resampler_notify", "resampler_free"];

/**
 * kvm-irq-core.md 10.1 I1 and I3, as events tell it: an irqfd is assigned, deactivated and freed, each once and in this order;
 * a resampler is made and freed. What runs on poisoned memory ends the execution by itself; this also hears traces.
 */
export class NoUseAfterFree implements Property {
  readonly name = "no-use-after-free";
  readonly sentence = "nothing is done in the name of an irqfd or a resampler that was freed, and each is freed once";
  readonly hears: readonly EventName[] = [...IRQFD, ...RESAMPLER];
  readonly anyOrder = [[IRQFD, RESAMPLER], [["irqfd_inject"], ["irqfd_inject"]], [["resampler_notify"], ["resampler_notify"]]] as const;
  /** By "eventfd gsi": is there an active irqfd? Who was there before the first event is told by what it does first. */
  private readonly active = new Map<string, boolean>();
  /** How many are being shut down: the eventfd may be assigned again before SH7. */
  private readonly leaving = new Map<string, number>();
  /** By GSI: is there a resampler? */
  private readonly resamplers = new Map<unknown, boolean>();

  hear({ name, args }: Heard): string | null {
    if (name.startsWith("resampler")) return this.hearResampler(name, args[0]);
    const [eventfd, gsi] = name === "irqfd_deactivate" ? args.slice(1) : args;
    const irqfd = `${eventfd} ${gsi}`;
    const leaving = this.leaving.get(irqfd) ?? 0;
    const wasActive = this.active.get(irqfd) ?? name !== "irqfd_assign";
    this.active.set(irqfd, wasActive);
    switch (name) {
      case "irqfd_assign":
        this.active.set(irqfd, true);
        return wasActive ? `GSI ${gsi} has two irqfds on eventfd ${eventfd}` : null;
      case "irqfd_deactivate":
        this.active.set(irqfd, false);
        this.leaving.set(irqfd, leaving + 1);
        return wasActive ? null : `the irqfd of GSI ${gsi} is deactivated twice`;
      case "irqfd_free":
        this.leaving.set(irqfd, leaving - 1);
        return leaving > 0 ? null : `the irqfd of GSI ${gsi} is freed although it is ${wasActive ? "active" : "free already"}`;
      default:
        return wasActive || leaving > 0 ? null : `the freed irqfd of GSI ${gsi} injects`;
    }
  }

  private hearResampler(name: string, gsi: unknown): string | null {
    const isThere = this.resamplers.get(gsi) ?? name !== "resampler_create";
    this.resamplers.set(gsi, name !== "resampler_free");
    if (name === "resampler_create") return isThere ? `GSI ${gsi} has two resamplers` : null;
    return isThere ? null : `the freed resampler of GSI ${gsi} is used`;
  }

  end(): string | null {
    for (const [irqfd, left] of this.leaving) if (left > 0) return `the irqfd of eventfd and GSI ${irqfd} was deactivated and never freed`;
    return null;
  }
}
