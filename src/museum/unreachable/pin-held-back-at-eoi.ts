import { splitRaiseAgainstEoi } from "../../explore/protocols/assigned-device.js";
import type { Unreachable } from "../unreachable.js";

export const pinHeldBackAtEoi: Unreachable = {
  name: "pin-held-back-at-eoi",
  title: "An interrupt between the EOI and its completion",
  year: 2023,
  cite: [{ text: "cloud-hypervisor#5260, Potential missing INTx interrupt while handling EOI with IOAPIC", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/issues/5260" }],
  story:
    "An IOAPIC holds a level interrupt back while the one before has not ended; what comes in that time it has to send when the end is complete. Reading cloud-hypervisor's IOAPIC beside crosvm's, which says so in a comment, its maintainer found in March 2023 that it does not. The issue says that there is no way to reproduce it, and was closed.",
  why: "That IOAPIC holds nothing back: its devices deliver past it by irqfd, and a second message waits in the local APIC. In an IOAPIC that does hold back, as KVM's, the rule is needed (kvm-irq-core.md H21, eoiWithoutService).",
  instead: "eoi-of-moved-interrupt",
  protocol: splitRaiseAgainstEoi,
  bound: { preemptions: 1 },
};
