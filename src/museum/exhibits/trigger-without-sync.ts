import { swapAgainstUnmask } from "../../explore/protocols/vfio-pci.js";
import type { Exhibit } from "../exhibit.js";

export const triggerWithoutSync: Exhibit = {
  name: "trigger-without-sync",
  title: "An eventfd is dropped under its handler",
  year: 2024,
  cite: [
    { text: "CVE-2024-26812, vfio/pci: Create persistent INTx handler", url: "https://www.cve.org/CVERecord?id=CVE-2024-26812" },
    { text: "vfio.md 23.5 of the specification", url: null },
  ],
  story:
    "A VMM gives an assigned device's INTx another eventfd, or none. The old one may be in use at that moment: by the interrupt's handler, or by the callback of the eventfd that unmasks, which signals again when the line is still up. Neither can take the mutex under which the change is made, for both run where sleeping is forbidden. VFIO dropped the old context, and an unmask that came by ioctl or by eventfd could signal what was there no more; it became CVE-2024-26812. The fix keeps one handler for as long as the device is open, and waits for handlers and for the unmask worker before it lets an old eventfd go.",
  rule: "What is used without the lock is dropped after everyone who may use it has been waited for.",
  protocol: swapAgainstUnmask,
  off: "swapWithoutSync",
  bound: { preemptions: 1, budget: 1_000 },
};
