import { unforwardOneOfTwo } from "../../explore/protocols/forwarding.js";
import type { Exhibit } from "../exhibit.js";

export const oneReferenceForTwo: Exhibit = {
  name: "one-reference-for-two",
  title: "Two forwarded interrupts on one reference",
  year: 2014,
  cite: [
    { text: "\"[PATCH v3 0/8] KVM-VFIO IRQ forward control\", November 2014, as told by the specification, kvm-irq-core.md 8.3", url: null },
  ],
  story:
    "Every forwarded interrupt of a VFIO device is a node in KVM that uses the device. Held once for all of them, the device's reference goes with the first interrupt that is taken back; the user closes the device, which is freed, and the second node points nowhere. The rule of the series' third version is one reference for each node.",
  ours: "Cited is a series that was never merged, as the specification tells it: its rule is real, the bug would have been.",
  rule: "Everyone who uses a thing holds it.",
  protocol: unforwardOneOfTwo,
  off: "shareDeviceReference",
  bound: { preemptions: 2, budget: 100 },
};
