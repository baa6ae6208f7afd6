import { hangUpAgainstDisable } from "../../explore/protocols/vfio-platform.js";
import type { Exhibit } from "../exhibit.js";

export const shutDownTwice: Exhibit = {
  name: "shut-down-twice",
  title: "Two who close one unmask eventfd",
  year: 2012,
  cite: [{ text: "commit b68e7fa879cd, vfio: Fix virqfd release race", url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=b68e7fa879cd3b1126a7c455d9da1b70299efc0d" }],
  story:
    "The eventfd that unmasks an assigned device's interrupt can end in two ways: its last descriptor is closed, or an ioctl takes it away, as the disabling of the interrupt does. In the first months of VFIO both queued its release on a workqueue, and neither looked whether the other had: with two jobs for one receiver the second followed freed memory. Alex Williamson put the pointer to the receiver under a spinlock; whoever clears it queues the release, and the ioctl waits for the workqueue in either case.",
  rule: "Whoever takes the pointer away ends what it points to, and nobody else.",
  protocol: hangUpAgainstDisable,
  off: "shutDownUnasked",
  bound: { preemptions: 2, budget: 1_000 },
};
