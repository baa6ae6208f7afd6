import { swapAgainstUserEnable } from "../../explore/protocols/vfio-intx.js";
import type { Exhibit } from "../exhibit.js";

export const configurationOutsideTheLock: Exhibit = {
  name: "configuration-outside-the-lock",
  title: "The command register reaches past the interrupt's lock",
  year: 2024,
  cite: [
    { text: "commit 810cd4bb5345, vfio/pci: Lock external INTx masking ops", url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=810cd4bb53456d0503cc4e7934e063835152c1b7" },
    { text: "CVE-2024-26810", url: "https://www.cve.org/CVERecord?id=CVE-2024-26810" },
  ],
  story:
    "A guest that writes the DisINTx bit of its device's command register masks or unmasks the INTx behind it. VFIO did that without the lock under which ioctls configure the interrupt, although an unmask asks whether INTx is in use, and signals when the pin is still up. It could meet a change of the configuration in the middle. Alex Williamson gave these paths the lock: since then whoever signals INTx holds it, or runs only while INTx is configured and is waited for.",
  ours: "Cited is the missing lock; that a replaced eventfd is signalled after the call has returned is what the search finds of it.",
  rule: "What asks how an interrupt is configured holds the lock that the configuration changes under, by whatever way it came.",
  protocol: swapAgainstUserEnable,
  off: "configWriteOutsideGate",
  bound: { preemptions: 2, budget: 1_000 },
};
