import { lineFallsBeforeFold } from "../../explore/protocols/vgic-fold.js";
import type { Exhibit } from "../exhibit.js";

export const levelAfterFold: Exhibit = {
  name: "level-after-fold",
  title: "Delivered after the line has fallen",
  year: 2017,
  cite: [
    { text: "Linux 8694e4da66a6, KVM: arm/arm64: Remove struct vgic_irq pending field", url: "https://git.kernel.org/torvalds/c/8694e4da66a6" },
    { text: "gic.md R34 and gic-v3.md A9.4 of the specification", url: null },
  ],
  story:
    "A level interrupt waits in a list register; before the guest takes it, the device lowers its line and the vCPU leaves the guest. The list register still says pending. Written back as it is, the interrupt would be delivered once more although nobody asks for service. For an edge that is right, for the edge has been and must not be lost; for a level the line is what counts. KVM's rework of 2017 by Christoffer Dall keeps the two apart, the latch and the line, and computes pending from both when it is asked. A guest that takes the interrupt out of the list register before its vCPU has left may still find nothing to do: that much is allowed.",
  rule: "An edge is remembered, a level is looked up.",
  protocol: lineFallsBeforeFold,
  off: "foldLevelPending",
  bound: { preemptions: 2, budget: 100 },
};
