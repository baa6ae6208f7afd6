import type { Hazards } from "../../sim/hazards.js";
import { Progress } from "../properties/progress.js";
import type { Protocol } from "../protocol.js";
import { Thread } from "../stages/threads.js";
import { BOTH_PICS_MASKED, EOI, LAPIC, SPIV, X86Machine } from "../stages/x86-machine.js";
import type { Program } from "../trial.js";

const VECTORS = [0x41, 0x61];

/** Two senders of messages against one vCPU that waits: at the end both were taken, and nothing waits. */
function senders(idle: "spin" | "hlt", hazards: Partial<Hazards>): Program {
  const m = new X86Machine(hazards);
  const vm = m.xf();
  const fd = m.vcpu(vm, 0);
  const guest = m.scriptOf(fd);
  for (const vector of VECTORS) guest.handlers.set(vector, [EOI]);
  m.guest(fd, [...BOTH_PICS_MASKED, { store: SPIV, value: 0x1ff }, "sti", "nop"]);
  guest.idle = idle;
  m.start(fd);
  m.sim.traceTo(null);
  const { apics } = m.arch(vm);
  if (apics === null) throw new Error("no local APICs");
  return {
    sim: m.sim,
    contexts: VECTORS.map((vector) => new Thread(`message ${vector}`, "user", () => apics.signalMsi(0, LAPIC | 0, vector))),
    properties: [new Progress([m.vcpuOf(fd)])],
    check: () => null,
    end: () => (guest.taken.length === VECTORS.length ? null : `${guest.taken.length} of ${VECTORS.length} interrupts were taken`),
  };
}

export const messagesToSpinningVcpu: Protocol = {
  name: "messages-to-spinning-x86-vcpu",
  title: "Two messages reach a local APIC whose vCPU is in its guest: it takes both, and no request stays behind.",
  source: "x86-irqchip.md 9, host-irq.md K15, K16",
  program: (hazards = {}) => senders("spin", hazards),
};

export const messagesToHaltedVcpu: Protocol = {
  name: "messages-to-halted-x86-vcpu",
  title: "Two messages reach a local APIC whose vCPU is about to halt, or is halted: it wakes and takes both.",
  source: "x86-irqchip.md 9, host-irq.md K18",
  program: (hazards = {}) => senders("hlt", hazards),
};
