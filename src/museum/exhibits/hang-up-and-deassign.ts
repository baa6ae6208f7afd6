import { deassignAgainstClose } from "../../explore/protocols/irqfd.js";
import type { Exhibit } from "../exhibit.js";

export const hangUpAndDeassign: Exhibit = {
  name: "hang-up-and-deassign",
  title: "Two ends of one irqfd",
  year: 2012,
  cite: [
    { text: "Linux b68e7fa879cd, vfio: Fix virqfd release race", url: "https://git.kernel.org/torvalds/c/b68e7fa879cd" },
    { text: "\"KVM: irqfd\": should the hang-up be a deassign? July 2009", url: "https://lkml.iu.edu/hypermail/linux/kernel/0907.0/00143.html" },
  ],
  story:
    "An irqfd ends in two ways: the VMM deassigns it, or the last descriptor of its eventfd is closed. Both queue the same work. When KVM got its hang-up in 2009 the thread discussed at length how the two keep out of each other's way; the answer is that both ask, under one lock, whether the irqfd is still on the list. VFIO's copy of the mechanism, which unmasks INTx, came without that: in 2012 Alex Williamson described a crash when two jobs were queued for the same object, and let a spinlock protect the pointer. Here the question is taken out of KVM's half.",
  ours: "Reported and mended was VFIO's half; that KVM's half goes wrong in the same way without its question is our construction.",
  rule: "Two who may end the same thing decide under one lock who does.",
  protocol: deassignAgainstClose,
  off: "deactivateUnasked",
  bound: { preemptions: 2, budget: 1_000 },
};
