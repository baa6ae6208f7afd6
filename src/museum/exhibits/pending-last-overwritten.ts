import { messagesIntoWaitingVcpu41 } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const pendingLastOverwritten: Exhibit = {
  name: "pending-last-overwritten",
  title: "The doorbell rings between the question and the note of its answer",
  year: 2020,
  cite: [{ text: "Linux a3f574cd6548, KVM: arm64: vgic-v4: Plug race between non-residency and v4.1 doorbell", url: "https://git.kernel.org/torvalds/c/a3f574cd6548" }],
  story:
    "A vCPU that waits for an interrupt takes its vPE off the hardware, asks the redistributor whether anything was pending, and notes the answer in pending_last. From the moment the vPE is gone its doorbell may ring, on another CPU, and the handler notes that something is pending now. With GICv4.1, where nobody masks the doorbell by hand, the handler could come between the question and the note: the note then said no, the one doorbell had been used up, and the vCPU slept until something else, a timer, woke it. Zenghui Yu reported it; both take the vPE's lock now.",
  rule: "An answer is noted under the lock that keeps away who knows better.",
  protocol: messagesIntoWaitingVcpu41,
  off: "pendingLastUnlocked",
  bound: { preemptions: 1, budget: 500 },
};
