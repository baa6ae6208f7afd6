import { assignAgainstSignal } from "../../explore/protocols/irqfd.js";
import type { Exhibit } from "../exhibit.js";

export const assignWithoutPoll: Exhibit = {
  name: "assign-without-poll",
  title: "The eventfd that counted before anybody listened",
  year: 2009,
  cite: [
    { text: "\"KVM: irqfd\", Gregory Haskins, April and May 2009, the postings of the mechanism", url: "https://lkml.iu.edu/hypermail/linux/kernel/0905.1/02115.html" },
    { text: "kvm-irq-core.md 2.3 and hazard H1 of the specification", url: null },
  ],
  story:
    "A device may signal its eventfd before KVM has made an irqfd of it: a driver in user space, a backend that was started first, a VMM that hands the descriptor over. KVM hooks itself into the eventfd's wait queue and then looks at the count. In the other order there is a gap: the count is zero when KVM looks, the signal comes and finds nobody on the queue, KVM hooks itself in and waits for a signal that has been. The device waits for its driver, the driver for the interrupt. It is the mistake that offers itself to whoever writes this for the first time.",
  ours: "Cited is the code with its rule, from the first postings on; that KVM was ever without it is not known to us: the bug is our construction.",
  rule: "Listen first, look second: what was signalled before the listening is found by the look.",
  protocol: assignAgainstSignal,
  off: "sampleBeforeInsert",
  bound: { preemptions: 2, budget: 1_000 },
};
