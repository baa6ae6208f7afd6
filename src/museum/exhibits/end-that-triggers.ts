import { endAgainstMessage } from "../../explore/protocols/vfio-messages.js";
import type { Exhibit } from "../exhibit.js";

export const endThatTriggers: Exhibit = {
  name: "end-that-triggers",
  title: "A request to end all interrupts that fires each of them",
  year: 2019,
  cite: [
    { text: "cloud-hypervisor#460, Investigate VFIO/MSI disable issues, and #505, vfio: Correctly implement MSI/MSI-X disable", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/505" },
    { text: "openvmm#3778, user_driver: fix VFIO msi-x unmap", url: "https://github.com/microsoft/openvmm/pull/3778" },
  ],
  story:
    "SET_IRQS has one way to end the vectors of a device: no data, and a count of 0. With a count of as many as there are, the same request is the loopback of the interface: it signals every eventfd, and all vectors stay. OpenVMM's driver ended its vectors so, until June 2026. Cloud Hypervisor had needed three attempts in November and December 2019 to end its interrupts by what the interface asks for.",
  ours: "Cited for the very request is openvmm#3778; what Cloud Hypervisor did wrong is told as disabling by the wrong flags.",
  rule: "What a request means with nothing in it is not what it means with everything in it: read what 0 stands for.",
  protocol: endAgainstMessage,
  off: "endByCount",
  bound: { preemptions: 1, budget: 100 },
};
