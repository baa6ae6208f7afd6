import { describe, expect, it } from "vitest";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { Context } from "../sim/context.js";
import { type Step, STRAIGHT } from "../sim/step.js";
import type { Hazards } from "../sim/hazards.js";
import { Sleep, VcpuMode } from "./vcpu-core.js";
import { BOTH_PICS_MASKED, EOI, LAPIC, SPIV, X86Machine } from "./x86.fixture.js";

const VECTORS = [0x41, 0x61];

class Sender extends Context {
  constructor(
    name: string,
    private readonly send: () => Step<unknown>,
  ) {
    super(name, "user", 0);
  }
  override *body(): Step<void> {
    yield* this.send();
  }
}

/** Two senders of messages against one vCPU that spins or is halted: at the end both were taken and nothing waits. */
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
  const vcpu = m.vcpuOf(fd);
  return {
    sim: m.sim,
    contexts: VECTORS.map((vector) => new Sender(`message ${vector}`, () => apics.signalMsi(0, LAPIC | 0, vector))),
    check: () => null,
    end() {
      if (vcpu.mode === VcpuMode.IN_GUEST_MODE && vcpu.requests !== 0) return "a request waits while the vCPU is in the guest";
      if (vcpu.sleep === Sleep.WAITING && guest.taken.length !== 2) return "an interrupt waits while the vCPU sleeps";
      return guest.taken.length === 2 ? null : `${guest.taken.length} interrupts were taken`;
    },
  };
}

const PATIENCE = 120_000;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("messages to an x86 vCPU, explored", () => {
  it("every interleaving of two messages delivers both, to a running vCPU and to a halted one", () => {
    for (const idle of ["spin", "hlt"] as const)
      expect(explore(() => senders(idle, {}), { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);

  it("K15: a kick before what it announces leaves the request behind", () => {
    expect(explore(() => senders("spin", { kickBeforeRequest: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);

  it("K16: a mode written after the check loses the wake-up", () => {
    expect(explore(() => senders("spin", { modeAfterCheck: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);

  it("K18: a vCPU that looks before it is on the wait queue sleeps for ever", () => {
    expect(explore(() => senders("hlt", { sleepAfterCheck: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);
});
