import { maskAgainstSignal } from "../../explore/protocols/message-mask.js";
import type { Exhibit } from "../exhibit.js";

export const irqfdBeforeRoute: Exhibit = {
  name: "irqfd-before-route",
  title: "An unmask that \"should do no harm\" throws the waiting message away",
  year: 2022,
  cite: [
    { text: "cloud-hypervisor#3827, vmm: interrupt: fix msi mask irq causing kernel panic on AMD", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/3827" },
    { text: "cloud-hypervisor#6348, which turned it back for another reason", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/6348" },
    { text: "commit e1bb5e71bf61", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/commit/e1bb5e71bf61a72b701adc2e83655b92107c47b0" },
  ],
  story:
    "When Yi Wang's change of March 2022 turned the two steps of the mask round (exhibit route-before-deassign), it turned those of the unmask round as well, with the remark that this should do no harm: the irqfd was assigned first, the route given afterwards. But the assignment of an irqfd looks whether its eventfd counts already, which is what delivers a message that came while the vector was masked, and queues its injection at once. If that work runs before the route is there, the message is gone. Two years later the order was turned back, because assigning an irqfd to a GSI beyond the table could panic older kernels on AMD hosts.",
  ours: "Cited is the change that turned the order round; the bug was not reported, the search found it.",
  rule: "Give a listener what it needs before it listens: the route first, the irqfd afterwards.",
  protocol: maskAgainstSignal,
  off: "irqfdBeforeRoute",
  bound: { preemptions: 2, budget: 1_000 },
};
