import { reads } from "../../sim/access.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { LAPIC, PcStage } from "../stages/pc-stage.js";
import { PostedStage } from "../stages/posted-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// Local APICs and posted interrupts (x86-irqchip.md 7, 10).

const [FIRST, SECOND, TAKEN] = [0x41, 0x42, 0x61];
/** A message that is level and asserted: its end is user space's. */
const LEVEL_ASSERT = 0xc000;

const nothing = (): null => null;

function missing(stage: PostedStage, ...vectors: number[]): string | null {
  const lost = vectors.filter((vector) => !stage.isRequested(vector));
  return lost.length === 0 ? null : `not seen: ${lost.map((vector) => vector.toString(16)).join(", ")}`;
}

export const postTwice: Protocol = {
  name: "post-twice",
  title: "A device and software post to a vCPU in the guest: both vectors are seen.",
  source: "x86-irqchip.md 10.3, X11",
  about: ["writes PostedDescriptor.control", "writes Lapic.irr"],
  program(hazards): Program {
    const stage = new PostedStage(hazards);
    return { sim: stage.pc.sim, contexts: [stage.device(FIRST), stage.software(SECOND)], check: nothing, end: () => missing(stage, FIRST, SECOND) };
  },
};

export const loadAgainstPost: Protocol = {
  name: "load-against-post",
  title: "Devices post to a vCPU that was preempted and comes back on another CPU: both vectors are seen.",
  source: "x86-irqchip.md 10.4, X12",
  about: ["writes PostedDescriptor.control", "writes Lapic.irr"],
  program(hazards): Program {
    const stage = new PostedStage(hazards);
    run(stage.posted.put("preempted"));
    const vcpu = new Thread("vcpu", "vcpu", () => stage.comeBack(1));
    return { sim: stage.pc.sim, contexts: [vcpu, stage.device(FIRST), stage.device(SECOND)], check: nothing, end: () => missing(stage, FIRST, SECOND) };
  },
};

export const blockAgainstPost: Protocol = {
  name: "block-against-post",
  title: "A device posts to a vCPU that looks and blocks: it does not block, or is woken, and sees the vector.",
  source: "x86-irqchip.md 10.4, X13",
  about: ["writes PostedDescriptor.control", "writes Lapic.irr"],
  program(hazards): Program {
    const stage = new PostedStage(hazards);
    stage.vcpu.inGuest = false;
    const vcpu = new Thread("vcpu", "vcpu", () => stage.block());
    return { sim: stage.pc.sim, contexts: [stage.device(FIRST), vcpu], check: nothing, end: () => missing(stage, FIRST) };
  },
};

export const requestAgainstTake: Protocol = {
  name: "request-against-take",
  title: "Two vectors are requested from outside while the vCPU takes a third: both are visible.",
  source: "x86-irqchip.md 7.4, X15",
  about: ["apic_take"],
  program(hazards): Program {
    const pc = new PcStage({ hazards, cpus: 1 });
    const [{ lapic }] = pc.cpus;
    run(lapic.setIrr(TAKEN));
    const request = (vector: number): Thread => new Thread(`request ${vector.toString(16)}`, "user", () => lapic.setIrr(vector));
    const contexts = [request(FIRST), request(SECOND), new Thread("vcpu", "vcpu", () => lapic.take(TAKEN))];
    return { sim: pc.sim, contexts, check: nothing, end: () => (run(lapic.highestRequest()) === SECOND ? null : "X15: a request is invisible") };
  },
};

/** User space's IOAPIC has the vector no more. */
function* unroute(pc: PcStage, state: { isGone: boolean; wasLate: boolean }): Step<void> {
  yield* pc.route([]);
  yield reads(pc.arch.vcpus[0], "requests");
  state.isGone = true;
}

