import { injectIntoHaltedVcpu } from "../../explore/protocols/kicks.js";
import type { Exhibit } from "../exhibit.js";

export const sleepAfterCheck: Exhibit = {
  name: "sleep-after-check",
  title: "A vCPU that looks, and then goes to sleep",
  year: 2026,
  cite: [
    { text: "openvmm#4133, virt_whp: Add a 1 second periodic unstick timer", url: "https://github.com/microsoft/openvmm/pull/4133" },
    { text: "openvmm#4166, which took it out again", url: "https://github.com/microsoft/openvmm/pull/4166" },
    { text: "KVM VCPU Requests, Linux documentation", url: "https://docs.kernel.org/virt/kvm/vcpu-requests.html" },
    { text: "hazard K18 of the specification, host-irq.md 3.4", url: null },
  ],
  story:
    "A guest halts, and its vCPU's thread goes to sleep unless an interrupt is pending. Asked before the thread is on the wait queue, the question can be answered with no, the interrupt come, and whoever brings it find nobody to wake; the thread sleeps with an interrupt pending. From outside that is a guest which is stranded until something else happens: in July 2026 OpenVMM got a timer which looked once a second for exactly that and freed the guest, because a hypervisor bug that was not understood yet made its tests fail at random. It was taken out again in August for another reason. What that bug was we do not know; this is the classic way to such an end, and KVM avoids it by joining the queue first and asking afterwards.",
  rule: "Join the wait queue first, ask second, and sleep only then.",
  protocol: injectIntoHaltedVcpu,
  off: "sleepAfterCheck",
  bound: { preemptions: 1, budget: 2_000 },
};
