import { saveAgainstDoorbell as protocol } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const saveBesideDescriptors: Exhibit = {
  name: "save-beside-descriptors",
  title: "The doorbell that is answered for ever",
  year: 2023,
  cite: [
    { text: "Linux ef3691683d7b, KVM: arm64: GICv4.1: Fix race with doorbell on VPE activation/deactivation", url: "https://git.kernel.org/torvalds/c/ef3691683d7bfd0a2acf48812e4ffe894f10bfa8" },
    { text: "Shanker Donthineni's report and first fix", url: "https://lore.kernel.org/r/20230118022348.4137094-1-sdonthineni@nvidia.com" },
  ],
  story:
    "To save what is pending, KVM takes every vPE of a GICv4.1 guest off the ITSs, so that caches go to memory, and puts it back. It did so by the activation callbacks of their doorbells, which change a word of state in each interrupt's descriptor, and did not take the descriptor's lock. A doorbell that fires meanwhile changes the same word under that lock, and one change was lost. Shanker Donthineni reported it and took the lock; Marc Zyngier has the doorbells freed for the save and requested again.",
  ours: "The commit speaks of a corrupted state; that the bit that comes back is the one that says the doorbell is being handled, so that it never rings again, is our construction.",
  rule: "A callback belongs to whoever holds the lock around it: called from elsewhere it needs the same lock, or nobody else.",
  protocol,
  off: "saveBesideDescriptors",
  bound: { preemptions: 2, budget: 5000 },
};
