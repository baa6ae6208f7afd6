import { preemptedWait } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const waitForgotten: Exhibit = {
  name: "wait-forgotten",
  title: "Preempted on the way to bed",
  year: 2023,
  cite: [{ text: "Linux b321c31c9b7b, KVM: arm64: vgic-v4: Make the doorbell request robust w.r.t preemption", url: "https://git.kernel.org/torvalds/c/b321c31c9b7b" }],
  story:
    "Since 2019 a vCPU's vPE came and went with the vCPU's thread, and only a vCPU about to wait asked for a doorbell when its vPE left. On a preemptible kernel the thread could lose its CPU between that moment and its sleep. Coming back made the vPE resident again, which took the doorbell away; going to sleep then removed it as at any preemption, without one. The vCPU slept, and its interrupts rang for nobody. Xiang Chen saw VMs on GICv4.1 that sometimes did not boot. A vCPU that has begun to wait is marked now: its vPE stays away until the wait is over.",
  rule: "A decision that must survive a preemption is kept in the thing that it is about, not in the place that took it.",
  protocol: preemptedWait,
  off: "forgetWait",
  bound: { preemptions: 1, budget: 100 },
};
