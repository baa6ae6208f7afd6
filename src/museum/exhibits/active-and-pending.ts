import { raiseOnGic } from "../../explore/protocols/assigned-device.js";
import type { Exhibit } from "../exhibit.js";

export const activeAndPending: Exhibit = {
  name: "active-and-pending",
  title: "A list register that is never empty hides the EOI",
  year: 2018,
  cite: [
    { text: "Linux 67b5b673ad4d, KVM: arm/arm64: vgic: Disallow Active+Pending for level interrupts", url: "https://git.kernel.org/torvalds/c/67b5b673ad4d" },
  ],
  story:
    "The architecture lets a level interrupt be active and pending at once: acknowledged, and its line still high. KVM loaded it so when a vCPU went back into the guest in the middle of a handler. For an assigned device the line is high until the resampler lowers it, and the resampler acts when the list register is found empty behind an EOI. Active and pending becomes pending at the EOI, never empty: KVM did not see the end, the line stayed high, and the guest took the interrupt again as soon as it had ended it. It was reported for VFIO's mediated devices and everything that VFIO exposes as level; Marc Zyngier forbade the state in 2018, tested by Shunyong Yang and Eric Auger.",
  rule: "A level interrupt goes into a list register pending or active, never both, so that its end shows as an empty register.",
  protocol: raiseOnGic,
  off: "levelActivePending",
  bound: { preemptions: 1, budget: 100 },
};
