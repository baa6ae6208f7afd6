import { eoiAgainstRetrigger } from "../../explore/protocols/x86-eoi.js";
import type { Exhibit } from "../exhibit.js";

export const raiseAgainstEoi: Exhibit = {
  name: "raise-against-eoi",
  title: "An interrupt between the EOI and its completion",
  year: 2023,
  cite: [
    { text: "cloud-hypervisor#5260, Potential missing INTx interrupt while handling EOI with IOAPIC", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/issues/5260" },
  ],
  story:
    "An IOAPIC holds a level interrupt back while the one before has not ended; what comes in that time it has to send when the end is complete. Reading cloud-hypervisor's IOAPIC beside crosvm's, which says so in a comment, its maintainer likebreath found in March 2023 that it does not. The issue says \"No reproduce available\" and was closed three years later. The search agrees with the closing, up to its bound: that IOAPIC never holds anything back, its devices deliver past it by irqfd, and a second message waits in the local APIC (protocol split-raise-against-eoi has such an IOAPIC, and loses nothing). In an IOAPIC that does hold back, as KVM's, the rule is needed: without it one interruption of the EOI loses the interrupt.",
  rule: "An IOAPIC that holds a level interrupt back until the one before has ended sends it then.",
  protocol: eoiAgainstRetrigger,
  off: "eoiWithoutService",
  bound: { preemptions: 2, budget: 1_000 },
};
