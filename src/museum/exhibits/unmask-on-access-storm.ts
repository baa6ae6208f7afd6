import { splitRaiseTrapped } from "../../explore/protocols/assigned-device.js";
import type { Exhibit } from "../exhibit.js";

export const unmaskOnAccessStorm: Exhibit = {
  name: "unmask-on-access-storm",
  title: "A VMM takes the reading of a status register for the end of the interrupt",
  year: 2022,
  cite: [
    { text: "cloud-hypervisor#4999, vfio: Fix INTx EOI with resample fd", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/issues/4999" },
    { text: "rust-vmm/vfio#24, which says that the VMM \"must guess the intx eoi\"", url: "https://github.com/rust-vmm/vfio/pull/24" },
  ],
  story:
    "The other half of exhibit unmask-on-access-wedge: where the registers do trap, the guess comes too early. A handler reads the status register before it writes the one that clears the interrupt. The VMM unmasks at the read; the line is still up, so VFIO signals again, and the message waits in the local APIC until the handler has ended, which then runs again and finds nothing. The report speaks of interrupts that are not acknowledged correctly; that it comes out as a handler that runs for nothing is what the search shows.",
  rule: "A guest that touches its device has not finished with it: a level interrupt is unmasked when it has ended, not when it has been noticed.",
  protocol: splitRaiseTrapped,
  off: "unmaskOnAccess",
  bound: { preemptions: 1, budget: 100 },
};
