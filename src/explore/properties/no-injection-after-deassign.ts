import type { EventName } from "../../sim/event.js";
import { KVM_IRQFD } from "../../uapi/kvm.js";
import type { Heard, Property } from "../property.js";

/** kvm-irq-core.md 2.5: DE4 waits for the shutdown of what the call deactivated (H7). */
export class NoInjectionAfterDeassign implements Property {
  readonly name = "no-injection-after-deassign";
  readonly sentence = "once KVM_IRQFD has deassigned an irqfd and returned, nothing is injected through it";
  readonly hears: readonly EventName[] = ["irqfd_assign", "irqfd_deactivate", "irqfd_inject", "sys_ioctl"];
  // What a context deactivates shows when its call returns.
  readonly anyOrder = [[["irqfd_deactivate"], this.hears], [["sys_ioctl"], ["sys_ioctl"]], [["irqfd_inject"], ["irqfd_inject"]], [["irqfd_assign"], ["irqfd_assign"]]] as const;
  /** Irqfds that a context deassigns in the call that it is in. */
  private readonly leaving = new Map<string, string[]>();
  private readonly quiet = new Set<string>();

  hear({ name, context, args }: Heard): string | null {
    switch (name) {
      case "irqfd_deactivate":
        if (args[0] === "deassign") this.leaving.set(context, [...(this.leaving.get(context) ?? []), `${args[1]} ${args[2]}`]);
        return null;
      case "sys_ioctl":
        if (args[1] === KVM_IRQFD) this.returned(context);
        return null;
      case "irqfd_assign":
        this.quiet.delete(`${args[0]} ${args[1]}`);
        return null;
      default:
        return this.quiet.has(`${args[0]} ${args[1]}`) ? `GSI ${args[1]} is injected after its deassign has returned` : null;
    }
  }

  private returned(context: string): void {
    for (const irqfd of this.leaving.get(context) ?? []) this.quiet.add(irqfd);
    this.leaving.delete(context);
  }
}
