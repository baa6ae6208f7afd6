import { injectIntoRunningVcpu } from "../../explore/protocols/kicks.js";
import type { Exhibit } from "../exhibit.js";

export const entryAfterCheck: Exhibit = {
  name: "entry-after-check",
  title: "A wake-up between the last look and the entry",
  year: 2026,
  cite: [
    { text: "openvmm#4033, virt_whp: Fix another lost interrupt delivery", url: "https://github.com/microsoft/openvmm/pull/4033" },
    { text: "openvmm#3917, virt_mshv: Narrow cancellation TOCTOU window", url: "https://github.com/microsoft/openvmm/pull/3917" },
    { text: "KVM VCPU Requests, Linux documentation", url: "https://docs.kernel.org/virt/kvm/vcpu-requests.html" },
  ],
  story:
    "A vCPU's thread looks whether anything waits for it, finds nothing, and enters the guest. What comes between the look and the entry wakes a thread that is awake, and is then left lying until the guest leaves by itself. Two pull requests of July 2026 describe that window in OpenVMM, on two hypervisors, behind guests that stalled while they booted; the second says that it only narrows it, because the hypervisor's call offers nothing that closes it. KVM closes it: a vCPU says first that it is in guest mode, and looks at its requests afterwards, so that whoever requests something either is seen or sees that a kick is needed.",
  ours: "Reported in OpenVMM, shown in KVM's code with KVM's rule taken out.",
  rule: "Say that you are going in before you look for the last time.",
  protocol: injectIntoRunningVcpu,
  off: "modeAfterCheck",
  bound: { preemptions: 1, budget: 1_000 },
};
