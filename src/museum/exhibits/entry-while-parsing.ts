import { entryWhileParsing as protocol } from "../../explore/protocols/vpes.js";
import type { Exhibit } from "../exhibit.js";

export const entryWhileParsing: Exhibit = {
  name: "entry-while-parsing",
  title: "The guest is faster than its interrupt controller",
  year: 2020,
  cite: [
    { text: "Linux 96806229ca03, irqchip/gic-v4.1: Add support for VPENDBASER's Dirty+Valid signaling", url: "https://git.kernel.org/torvalds/c/96806229ca03" },
    { text: "Linux 57e3cebd022f, KVM: arm64: Delay the polling of the GICR_VPENDBASER.Dirty bit", url: "https://git.kernel.org/torvalds/c/57e3cebd022f" },
  ],
  story:
    "A redistributor that is told of a vPE reads its pending table from memory, and takes its time over it. A vCPU woken by its doorbell could be in its guest before that was done: the guest found nothing, waited again, left the hardware, was rung again, and so on. Marc Zyngier had the kernel wait for the Dirty bit when a vPE becomes resident; Shenming Lu moved the wait to the last moment before the entry, so that the vCPU has something else to do meanwhile.",
  rule: "Hardware that has been told something has not yet understood it.",
  protocol,
  off: "enterWhileDirty",
  bound: { preemptions: 2, budget: 100 },
};
