import { lowerAgainstRaise } from "../../explore/protocols/ioapic-sources.js";
import type { Exhibit } from "../exhibit.js";

export const sourcesApart: Exhibit = {
  name: "sources-apart",
  title: "Two sources, one pin, and a value out of date",
  year: 2012,
  cite: [
    { text: "Linux 1a577b72475d, KVM: fix race with level interrupts", url: "https://git.kernel.org/torvalds/c/1a577b72475d" },
  ],
  story:
    "A pin of the interrupt controller can have several sources, and is high while any of them is. KVM kept a bit for each in an atomic word: set or clear the bit, read the word, then take the controller's lock and drive the pin. Between reading and driving another source could do all of that. CPU 0 clears its bit and reads zero; CPU 1 sets its own and drives the pin high; CPU 0 drives it low. The controller thinks the line low while a source holds it high, and no further change will tell it. Reported by Gleb Natapov, mended by Michael S. Tsirkin in 2012: the word is kept under the controller's lock, and needs no atomics any more.",
  rule: "What is derived from a state is written under the lock under which the state was read.",
  protocol: lowerAgainstRaise,
  off: "sourcesApart",
  bound: { preemptions: 2, budget: 100 },
};
