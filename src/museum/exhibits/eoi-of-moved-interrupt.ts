import { retargetAgainstService } from "../../explore/protocols/ioapic.js";
import type { Exhibit } from "../exhibit.js";

export const eoiOfMovedInterrupt: Exhibit = {
  name: "eoi-of-moved-interrupt",
  title: "The EOI of an interrupt that has moved",
  year: 2017,
  cite: [
    { text: "Linux 0fc5a36dd6b3, KVM: x86: ioapic: Fix level-triggered EOI and IOAPIC reconfigure race", url: "https://git.kernel.org/torvalds/c/0fc5a36dd6b3" },
    { text: "Linux db2bdcbbbd32, KVM: x86: fix edge EOI and IOAPIC reconfig race", url: "https://git.kernel.org/torvalds/c/db2bdcbbbd32" },
  ],
  story:
    "KVM keeps for each vCPU the set of vectors whose EOI the IOAPIC wants to hear of, and computes it from where the pins point now. A guest that moves a pin to another CPU while the interrupt is pending or in service on the first takes the vector out of the first one's set; its EOI does not reach the IOAPIC, the pin's remote IRR stays set, and no further interrupt of that pin goes anywhere. For edge interrupts that had been mended before; in 2017 Nikita Leshenko showed that it holds for level ones too, and let every vector stay in the set that is still pending or in service there.",
  rule: "What was sent under the old configuration ends under the old configuration.",
  protocol: retargetAgainstService,
  off: "scanWithoutPending",
  bound: { preemptions: 1, budget: 100 },
};
