import { leaveAgainstAcknowledge } from "../../explore/protocols/resampler.js";
import type { Exhibit } from "../exhibit.js";

export const resamplerWithoutGrace: Exhibit = {
  name: "resampler-without-grace",
  title: "The last to leave frees the resampler under its reader",
  year: 2012,
  cite: [
    { text: "\"kvm: Add resampling irqfds for level triggered interrupts\", version 10, September 2012, and its review, as told by the specification, kvm-irq-core.md 3.6 and 3.10", url: null },
    { text: "Linux 7a84428af7ca, KVM: Add resampling irqfds for level triggered interrupts", url: "https://git.kernel.org/torvalds/c/7a84428af7ca" },
  ],
  story:
    "Resampling irqfds on one line share an object, the resampler, that is told when the guest has acknowledged the line. In the tenth posting of the patch by Alex Williamson the last irqfd to leave took the resampler off the lists, lowered the line and freed it on the spot; the grace period came afterwards. A vCPU that had just fetched the resampler from the list, to tell its members, then worked in freed memory. The review moved the wait before the free, and the code was merged so.",
  rule: "What readers reach without a lock is freed after a grace period, not before one.",
  protocol: leaveAgainstAcknowledge,
  off: "freeResamplerEarly",
  bound: { preemptions: 2, budget: 1_000 },
};
