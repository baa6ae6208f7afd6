import { describe, expect, it } from "vitest";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import type { Hazards } from "../sim/hazards.js";
import { Sleep, VcpuMode } from "../kvm/vcpu-core.js";
import { STRAIGHT } from "../sim/step.js";
import { GuestMachine } from "./guest.fixture.js";

const SPIS = [
  { intid: 40, trigger: "edge" },
  { intid: 41, trigger: "edge" },
] as const;

/** Two injectors against one vCPU that spins or is halted: at the end nothing is left undone and nobody waits in vain. */
function injectors(idle: "spin" | "wfi", hazards: Partial<Hazards>): Program {
  const m = new GuestMachine({ trace: false, spiCount: 32, hazards, guest: { spis: SPIS, idle } }).boot();
  const [vcpu] = m.vcpus;
  return {
    sim: m.sim,
    contexts: SPIS.map(({ intid }) => m.later(() => m.vgic.inject(-1, intid, true, null))),
    check: () => null,
    end() {
      if (vcpu.mode === VcpuMode.IN_GUEST_MODE && vcpu.requests !== 0) return "a request waits while the vCPU is in the guest";
      if (vcpu.sleep === Sleep.WAITING && m.since.acks !== 2) return "an interrupt waits while the vCPU sleeps";
      return m.since.acks === 2 ? null : `${m.since.acks} interrupts arrived`;
    },
  };
}

const PATIENCE = 120_000;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("kicks, explored (host-irq.md 7)", () => {
  it("I9: every interleaving of two injections delivers both, running and halted", () => {
    for (const idle of ["spin", "wfi"] as const)
      expect(explore(() => injectors(idle, {}), { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);

  it("K15: a kick before what it announces leaves the request behind", () => {
    expect(explore(() => injectors("spin", { kickBeforeRequest: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);

  it("K16: a mode written after the check loses the wake-up", () => {
    expect(explore(() => injectors("spin", { modeAfterCheck: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);

  it("K18: a vCPU that looks before it is on the wait queue sleeps for ever", () => {
    expect(explore(() => injectors("wfi", { sleepAfterCheck: true }))).toMatchObject({ verdict: "violation" });
  }, PATIENCE);
});
