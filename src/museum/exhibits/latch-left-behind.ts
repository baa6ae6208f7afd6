import { forwardPending } from "../../explore/protocols/direct-mappings.js";
import type { Exhibit } from "../exhibit.js";

export const latchLeftBehind: Exhibit = {
  name: "latch-left-behind",
  title: "The hardware takes over, and nobody tells it what waits",
  year: 2021,
  cite: [{ text: "Linux 12df7429213a, KVM: arm64: GICv4.1: Restore VLPI pending state to physical side", url: "https://git.kernel.org/torvalds/c/12df7429213a" }],
  story:
    "When a device's interrupt becomes a VLPI, the hardware alone knows from then on whether it is pending. The series of 2017 switched over without looking at what software had latched until then. It mattered most after a migration, where everything comes back as software's and is handed to the hardware afterwards: what was pending at the save was pending nowhere. Zenghui Yu and Shenming Lu send an INT for it now, before the latch is cleared.",
  ours: "The commit is part of teaching GICv4.1 to migrate; that the older series loses what is pending at any switch is our reading of it.",
  rule: "Who takes over the answer to a question takes over what it was.",
  protocol: forwardPending,
  off: "forgetLatch",
  bound: { preemptions: 1, budget: 100 },
};
