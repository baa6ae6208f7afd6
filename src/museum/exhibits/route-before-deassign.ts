import { maskAgainstSignal } from "../../explore/protocols/message-mask.js";
import type { Exhibit } from "../exhibit.js";

export const routeBeforeDeassign: Exhibit = {
  name: "route-before-deassign",
  title: "The fix for masked messages leaves a window",
  year: 2020,
  cite: [
    { text: "commit b77fdeba2d62, msi/msi-x: Prevent from losing masked interrupts", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/commit/b77fdeba2d620273c51d133d6ea8e568fc5391a3" },
    { text: "cloud-hypervisor#3827, which turned the two steps round for another reason", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/3827" },
  ],
  story:
    "The commit that ended the loss of masked messages (exhibit mask-by-route) masks in two steps: it takes the route away, then the irqfd. A device that signals between the two is still listened to and has no route any more, which is the old loss in a window of two system calls. In March 2022 Yi Wang turned the two steps round, because on AMD hosts a kernel without a later fix panics when the GSI of a live irqfd leaves the routing table; with that the window went too.",
  ours: "Cited is the commit whose order has the window; the bug was not reported, the search found it.",
  rule: "Take a listener away before what it needs: the irqfd first, its route afterwards.",
  protocol: maskAgainstSignal,
  off: "routeBeforeDeassign",
  bound: { preemptions: 2, budget: 1_000 },
};
