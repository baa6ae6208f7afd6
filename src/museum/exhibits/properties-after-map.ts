import { forwardAgainstMessage } from "../../explore/protocols/direct-mappings.js";
import type { Exhibit } from "../exhibit.js";

export const propertiesAfterMap: Exhibit = {
  name: "properties-after-map",
  title: "Mapped, and not yet described",
  year: 2017,
  cite: [{ text: "Linux d4d7b4ad2f05, irqchip/gic-v3-its: Setup VLPI properties at map time", url: "https://git.kernel.org/torvalds/c/d4d7b4ad2f05" }],
  story:
    "The series that brought GICv4 to KVM mapped a device's event to a vCPU first and wrote the interrupt's priority and enable afterwards, by a second call. From the mapping on the device could send: the interrupt was then judged by whatever the table held, and one that was found disabled stayed unnoticed. The change log from the fourth to the fifth version says so, and the first patch of the fifth gives the properties to the call that maps.",
  rule: "A thing is described before it can act.",
  protocol: forwardAgainstMessage,
  off: "propertiesAfterMap",
  bound: { preemptions: 1, budget: 500 },
};