export const splitExitAgainstReroute: Protocol = {
  name: "split-exit-against-reroute",
  title: "Split mode: a route is removed between the guest's end of its interrupt and the exit: user space may still be told of it.",
  source: "x86-irqchip.md 8.2, X23",
  program(hazards): Program {
    const state = { isGone: false, wasLate: false };
    const pc = new PcStage({ hazards, mode: "split", cpus: 1, ended: () => void (state.wasLate ||= state.isGone) });
    run(pc.route([{ gsi: 20, addressLo: LAPIC, data: FIRST | LEVEL_ASSERT }]));
    run(pc.drive(20, 1));
    if (pc.take() !== FIRST) throw new Error("the interrupt was not taken");
    run(pc.end());
    const contexts = [new Thread("cpu0", "vcpu", () => pc.cpus[0].isPending()), new Thread("user", "user", () => unroute(pc, state))];
    return { sim: pc.sim, contexts, check: nothing, end: () => (state.wasLate ? "X23: an exit after the route was removed" : null) };
  },
};

const CLUSTER_0_ALL = 0xff;
const CPUS = 9;

export const broadcastQuirk: Protocol = {
  name: "broadcast-quirk",
  title: "In x2APIC cluster mode a message for CPUs 0 to 7 has destination 0xff, and reaches a ninth CPU, too.",
  source: "x86-irqchip.md 6.2, X24",
  program(hazards): Program {
    const pc = new PcStage({ hazards, cpus: CPUS, x2apic: true });
    for (const cpu of pc.cpus) run(cpu.lapic.msrWrite(0x1b, cpu.lapic.base.low | (1 << 10), cpu.lapic.base.high, false));
    const logical = LAPIC | (CLUSTER_0_ALL << 12) | (1 << 2);
    const send = new Thread("device", "hardware", () => pc.apics.signalMsi(0, logical | 0, FIRST));
    return { sim: pc.sim, contexts: [send], check: nothing, end: () => (pc.take(CPUS - 1) === FIRST ? "X24: the message reaches a CPU that it does not name" : null) };
  },
};

const LOWEST_PRIORITY = 0x100;
/** With four CPUs its hash is 1. */
const HASHED = 0x31;

export const hashPicksAbsentCpu: Protocol = {
  name: "hash-picks-absent-cpu",
  title: "A message of lowest priority is hashed to a CPU whose local APIC is being switched off: it is dropped although three others are there.",
  source: "x86-irqchip.md 6.3, X25",
  program(hazards): Program {
    const pc = new PcStage({ hazards, cpus: 4 });
    const logical = LAPIC | (0x0f << 12) | (1 << 2);
    const send = new Thread("device", "hardware", () => pc.apics.signalMsi(0, logical | 0, LOWEST_PRIORITY | HASHED));
    const off = new Thread("cpu1", "vcpu", () => pc.setSoftwareEnable(1, false));
    const end = (): string | null => {
      const takers = [0, 2, 3].filter((cpu) => pc.take(cpu) === HASHED);
      return send.result === 0 && takers.length === 0 ? "X25: dropped, with three CPUs to take it" : null;
    };
    return { sim: pc.sim, contexts: [off, send], check: nothing, end };
  },
};

const [INIT, STARTUP] = [0x500, 0x600];
const PAGE = 0x10;

/** ICR of CPU 0: an IPI to CPU 1. */
function* ipi(pc: PcStage, low: number): Step<void> {
  yield* pc.cpus[0].store(LAPIC + 0x310, 1 << 24);
  yield* pc.cpus[0].store(LAPIC + 0x300, low);
}

/** INIT, start-up, and INIT again: the second one takes the start-up back. */
function* initTwice(pc: PcStage): Step<void> {
  yield* ipi(pc, INIT);
  yield* ipi(pc, STARTUP | PAGE);
  yield* ipi(pc, INIT);
}

export const initAfterStartup: Protocol = {
  name: "init-after-startup",
  title: "A CPU is sent INIT, a start-up and INIT again while it looks: in the end it waits for a start-up.",
  source: "x86-irqchip.md 7.6, X26",
  about: ["kvm_apic_ipi"],
  program(hazards): Program {
    const pc = new PcStage({ hazards });
    const contexts = [new Thread("cpu0", "vcpu", () => initTwice(pc)), new Thread("cpu1", "vcpu", () => pc.cpus[1].isPending())];
    const end = (): string | null => {
      run(pc.cpus[1].isPending());
      return pc.cpus[1].isRunning ? "X26: it runs by a start-up that an INIT has taken back" : null;
    };
    return { sim: pc.sim, contexts, check: nothing, end };
  },
};
