import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { LAPIC, PcStage } from "../stages/pc-stage.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// The IOAPIC (x86-irqchip.md 5): a pin that is no PIC's, its device, and the CPUs that take and end what it sends.

const PIN = 20;
const VECTOR = 0x77;
const OTHER_VECTOR = 0x78;
const MASKED = 0x1_0000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;

const nothing = (): null => null;

const guest = (name: string, work: () => Step<unknown>): Thread => new Thread(name, "vcpu", work);
const device = (work: () => Step<unknown>): Thread => new Thread("device", "hardware", work);

/** A level pin that is high, and in service on CPU 0. */
function inService(hazards?: Partial<Hazards>): PcStage {
  const stage = new PcStage({ hazards });
  stage.setEntry(PIN, LEVEL | VECTOR);
  stage.line(PIN, 1);
  if (stage.take() !== VECTOR) throw new Error("the interrupt was not taken");
  return stage;
}

/** What was ended and is low again is free; a pin that is neither is dead. */
function deadPin(stage: PcStage, sentence: string): string | null {
  return (stage.entry(PIN) & REMOTE_IRR) !== 0 && stage.serve() < 0 && stage.serve(1) < 0 ? sentence : null;
}

export const endAgainstRaise: Protocol = {
  name: "end-against-raise",
  title: "A level pin in service is lowered, ended and raised again: what is raised is served, once.",
  source: "x86-irqchip.md 5.6, X1",
  program(hazards): Program {
    const stage = inService(hazards);
    stage.line(PIN, 0);
    const contexts = [guest("cpu0", () => stage.end()), device(() => stage.drive(PIN, 1))];
    const end = (): string | null => {
      const first = stage.take();
      stage.line(PIN, 0);
      run(stage.end());
      const second = stage.serve();
      return first === VECTOR && second === -1 ? null : `raised once, and taken as ${first} and ${second}`;
    };
    return { sim: stage.sim, contexts, check: nothing, end };
  },
};

export const retargetAgainstService: Protocol = {
  name: "retarget-against-service",
  title: "A level pin is given to another CPU while its interrupt is taken and ended on the first: its end reaches the IOAPIC.",
  source: "x86-irqchip.md 8.3, X3",
  about: ["handled_vectors", "kvm_ack_irq", "ioapic_remote_irr"],
  program(hazards): Program {
    const stage = new PcStage({ hazards });
    stage.setEntry(PIN, LEVEL | VECTOR);
    stage.line(PIN, 1);
    stage.line(PIN, 0);
    const contexts = [guest("cpu0", () => stage.takeAndEnd()), guest("cpu1", () => stage.writeIoapic(0x11 + 2 * PIN, 1 << 24, 1))];
    return { sim: stage.sim, contexts, check: nothing, end: () => deadPin(stage, "X3: remote IRR stays, and the pin is dead") };
  },
};

export const vectorChangeAgainstEnd: Protocol = {
  name: "vector-change-against-end",
  title: "A level pin gets another vector while its interrupt is ended: an end of the old vector finds no entry, and the pin stays dead.",
  source: "x86-irqchip.md X2",
  program(hazards): Program {
    const stage = inService(hazards);
    stage.line(PIN, 0);
    const contexts = [guest("cpu0", () => stage.end()), guest("cpu1", () => stage.writeIoapic(0x10 + 2 * PIN, LEVEL | OTHER_VECTOR, 1))];
    return { sim: stage.sim, contexts, check: nothing, end: () => deadPin(stage, "X2: remote IRR stays, and the pin is dead") };
  },
};

export const messageOnLevelVector: Protocol = {
  name: "message-on-level-vector",
  title: "A message has the vector of a level pin that waits to be taken: one end serves both, as an edge's, and remote IRR stays.",
  source: "x86-irqchip.md X5",
  program(hazards): Program {
    const stage = new PcStage({ hazards });
    stage.setEntry(PIN, LEVEL | VECTOR);
    const contexts = [device(() => pulse(stage)), new Thread("message", "hardware", () => stage.message(VECTOR))];
    const end = (): string | null => {
      stage.serve();
      return deadPin(stage, "X5: remote IRR stays, and the pin is dead");
    };
    return { sim: stage.sim, contexts, check: nothing, end };
  },
};

function* pulse(stage: PcStage): Step<void> {
  yield* stage.drive(PIN, 1);
  yield* stage.drive(PIN, 0);
}

function* maskAndUnmask(stage: PcStage): Step<void> {
  yield* stage.writeIoapic(0x10 + 2 * PIN, MASKED | VECTOR);
  yield* stage.writeIoapic(0x10 + 2 * PIN, VECTOR);
}

export const edgeWhileMasked: Protocol = {
  name: "edge-while-masked",
  title: "An edge pin rises while its guest masks and unmasks it: an edge in between is lost until the next.",
  source: "x86-irqchip.md 5.3, X6",
  program(hazards): Program {
    const stage = new PcStage({ hazards });
    stage.setEntry(PIN, VECTOR);
    const contexts = [guest("cpu0", () => maskAndUnmask(stage)), device(() => stage.drive(PIN, 1))];
    return { sim: stage.sim, contexts, check: nothing, end: () => (stage.serve() === VECTOR ? null : "X6: the edge is lost") };
  },
};

