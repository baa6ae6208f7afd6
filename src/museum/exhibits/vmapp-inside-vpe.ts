import { moveAgainstLastUnmap } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const vmappInsideVpe: Exhibit = {
  name: "vmapp-inside-vpe",
  title: "Two locks, taken from both ends",
  year: 2024,
  cite: [
    { text: "Linux f97fd458763a, irqchip/gic-v4: Fix ordering between vmapp and vpe locks", url: "https://git.kernel.org/torvalds/c/f97fd458763a" },
    { text: "Linux f0eb154c3947, irqchip/gic-v4: Substitute vmovp_lock for a per-VM lock", url: "https://git.kernel.org/torvalds/c/f0eb154c3947" },
  ],
  story:
    "One lock over all VMs had kept a vPE's moves apart from its being mapped and unmapped. In July 2024 each VM got one of its own, and mapping a vPE took the vPE's lock inside of it. Moving a vPE took the vPE's lock first and came to the VM's deep inside, where the commands are sent. Two CPUs, one mapping and one moving, could each hold what the other wanted. Zhou Wang reported it within days; the move takes the VM's lock first now.",
  rule: "A lock that is replaced by two brings an order between them.",
  protocol: moveAgainstLastUnmap,
  off: "vmappInsideVpe",
  bound: { preemptions: 2, budget: 100 },
};
