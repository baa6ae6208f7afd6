import { enableAgainstPin } from "../../explore/protocols/vfio-intx.js";
import type { Exhibit } from "../exhibit.js";

export const lineDisabledTwice: Exhibit = {
  name: "line-disabled-twice",
  title: "A line that is disabled twice and enabled once",
  year: 2024,
  cite: [{ text: "commit fe9a7082684e, vfio/pci: Disable auto-enable of exclusive INTx IRQ", url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=fe9a7082684eb059b925c535682e68c34d487d43" }],
  story:
    "The INTx of a device without DisINTx is masked at the host's interrupt controller, by a count of disables. VFIO requested the line, which enabled it, and disabled it afterwards where the user wants it masked. An interrupt that fires in between is disabled by its handler as well: the count is two, VFIO's own flag says masked once, and no unmask ever enables the line again. Alex Williamson turned it round: the line is requested disabled, and enabled where it should be. The bug was as old as the driver, twelve years.",
  rule: "Ask for a thing in the state that it is to have; do not put it right afterwards.",
  protocol: enableAgainstPin,
  off: "autoEnableLine",
  bound: { preemptions: 2, budget: 1_000 },
};
