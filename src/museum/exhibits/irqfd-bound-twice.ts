import { reassignAgainstDeassign } from "../../explore/protocols/irqfd.js";
import type { Exhibit } from "../exhibit.js";

export const irqfdBoundTwice: Exhibit = {
  name: "irqfd-bound-twice",
  title: "Two irqfds on one eventfd",
  year: 2025,
  cite: [
    { text: "Linux 2cdd64cbf990, KVM: Disallow binding multiple irqfds to an eventfd with a priority waiter", url: "https://git.kernel.org/torvalds/c/2cdd64cbf990" },
  ],
  story:
    "An eventfd can feed one irqfd: KVM's callback consumes the count, and only the first in the queue is asked. KVM refused a second irqfd by its own list, VM by VM. Sean Christopherson pointed out in 2025 that two VMs can bind the same eventfd, for instance when a VMM hands a guest over to another process and forgets to deassign, and that interrupts then vanish into the wrong VM. The decision moved to the eventfd's wait queue, which knows. Within one VM the list errs as well: between a deassign's removal from the list and the end of its shutdown the eventfd is free by the list, and taken by the queue.",
  rule: "Whether a thing is taken is asked of the thing, not of one's own list of takers.",
  protocol: reassignAgainstDeassign,
  off: "busyByList",
  bound: { preemptions: 1, budget: 1_000 },
};
