import { timerSilencedInHandler } from "../../explore/protocols/vgic-fold.js";
import type { Exhibit } from "../exhibit.js";

export const levelAfterFold: Exhibit = {
  name: "level-after-fold",
  title: "Delivered after the line has fallen",
  year: 2021,
  cite: [
    { text: "Linux 3134cc8beb69, KVM: arm64: vgic: Resample HW pending state on deactivation", url: "https://git.kernel.org/torvalds/c/3134cc8beb69" },
    { text: "gic.md R34 and gic-v3.md A9.4 of the specification", url: null },
  ],
  story:
    "A guest is in the handler of its timer when its vCPU loses the CPU. Loaded again, KVM looks at the timer, finds its line still high and notes it: active and pending. The handler then programs the timer anew, the line falls, and it ends the interrupt. When the list register was folded back KVM sampled the line of a mapped interrupt only where the register said pending; this one was active and had ended, so the note stood, and the guest took an interrupt that nobody asked for. Raghavendra Rao Ananta found it in 2021 by a test of the timer whose vCPUs migrate from CPU to CPU; Marc Zyngier has the fold sample the line of what has ended, too.",
  rule: "An edge is remembered, a level is looked up, and what was noted of it before is old.",
  protocol: timerSilencedInHandler,
  off: "endWithoutSample",
  bound: { preemptions: 2, budget: 100 },
};
