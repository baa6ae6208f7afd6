import { failingFirstBlock } from "../../explore/protocols/vfio-pci.js";
import type { Exhibit } from "../exhibit.js";

export const undoWithoutEnd: Exhibit = {
  name: "undo-without-end",
  title: "A block of vectors that fails half-way, and an undo that passes zero",
  year: 2023,
  cite: [
    { text: "\"Re: [PATCH V2 2/8] vfio/pci: Remove negative check on unsigned vector\", March 2023", url: "https://lore.kernel.org/all/20230330142657.3930c68b.alex.williamson@redhat.com/" },
    { text: "commit 6578ed85c7d6, vfio/pci: Remove negative check on unsigned vector, as it was merged", url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=6578ed85c7d6" },
  ],
  story:
    "SET_IRQS replaces the eventfds of a block of MSI vectors one by one. When one fails, what stood in the block is gone already, and the kernel takes down all of it from the first vector to the one that failed. It did so downwards. A posting of March 2023 made the index unsigned, for a check of it was never true; with the block beginning at vector 0, the usual case, the index passes zero, is the largest number there is, and the loop never ends: a VMM that names one closed descriptor keeps a CPU of the host for ever, and the device's lock with it. Alex Williamson saw it in review, and the loop that was merged counts upwards.",
  ours: "Cited is a posting that was not merged: the bug was caught in review.",
  rule: "An undo ends by its own count, not by what a number cannot be.",
  protocol: failingFirstBlock,
  off: "undoDownwards",
  bound: { preemptions: 1, budget: 100 },
};
