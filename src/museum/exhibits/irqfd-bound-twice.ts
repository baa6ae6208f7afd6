import { bindInTwoVms } from "../../explore/protocols/irqfd.js";
import type { Exhibit } from "../exhibit.js";

export const irqfdBoundTwice: Exhibit = {
  name: "irqfd-bound-twice",
  title: "One eventfd, two VMs",
  year: 2025,
  cite: [{ text: "Linux 2cdd64cbf990, KVM: Disallow binding multiple irqfds to an eventfd with a priority waiter", url: "https://git.kernel.org/torvalds/c/2cdd64cbf990" }],
  story:
    "An eventfd can feed one irqfd: KVM's callback consumes the count, and only the first in the queue is asked. KVM refused a second irqfd by its own list, VM by VM. Two VMs could therefore bind the same eventfd, for instance when a VMM hands a guest over within one host and forgets to deassign first: the call succeeds, and the interrupts go on vanishing into the old VM. Sean Christopherson moved the decision to the eventfd's wait queue in 2025, which knows of both, so that such a hand-over fails where it is made.",
  rule: "Whether a thing is taken is asked of the thing, not of one's own list of takers.",
  protocol: bindInTwoVms,
  off: "busyByList",
  bound: { preemptions: 2, budget: 100 },
};
