import { maskAgainstSignal } from "../../explore/protocols/message-mask.js";
import type { Exhibit } from "../exhibit.js";

export const maskByRoute: Exhibit = {
  name: "mask-by-route",
  title: "A masked message is consumed and thrown away",
  year: 2020,
  cite: [
    { text: "cloud-hypervisor#795, msi/msi-x: Prevent from losing masked interrupts", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/pull/795" },
    { text: "commit b77fdeba2d62", url: "https://github.com/cloud-hypervisor/cloud-hypervisor/commit/b77fdeba2d620273c51d133d6ea8e568fc5391a3" },
  ],
  story:
    "A guest masks an MSI or MSI-X vector of its device. cloud-hypervisor did so by taking the vector's route out of KVM's table, and put it back when the guest unmasked. The irqfd stayed where it was. If the device signalled in between, KVM consumed the eventfd's count, looked for a route, found none and dropped the interrupt; nothing was left that the unmask could have delivered, and the driver waited. Sebastien Boeuf described and fixed it in February 2020, on a suggestion by Liu Jiang: the mask takes the irqfd away, so that the count stays in the eventfd, and the irqfd of the unmask finds it there.",
  rule: "To mask a message, stop listening to the eventfd; an eventfd that is listened to without a route loses what it counts.",
  protocol: maskAgainstSignal,
  off: "maskByRoute",
  bound: { preemptions: 2, budget: 1_000 },
};