export const enableAgainstRaise: Protocol = {
  name: "enable-against-raise",
  title: "A level pin rises while its only CPU enables its local APIC: what nobody accepted is not tried again by itself.",
  source: "x86-irqchip.md X9",
  program(hazards): Program {
    const stage = new PcStage({ hazards, cpus: 1 });
    stage.setEntry(PIN, LEVEL | VECTOR);
    run(stage.setSoftwareEnable(0, false));
    const contexts = [guest("cpu0", () => stage.setSoftwareEnable(0, true)), device(() => stage.drive(PIN, 1))];
    const end = (): string | null => {
      if (stage.serve() === VECTOR) return null;
      return stage.isRequested(PIN) && (stage.entry(PIN) & REMOTE_IRR) === 0 ? "X9: the line is high, and nothing tries it again" : "X9: the request is gone";
    };
    return { sim: stage.sim, contexts, check: nothing, end };
  },
};

export const staleSourceBehindResampler: Protocol = {
  name: "stale-source-behind-resampler",
  title: "A pin was unmasked behind a resampler whose device is quiet; user space drives the same pin low: the resampler's source still holds it.",
  source: "x86-irqchip.md 5.3, X8",
  program(hazards): Program {
    const stage = new PcStage({ hazards });
    const { trigger } = stage.resampling(PIN);
    stage.setEntry(PIN, MASKED | LEVEL | VECTOR);
    stage.signal(trigger);
    stage.setEntry(PIN, LEVEL | VECTOR);
    if (stage.isRequested(PIN)) throw new Error("the unmask has served the request");
    const user = new Thread("user", "user", () => stage.drive(PIN, 0));
    return { sim: stage.sim, contexts: [user], check: nothing, end: () => (stage.serve() === VECTOR ? "X8: an interrupt that no device asks for" : null) };
  },
};

/** KVM_SET_IRQCHIP, then KVM_SET_LAPIC: the other way round it must be. */
function* restoreInWrongOrder(stage: PcStage, saved: DataView, page: Int32Array): Step<void> {
  yield* stage.restoreIoapic(saved);
  yield* stage.cpus[0].lapic.put(page);
}

export const restoreOrder: Protocol = {
  name: "restore-order",
  title: "User space restores the IOAPIC before the local APICs: what the IOAPIC has sent is overwritten, and remote IRR stays.",
  source: "x86-irqchip.md 13, X19",
  program(hazards): Program {
    const old = new PcStage({ hazards });
    old.setEntry(PIN, LEVEL | VECTOR);
    // Requested, and sent to nobody yet: as X9 leaves it.
    run(old.setSoftwareEnable(0, false));
    old.line(PIN, 1);
    run(old.setSoftwareEnable(0, true));
    const [chip, page] = [old.savedIoapic(), old.savedLapic(0)];
    const stage = new PcStage({ hazards });
    const user = new Thread("restore", "user", () => restoreInWrongOrder(stage, chip, page));
    return { sim: stage.sim, contexts: [user], check: nothing, end: () => deadPin(stage, "X19: remote IRR stays, and the vector is gone") };
  },
};

export const sharedPinAgainstEnd: Protocol = {
  name: "shared-pin-against-end",
  title: "A guest ends a level pin that two resampling irqfds share; the one told first asks for service again: its line stays high.",
  source: "x86-irqchip.md 12, X21",
  about: ["kvm_ack_irq", "resampler_notify", "ioapic_service"],
  program(hazards): Program {
    const stage = new PcStage({ hazards, cpus: 1 });
    stage.setEntry(PIN, LEVEL | VECTOR);
    const [quiet, asking] = [stage.resampling(PIN), stage.resampling(PIN)];
    stage.signal(quiet.trigger);
    stage.signal(asking.trigger);
    stage.own(asking.told, asking.trigger);
    if (stage.take() !== VECTOR) throw new Error("the interrupt was not taken");
    const contexts = [guest("cpu0", () => stage.end())];
    return { sim: stage.sim, contexts, check: nothing, end: () => (stage.serve() === VECTOR ? null : "X21: the line is low although a device asks for service") };
  },
};

const GSI = 30;

export const routeAgainstSignal: Protocol = {
  name: "route-against-signal",
  title: "A GSI's message is replaced while its irqfd is signalled: the old message is sent, or the new one, never half of each.",
  source: "x86-irqchip.md 9, X22",
  about: ["route_swap", "kvm_msi_set_irq"],
  program(hazards): Program {
    const stage = new PcStage({ hazards });
    const to = (cpu: number, data: number) => ({ gsi: GSI, addressLo: LAPIC + (cpu << 12), data });
    run(stage.route([to(0, VECTOR)]));
    const trigger = stage.irqfd(GSI);
    const contexts = [new Thread("user", "user", () => stage.route([to(1, OTHER_VECTOR)])), device(() => trigger.signal())];
    const end = (): string | null => {
      const taken = [stage.serve(0), stage.serve(1)];
      const isOld = taken[0] === VECTOR && taken[1] === -1;
      const isNew = taken[0] === -1 && taken[1] === OTHER_VECTOR;
      return isOld || isNew ? null : `X22: CPU 0 took ${taken[0]}, CPU 1 took ${taken[1]}`;
    };
    return { sim: stage.sim, contexts, check: nothing, end };
  },
};
