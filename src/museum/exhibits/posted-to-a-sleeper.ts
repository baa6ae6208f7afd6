import { postIntoSleepingVcpu } from "../../explore/protocols/assigned-device.js";
import type { Exhibit } from "../exhibit.js";

export const postedToASleeper: Exhibit = {
  name: "posted-to-a-sleeper",
  title: "A device comes while the guest sleeps",
  year: 2021,
  cite: [{ text: "Linux a2486020a82e, KVM: VMX: update vcpu posted-interrupt descriptor when assigning device", url: "https://git.kernel.org/torvalds/c/a2486020a82e" }],
  story:
    "With posted interrupts a device sets a bit in the vCPU's descriptor, and the hardware sends the vector that the descriptor names. A vCPU that goes to sleep names the wake-up vector there, but only if its VM has a device that may post; one that had gone to sleep before the first device was hot-plugged went on naming the other. The device's interrupt set the bit, the vector said nothing to a sleeping vCPU, and because the bit was set already whoever wanted to wake that vCPU later thought it done: vCPU 0 waited for an answer for seconds, until the guest's watchdog cut in. Pei Zhang reported it, and Marcelo Tosatti mended it in 2021: the first device makes every sleeping vCPU go to sleep anew.",
  rule: "What a sleeper relies on changes only after it has been woken.",
  protocol: postIntoSleepingVcpu,
  off: "connectWithoutUnblock",
  bound: { preemptions: 1, budget: 100 },
};
