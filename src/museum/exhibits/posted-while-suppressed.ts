import { loadAgainstPost } from "../../explore/protocols/local-apics.js";
import type { Exhibit } from "../exhibit.js";

export const postedWhileSuppressed: Exhibit = {
  name: "posted-while-suppressed",
  title: "Posted to a vCPU that was not running, and not seen when it was",
  year: 2019,
  cite: [{ text: "Linux c112b5f50232, KVM: x86: Recompute PID.ON when clearing PID.SN", url: "https://git.kernel.org/torvalds/c/c112b5f50232" }],
  story:
    "A vCPU that has been preempted needs no notification, so its posted-interrupt descriptor says SN, suppress. A device that posts meanwhile sets its bit in PIR, and the remapping hardware leaves ON alone. KVM, following the processor's manual rather than that of VT-d, took ON for granted wherever PIR has a bit: when the vCPU ran again it looked at ON, found nothing, and the interrupts of a passed-through device were lost or overwritten. Luwei Kang restored the invariant in 2019: whoever clears SN looks at PIR and sets ON.",
  rule: "Who asked not to be told looks for himself when he is back.",
  protocol: loadAgainstPost,
  off: "loadWithoutCheck",
  bound: { preemptions: 1, budget: 100 },
};
