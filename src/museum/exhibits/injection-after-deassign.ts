import { deassignAgainstSignal } from "../../explore/protocols/irqfd.js";
import type { Exhibit } from "../exhibit.js";

export const injectionAfterDeassign: Exhibit = {
  name: "injection-after-deassign",
  title: "An interrupt arrives after it was taken away",
  year: 2009,
  cite: [
    { text: "\"KVM: irqfd\": the thread on the end of an irqfd, June 2009", url: "https://lkml.iu.edu/hypermail/linux/kernel/0906.3/01870.html" },
    { text: "Linux cb289d6244a3, eventfd - allow atomic read and waitqueue remove", url: "https://git.kernel.org/torvalds/c/cb289d6244a3" },
    { text: "kvm-irq-core.md 2.5 and hazard H7 of the specification", url: null },
  ],
  story:
    "KVM_IRQFD with DEASSIGN takes an irqfd off the VM's list and leaves the rest to a work queue, because the eventfd's own callback may be running. A call that returned at once would leave a callback or an injection under way: the VMM believes the line quiet, gives its GSI to another device, and the guest sees an interrupt that the new device never raised. The call therefore waits until the shutdown is over, and the shutdown leaves the wait queue under the eventfd's lock and flushes the injection, in that order.",
  ours: "Cited are the thread and the commit by which KVM came to wait; a report of an injection that came late is not known to us.",
  rule: "A call that takes an interrupt away returns when nothing can come of it any more.",
  protocol: deassignAgainstSignal,
  off: "returnBeforeShutdown",
  bound: { preemptions: 1, budget: 1_000 },
};
