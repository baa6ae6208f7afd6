import { leaveAgainstAcknowledge } from "../../explore/protocols/resampler.js";
import type { Exhibit } from "../exhibit.js";

export const lineWithoutOwner: Exhibit = {
  name: "line-without-owner",
  title: "The last owner leaves, and the line stays up",
  year: 2012,
  cite: [
    { text: "\"kvm: Add resampling irqfds for level triggered interrupts\", version 10, September 2012, and its review, as told by the specification, kvm-irq-core.md 3.6 and 3.10", url: null },
    { text: "Linux 7a84428af7ca, KVM: Add resampling irqfds for level triggered interrupts", url: "https://git.kernel.org/torvalds/c/7a84428af7ca" },
  ],
  story:
    "A device is taken away from a running guest: its resampling irqfd, the last on its line, is deassigned. The irqfd has asserted the line a moment ago. The guest may acknowledge it before the resampler is off the list, which lowers the line, or after, when nobody is left to do it: then the line stays high with nobody behind it, and a level-triggered pin interrupts the guest for ever. The leaver therefore lowers the line by hand, whatever happened before, when nothing of the irqfd can assert it any more.",
  ours: "Cited is the code with its rule and the review as the specification tells it; a report of a line left up is not known to us.",
  rule: "Whoever takes the last owner of a line away lowers the line.",
  protocol: leaveAgainstAcknowledge,
  off: "keepLineAtLeave",
  bound: { preemptions: 2, budget: 1_000 },
};
