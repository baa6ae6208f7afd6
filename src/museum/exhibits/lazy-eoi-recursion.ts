import { clearEntryAgainstRaise } from "../../explore/protocols/ioapic-edge.js";
import type { Exhibit } from "../exhibit.js";

export const lazyEoiRecursion: Exhibit = {
  name: "lazy-eoi-recursion",
  title: "An acknowledge that acknowledges itself",
  year: 2020,
  cite: [
    { text: "Linux 77377064c3a9, KVM: ioapic: break infinite recursion on lazy EOI", url: "https://git.kernel.org/torvalds/c/77377064c3a9" },
    { text: "Linux 8be8f932e3db, kvm: ioapic: Restrict lazy EOI update to edge-triggered interrupts", url: "https://git.kernel.org/torvalds/c/8be8f932e3db" },
  ],
  story:
    "On AMD hosts with AVIC the EOI of an edge interrupt does not leave the guest, so KVM makes up for it when the pin is raised next: it tells those who wait for the acknowledge. A resampler among them lowers its part of the line; if the pin's other source still holds it up, the pin is driven again, finds an acknowledge to make up for, and tells the resampler: the kernel's stack overflows. Reported by borisvk@bstnet.org in 2020 and mended for level-triggered pins, where it was seen (8be8f932e3db). It came back: a guest that shuts down turns its pins to edge while an assigned device's resampler is still there, and the circle is closed again. The second fix (77377064c3a9) tells nobody: only the clock's pin is accounted for.",
  rule: "Raising a line never runs the acknowledge of the interrupt before.",
  protocol: clearEntryAgainstRaise,
  off: "lazyEoiTellsListeners",
  bound: { preemptions: 2, budget: 100 },
};
