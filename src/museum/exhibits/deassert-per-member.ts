import { reassertAgainstAcknowledge } from "../../explore/protocols/resampler.js";
import type { Exhibit } from "../exhibit.js";

export const deassertPerMember: Exhibit = {
  name: "deassert-per-member",
  title: "A line lowered twice wipes out a new request",
  year: 2012,
  cite: [
    { text: "\"kvm: Add resampling irqfds for level triggered interrupts\", version 10, September 2012, and its review, as told by the specification, kvm-irq-core.md 3.6 and 3.10", url: null },
    { text: "Linux 7a84428af7ca, KVM: Add resampling irqfds for level triggered interrupts", url: "https://git.kernel.org/torvalds/c/7a84428af7ca" },
  ],
  story:
    "Two assigned devices share an interrupt line. At the guest's acknowledge the line has to be lowered and both owners told. Done in one loop, lower and tell, lower and tell, the second lowering comes after the first owner has been told: if that owner's device still asks for service, it has raised the line again by then, and the second lowering takes its request away. No further acknowledge will come, and the device hangs. A comment in the code gives this as the reason for the resampler: the line is lowered once, before anybody is told, because a second time could race with a new assertion.",
  ours: "Cited is the patch whose own comment gives this as its reason; a report is not known to us.",
  rule: "One acknowledge lowers the line once, and only then tells every owner.",
  protocol: reassertAgainstAcknowledge,
  off: "deassertPerMember",
  bound: { preemptions: 2, budget: 5_000 },
};
