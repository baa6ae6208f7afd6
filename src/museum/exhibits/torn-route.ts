import { rerouteAgainstSignal } from "../../explore/protocols/routing.js";
import type { Exhibit } from "../exhibit.js";

export const tornRoute: Exhibit = {
  name: "torn-route",
  title: "Half of the old message, half of the new",
  year: 2014,
  cite: [
    { text: "Linux 56f89f3629ff, KVM: Don't keep reference to irq routing table in irqfd struct", url: "https://git.kernel.org/torvalds/c/56f89f3629ff" },
    { text: "Linux bd2b53b20fcd, KVM: fast-path msi injection with irqfd", url: "https://git.kernel.org/torvalds/c/bd2b53b20fcd" },
  ],
  story:
    "An irqfd with a message route injects straight from the eventfd's callback, by a route that it keeps at hand. In 2010 that was a pointer into the routing table. Paul Mackerras made it a copy in 2014, so that the table's form could change; but a copy is several words, and a callback that reads while an update writes could send the new address with the old data, to a vCPU and vector that nobody ever asked for. His commit brings the sequence counter with it that makes the callback read again. Taken out, one interruption of the writer is enough.",
  ours: "Cited is the commit that brings the copy and its sequence counter at once; a kernel with the copy alone was not released.",
  rule: "What is read without a lock is read again when it has changed meanwhile.",
  protocol: rerouteAgainstSignal,
  off: "readTornRoute",
  bound: { preemptions: 2, budget: 1_000 },
};
