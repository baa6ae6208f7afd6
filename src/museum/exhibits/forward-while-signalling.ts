import { forwardAgainstTrigger } from "../../explore/protocols/forwarding.js";
import type { Exhibit } from "../exhibit.js";

export const forwardWhileSignalling: Exhibit = {
  name: "forward-while-signalling",
  title: "Forwarding changed under a live handler",
  year: 2014,
  cite: [
    { text: "\"[PATCH v3 0/8] KVM-VFIO IRQ forward control\", November 2014, as told by the specification, kvm-irq-core.md 8.3", url: null },
  ],
  story:
    "A forwarded interrupt is completed by its guest: the hardware deactivates the physical interrupt when the guest ends the virtual one, and the host neither masks nor unmasks it. VFIO has two handlers for the two cases, and chooses when the trigger is installed. If forwarding could be switched on behind an installed trigger, the masking handler would stay: the first interrupt is masked, the guest's end of it wakes no resampler, nobody unmasks, and the device is dead. The third version of Eric Auger's series, which was never merged, allows the change only while no trigger is installed, and takes the lock that the installation takes.",
  ours: "Cited is a series that was never merged, as the specification tells it: its rule is real, the bug would have been.",
  rule: "How an interrupt is completed changes only while it cannot fire.",
  protocol: forwardAgainstTrigger,
  off: "forwardWhileSignalling",
  bound: { preemptions: 2, budget: 100 },
};
