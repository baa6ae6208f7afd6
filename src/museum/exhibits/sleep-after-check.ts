import { injectIntoHaltedVcpu } from "../../explore/protocols/kicks.js";
import type { Exhibit } from "../exhibit.js";

export const sleepAfterCheck: Exhibit = {
  name: "sleep-after-check",
  title: "A vCPU that looks, and then goes to sleep",
  year: 2026,
  cite: [
    { text: "rcore-os/tgoskits#1769, fix(x86_vcpu): make HLT yield vCPU task and fix timer wakeup deadlock", url: "https://github.com/rcore-os/tgoskits/pull/1769" },
    { text: "openvmm#4133, virt_whp: Add a 1 second periodic unstick timer; its cause is not public", url: "https://github.com/microsoft/openvmm/pull/4133" },
    { text: "KVM VCPU Requests, Linux documentation", url: "https://docs.kernel.org/virt/kvm/vcpu-requests.html" },
    { text: "hazard K18 of the specification, host-irq.md 3.4", url: null },
  ],
  story:
    "A guest halts, and its vCPU's thread goes to sleep unless an interrupt is pending. Asked before the thread is on the wait queue, the question can be answered with no, the interrupt come, and whoever brings it find nobody to wake; the thread sleeps with an interrupt pending. A pull request of July 2026 tells it of a hypervisor in Rust, once its vCPUs really slept on HLT: the timer's injection and its wake-up could both be over before the vCPU began to wait. In the same month OpenVMM got a timer which looks once a second for a guest that is stranded with an interrupt pending, and took it out again; what stranded it there was not published. KVM joins the queue first and asks afterwards.",
  ours: "Reported in another hypervisor, shown in KVM's code with KVM's rule taken out.",
  rule: "Join the wait queue first, ask second, and sleep only then.",
  protocol: injectIntoHaltedVcpu,
  off: "sleepAfterCheck",
  bound: { preemptions: 1, budget: 2_000 },
};
