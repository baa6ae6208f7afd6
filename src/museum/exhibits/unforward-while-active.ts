import { unforwardActive } from "../../explore/protocols/forwarding.js";
import type { Exhibit } from "../exhibit.js";

export const unforwardWhileActive: Exhibit = {
  name: "unforward-while-active",
  title: "Taken back in the middle of its handler",
  year: 2014,
  cite: [
    { text: "\"[PATCH v3 0/8] KVM-VFIO IRQ forward control\", November 2014, as told by the specification, kvm-irq-core.md 8.3", url: null },
  ],
  story:
    "Forwarding ends while the guest is inside the handler: the physical interrupt is active and waits for the guest's end to deactivate it. As long as the vCPU stays in its guest, its list register still ties the two together, and the end arrives; a vCPU that leaves and comes back in the middle of the handler gets a list register without the tie, and the guest's end reaches only the virtual interrupt. The physical one stays active for ever, and an active interrupt does not fire again: the device is silent until the host resets it. The series therefore deactivates the physical interrupt when it takes the forwarding back.",
  ours: "Cited is a series that was never merged, as the specification tells it: its rule is real, the bug would have been.",
  rule: "Whoever cuts the link by which an interrupt would have been completed completes it.",
  protocol: unforwardActive,
  off: "unmarkWithoutDeactivate",
  bound: { preemptions: 2, budget: 100 },
};
