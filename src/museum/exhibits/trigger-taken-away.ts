import { takeTriggerAgainstUnmask } from "../../explore/protocols/vfio-pci.js";
import type { Exhibit } from "../exhibit.js";

export const triggerTakenAway: Exhibit = {
  name: "trigger-taken-away",
  title: "An unmask signals an eventfd that is not there",
  year: 2024,
  cite: [
    { text: "commit 18c198c96a81, vfio/pci: Create persistent INTx handler", url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=18c198c96a815c962adc2b9b77909eec0be7df4d" },
    { text: "CVE-2024-26812", url: "https://www.cve.org/CVERecord?id=CVE-2024-26812" },
    { text: "vfio.md 8.6 and 23.5 of the specification", url: null },
  ],
  story:
    "A VMM can take the eventfd of an assigned device's INTx away without leaving INTx mode. VFIO then let the interrupt's handler go, and noted NULL in place of the eventfd. The handler was not the only one to signal it: an unmask, by ioctl or by the eventfd that unmasks, signals in its own name when it finds the pin still up, and neither asked. A user with a VFIO device could make the kernel follow the null pointer. The fix, by Alex Williamson, keeps one handler for as long as INTx is on, lets whoever signals ask whether there is an eventfd, and waits for handlers and for the unmask worker before it lets an old one go.",
  rule: "Whoever signals asks first whether there is anybody to signal, and whoever takes the eventfd away waits for those who did.",
  protocol: takeTriggerAgainstUnmask,
  off: "signalNoTrigger",
  bound: { preemptions: 1, budget: 100 },
};
