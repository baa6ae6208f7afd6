import { preemptedWhileParsing } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const leftWhileParsing: Exhibit = {
  name: "left-while-parsing",
  title: "The wait that was moved away from one who needed it",
  year: 2022,
  cite: [{ text: "Linux af27e41612ec, irqchip/gic-v4: Wait for GICR_VPENDBASER.Dirty to clear before descheduling", url: "https://git.kernel.org/torvalds/c/af27e41612ec" }],
  story:
    "When the wait for a redistributor's Dirty bit moved from the load of a vCPU to its entry into the guest, a gap opened between the two in which a vCPU can be preempted. Its vPE was then taken away by a write to a register that the redistributor was still busy with, which the architecture leaves unpredictable. Jingyi Wang met it; Marc Zyngier has the kernel wait before the write, too, on GICv4.0 and GICv4.1 alike.",
  rule: "A wait that is moved to the last moment is still owed by whoever turns back before it.",
  protocol: preemptedWhileParsing,
  off: "descheduleWhileDirty",
  bound: { preemptions: 2, budget: 100 },
};
