import { clearActiveOfRunningVcpu } from "../../explore/protocols/vgic-fold.js";
import type { Exhibit } from "../exhibit.js";

export const activeWithoutHalt: Exhibit = {
  name: "active-without-halt",
  title: "An active state that comes back",
  year: 2016,
  cite: [
    { text: "Linux 35a2d58588f0, KVM: arm/arm64: vgic-new: Synchronize changes to active state", url: "https://git.kernel.org/torvalds/c/35a2d58588f0" },
    { text: "Linux abd7229626b9, KVM: arm/arm64: Simplify active_change_prepare and plug race", url: "https://git.kernel.org/torvalds/c/abd7229626b9" },
    { text: "Linux 9a50ebbffa98, KVM: arm: vgic: Synchronize the whole guest on GIC{D,R}_I{S,C}ACTIVER read", url: "https://git.kernel.org/torvalds/c/9a50ebbffa98" },
  ],
  story:
    "A guest may change an interrupt while another vCPU has it in a list register. With its priority or its enable nothing is lost (virq museum change-in-a-list-register); the active state is the one that was a bug. A vCPU that leaves its guest writes the list register back, and a change made meanwhile is overwritten: an interrupt that was cleared is active again, and an active interrupt that nobody handles never fires again. Christoffer Dall called it a race that is not benign and stops the whole guest around such a write; a year later two vCPUs that stopped the guest at once had to be kept apart (reported by Andrew Jones), and in 2020 reads were found to need the same (reported by Julien Grall).",
  rule: "State that hardware holds is fetched before it is changed.",
  protocol: clearActiveOfRunningVcpu,
  off: "activeWithoutHalt",
  bound: { preemptions: 2, budget: 100 },
};
