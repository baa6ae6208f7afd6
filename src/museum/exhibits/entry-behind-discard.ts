import { restoreBehindDiscard } from "../../explore/protocols/its.js";
import type { Exhibit } from "../exhibit.js";

export const entryBehindDiscard: Exhibit = {
  name: "entry-behind-discard",
  title: "Discarded, saved, and back again",
  year: 2024,
  cite: [
    { text: "Linux 7602ffd1d5e8, KVM: arm64: vgic-its: Clear ITE when DISCARD frees an ITE", url: "https://git.kernel.org/torvalds/c/7602ffd1d5e8" },
    { text: "Linux e9649129d33d, KVM: arm64: vgic-its: Clear DTE when MAPD unmaps a device", url: "https://git.kernel.org/torvalds/c/e9649129d33d" },
  ],
  story:
    "KVM keeps what its ITS has mapped in lists of its own, and writes it into the guest's tables only to save it. A restore follows the distances between the entries, and steps one by one where it finds none. What a DISCARD or a MAPD ended disappeared from the lists, and stayed in a table that an earlier save had filled: a second save left it there, and the restore came by it. A VM that was migrated twice could have a mapping again that its guest had ended, or fail to come back. Kunkun Jiang found it; both commands clear the entry now.",
  rule: "What is written for a later reader is taken back when it is no longer so.",
  protocol: restoreBehindDiscard,
  off: "keepDiscardedEntry",
  bound: { preemptions: 2, budget: 100 },
};
