import { changeOfListedInterrupt } from "../../explore/protocols/vgic-fold.js";
import type { Unreachable } from "../unreachable.js";

export const changeInAListRegister: Unreachable = {
  name: "change-in-a-list-register",
  title: "Priority and enable change while another vCPU has the interrupt in a list register",
  year: 2016,
  cite: [{ text: "gic-v3.md A7.3 and gic.md R33 of the specification: the registers of the virtual distributor", url: null }],
  story:
    "An interrupt waits in a list register of a vCPU that is in its guest, and another vCPU disables it, gives it another priority and enables it again. Told is that the fold of the list register undoes the change, or that the interrupt is lost by it.",
  why: "A list register hands back only what the hardware changes, pending and active; priority and enable are the distributor's alone. Until its vCPU leaves the guest the old values may be seen, which the architecture allows.",
  instead: "active-without-halt",
  protocol: changeOfListedInterrupt,
  bound: { preemptions: 2 },
};
