import { resampledLevel } from "../../explore/protocols/xics-kvm.js";
import type { Exhibit } from "../exhibit.js";

export const eoiThatTellsNobody: Exhibit = {
  name: "eoi-that-tells-nobody",
  title: "One INTx taken 100,000 times",
  year: 2022,
  cite: [
    { text: "Timothy Pearson, XIVE VFIO kernel resample failure in INTx mode under heavy load, qemu-devel, March 2022", url: "https://lore.kernel.org/qemu-devel/1891893257.448156.1647023745384.JavaMail.zimbra@raptorengineeringinc.com/" },
    { text: "Alexey Kardashevskiy in that thread, April 2022: XICS on XIVE, and the call that is missing", url: "https://lore.kernel.org/qemu-devel/560c8c1a-a87e-71f9-cfea-0a034933070b@ozlabs.ru/" },
    { text: "Linux 52882b9c7a76, KVM: PPC: Make KVM_CAP_IRQFD_RESAMPLE platform dependent", url: "https://git.kernel.org/torvalds/c/52882b9c7a76" },
  ],
  story:
    "An assigned device's INTx comes by a resampling irqfd: KVM raises the line, and lowers it when the guest's EOI tells the irqfd's listener, which also has VFIO unmask. On POWER9 a guest's XICS is built on XIVE, and its H_EOI, written anew for that, told no listener. Timothy Pearson's real-time card was the first to show it, in a guest that used XIVE itself, where it gave one interrupt and no second; Alexey Kardashevskiy found that with XICS on XIVE the same gap gives the opposite: the line is never lowered, every EOI presents it again, and after 100,000 handlers for nothing Linux switches the interrupt off. The call that the XICS's own H_EOI has always made cured it. What was merged a year later is the admission: the capability is 0 where the host has XIVE, and VMMs go by the EOI in user space.",
  ours: "The bug is of the XICS that is built on XIVE, which virq does not model; what is shown is the XICS's own H_EOI without the call that the other one lacks.",
  rule: "A second implementation of an EOI owes its listeners what the first one told them.",
  protocol: resampledLevel,
  off: "eoiTellsNobody",
  bound: { preemptions: 1, budget: 100 },
};
