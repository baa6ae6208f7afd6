import { Sleep, VcpuMode } from "../../kvm/vcpu-core.js";
import type { Vcpu } from "../../kvm/arm64/vcpu.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import * as K from "../../uapi/kvm.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Protocol } from "../protocol.js";
import { GuestMachine } from "../stages/guest-machine.js";
import type { Program } from "../trial.js";

// What makes a vCPU notice an interrupt (host-irq.md 3): injectors on CPU 0, the vCPU's thread on CPU 1.

const SPIS = [
  { intid: 40, trigger: "edge" },
  { intid: 41, trigger: "edge" },
] as const;

const nothing = (): null => null;

/** Two injectors against one vCPU that spins or is halted: at the end nothing is left undone and nobody waits in vain. */
function injectors(idle: "spin" | "wfi", hazards?: Partial<Hazards>): Program {
  const m = new GuestMachine({ trace: false, spiCount: 32, hazards, guest: { spis: SPIS, idle } }).boot();
  const [vcpu] = m.vcpus;
  return {
    sim: m.sim,
    contexts: SPIS.map(({ intid }) => m.later(() => m.vgic.inject(-1, intid, true, null), `inject ${intid}`)),
    check: nothing,
    end: () => leftBehind(vcpu, m.since.acks),
  };
}

function leftBehind(vcpu: Vcpu, taken: number): string | null {
  if (vcpu.mode === VcpuMode.IN_GUEST_MODE && vcpu.requests !== 0) return "a request waits while the vCPU is in the guest";
  if (vcpu.sleep === Sleep.WAITING && taken !== SPIS.length) return "an interrupt waits while the vCPU sleeps";
  return taken === SPIS.length ? null : `${taken} of ${SPIS.length} interrupts arrived`;
}

export const injectIntoRunningVcpu: Protocol = {
  name: "inject-into-running-vcpu",
  title: "Two interrupts are injected into a vCPU that runs its guest: it takes both, and no request stays behind.",
  source: "host-irq.md 3.2, 3.3, I9, K15, K16; gic.md R37, R39",
  about: ["kvm_exit", "guest_ack", "guest_eoi"],
  program: (hazards) => injectors("spin", hazards),
};

export const injectIntoHaltedVcpu: Protocol = {
  name: "inject-into-halted-vcpu",
  title: "Two interrupts are injected into a vCPU that is about to sleep, or sleeps: it wakes and takes both.",
  source: "host-irq.md 3.4, K18; gic.md R38",
  about: ["sched_wakeup", "guest_ack", "guest_eoi"],
  program: (hazards) => injectors("wfi", hazards),
};

/** User space of another thread, which sets immediate_exit and sends no signal. */
function* setImmediateExit(m: GuestMachine): Step<void> {
  yield writes(m.vcpus[0], "kvm_run");
  m.process.memory.setU8(m.vcpus[0].runAddress + K.kvm_run.immediate_exit.offset, 1);
}

export const immediateExitWithoutSignal: Protocol = {
  name: "immediate-exit-without-signal",
  title: "A thread sets immediate_exit while another enters KVM_RUN, and sends no signal: the vCPU may run on.",
  source: "host-irq.md 4.5, K29",
  program(hazards): Program {
    const m = new GuestMachine({ trace: false, spiCount: 32, hazards });
    const [thread] = m.threads;
    const set = m.later(() => setImmediateExit(m), "immediate_exit");
    return {
      sim: m.sim,
      contexts: [thread, set],
      check: nothing,
      end: () => (set.isDone && thread.results.length === 0 && m.vcpus[0].mode === VcpuMode.IN_GUEST_MODE ? "K29: the vCPU runs on although immediate_exit is set" : null),
    };
  },
};

/** The same with the signal that belongs to it. */
function* setAndSignal(m: GuestMachine): Step<void> {
  yield* setImmediateExit(m);
  yield* m.threads[0].signal(SIGUSR1);
}

const SIGUSR1 = 10;

export const immediateExitWithSignal: Protocol = {
  name: "immediate-exit-with-signal",
  title: "A thread sets immediate_exit and signals the one that enters KVM_RUN: it returns, whatever came first.",
  source: "host-irq.md 4.5, K29",
  program(hazards): Program {
    const m = new GuestMachine({ trace: false, spiCount: 32, hazards });
    const [thread] = m.threads;
    return {
      sim: m.sim,
      contexts: [thread, m.later(() => setAndSignal(m), "immediate_exit")],
      check: nothing,
      end: () => (thread.results.length > 0 ? null : "K29: the vCPU runs on although immediate_exit is set and a signal was sent"),
    };
  },
};
