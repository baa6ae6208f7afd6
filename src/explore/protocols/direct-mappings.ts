import { ItsOp } from "../../arch/gic/its-command.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { DirectMachine, type DirectOptions, GUEST_DEVICE, type Vector } from "../stages/direct-machine.js";
import { RAM } from "../stages/guest-machine.js";
import { Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

// An LPI becomes a VLPI and software's again, under messages and the guest's commands (gic-v4.md C3, C4). The LPI is 8200:
// event 7 of the guest's device, in collection 1, on vCPU 1, whose vPE is resident on physical CPU 2.

const LPI = 8200;
const EVENT = 7;
const TARGET = 1;
const CPU = 2;
const ENABLED = 0xa1;

const nothing = (): null => null;

const machineOf = (hazards: Partial<Hazards> | undefined, options: DirectOptions = {}): DirectMachine => new DirectMachine({ trace: false, spiCount: 32, hazards, ...options });

const programOf = (m: DirectMachine, contexts: readonly Thread[], end: () => string | null): Program => ({ sim: m.sim, contexts, check: nothing, end });

const device = (m: DirectMachine): Thread => new Thread("device", "hardware", () => m.sendStep());

const forward = (m: DirectMachine, { irq }: Vector): Thread => new Thread("forward", "user", () => m.vgic.setForwarding(irq, m.message(EVENT)));

/** vCPU 0 has queued a command, and writes CWRITER. */
function command(m: DirectMachine, op: ItsOp, event = EVENT, icid = 0): Thread {
  const cwriter = m.queue([op, GUEST_DEVICE, event, 0, icid]);
  return new Thread("vcpu0", "vcpu", () => m.announce(cwriter));
}

/** After everything: a message of the device must come to the host, not to the guest. */
function stillInjects(m: DirectMachine, { trigger }: Vector): string | null {
  const before = trigger.runs;
  m.send();
  if (trigger.runs !== before + 1) return "the device's message does not come to the host any more";
  return m.vpe(TARGET).vlpis === 0 ? null : `${m.vpe(TARGET).vlpis} VLPIs are counted, of none`;
}

export const forwardAgainstMessage: Protocol = {
  name: "forward-against-message",
  title: "A device sends a message while its LPI becomes a VLPI of a vCPU that runs: what is pending and enabled the guest is told of.",
  source: "gic-v4.md C1.6, C3.2; gic.md R1",
  about: ["writes GicV3.GIC", "writes VgicV4.direct"],
  program(hazards) {
    const m = machineOf(hazards);
    const vector = m.vector(EVENT);
    m.load(TARGET, CPU);
    return programOf(m, [forward(m, vector), device(m)], () => (m.isUntold(TARGET, CPU) ? "R1: a VLPI is pending and enabled, and its guest is not told" : null));
  },
};

export const messageDuringForward: Protocol = {
  name: "message-during-forward",
  title: "A device sends a message while its LPI becomes a VLPI: between DISCARD and VMAPTI it is nobody's.",
  source: "gic-v4.md C1.6",
  program(hazards) {
    const m = machineOf(hazards);
    const vector = m.vector(EVENT);
    return programOf(m, [forward(m, vector), device(m)], () => {
      const isThere = m.vpeBit(TARGET, LPI) === 1 || m.latched(LPI);
      return vector.trigger.runs === 0 && !isThere ? "C1.6: the host has no interrupt of the message, and the guest has none pending" : null;
    });
  },
};

export const forwardPending: Protocol = {
  name: "forward-pending",
  title: "An LPI is pending in software when it becomes a VLPI, while the guest asks for its configuration again: it is pending in the hardware.",
  source: "gic-v4.md C3.2; gic.md R2",
  about: ["writes VgicV4.direct", "its_command"],
  program(hazards) {
    const m = machineOf(hazards);
    const vector = m.vector(EVENT);
    m.onEvent(ItsOp.INT, EVENT);
    m.load(TARGET, CPU);
    return programOf(m, [forward(m, vector), command(m, ItsOp.INV)], () => {
      if (m.vpeBit(TARGET, LPI) === 1) return m.latched(LPI) ? "I19: an LPI is pending in software and in the hardware" : null;
      return "R2: what was pending in software is pending nowhere";
    });
  },
};

export const forwardAgainstMove: Protocol = {
  name: "forward-against-move",
  title: "An LPI becomes a VLPI while the guest moves it to another vCPU: its messages go to that one.",
  source: "gic-v4.md C3.2; gic.md R3, I7",
  about: ["its_command", "writes VgicV4.direct"],
  program(hazards) {
    const m = machineOf(hazards);
    const vector = m.vector(EVENT);
    return programOf(m, [forward(m, vector), command(m, ItsOp.MOVI)], () => {
      m.send();
      return m.vpeBit(0, LPI) === 1 ? null : "R3: a message does not come to the vCPU that its LPI was moved to";
    });
  },
};

export const forwardAgainstInvalidate: Protocol = {
  name: "forward-against-invalidate",
  title: "An LPI becomes a VLPI while the guest enables it and sends INV: the hardware has it enabled.",
  source: "gic-v4.md C3.2; gic.md R4, I11",
  about: ["its_command", "writes VgicV4.direct"],
  program(hazards) {
    const m = machineOf(hazards);
    m.config(LPI, ENABLED - 1);
    m.onEvent(ItsOp.INV, EVENT);
    const vector = m.vector(EVENT);
    const cwriter = m.queue([ItsOp.INV, GUEST_DEVICE, EVENT, 0, 0]);
    function* enable(): Step<void> {
      yield* m.configStep(LPI, ENABLED);
      yield* m.announce(cwriter);
    }
    return programOf(m, [forward(m, vector), new Thread("vcpu0", "vcpu", enable)], () => ((m.property(LPI) & 1) === 1 ? null : "R4: the VLPI is disabled, although its INV came after its configuration"));
  },
};

/** vCPU 1 writes a register of its redistributor. */
const redistributor = (m: DirectMachine, offset: number, value: number): Thread => {
  const frame = m.vgic.dist.frames.redist(m.vgic.dist.cpus[TARGET]);
  return new Thread("vcpu1", "vcpu", () => frame.mmioWrite(m.vcpus[TARGET], offset, 8, value, 0), TARGET);
};

/** The guest has enabled the LPI, and says so to its redistributor. */
function forwardAgainstRegister(hazards: Partial<Hazards> | undefined, offset: number, value: number): Program {
  const m = machineOf(hazards);
  m.config(LPI, ENABLED - 1);
  m.onEvent(ItsOp.INV, EVENT);
  const vector = m.vector(EVENT);
  m.config(LPI, ENABLED);
  return programOf(m, [forward(m, vector), redistributor(m, offset, value)], () => ((m.property(LPI) & 1) === 1 ? null : "R4: the VLPI is disabled, although the guest has enabled it and said so"));
}

export const forwardAgainstInvlpir: Protocol = {
  name: "forward-against-invlpir",
  title: "An LPI becomes a VLPI while the guest, which has enabled it, writes GICR_INVLPIR: Linux may leave it disabled (R4).",
  source: "gic-v4.md C3.2; gic.md R4",
  program: (hazards) => forwardAgainstRegister(hazards, 0xa0, LPI),
};

export const forwardAgainstInvallr: Protocol = {
  name: "forward-against-invallr",
  title: "An LPI becomes a VLPI while the guest, which has enabled it, writes GICR_INVALLR: Linux may leave it disabled (R4).",
  source: "gic-v4.md C3.2; gic.md R4",
  program: (hazards) => forwardAgainstRegister(hazards, 0xb0, 0),
};

const OTHER = { its: 0x08200000, devices: RAM + 0x1b0000, collections: RAM + 0x1c0000, queue: RAM + 0x1d0000 };
const VALID = 0x80000000 | 0;

/** A second ITS with a command in its queue: what announces that. */
function queueAtAnother(m: DirectMachine, words: readonly number[]): () => Step<void> {
  const its = m.createIts(OTHER.its);
  const write = (offset: number, size: number, low: number, high: number): void => run(its.mmioWrite(m.vcpus[0], offset, size, low, high));
  write(0x100, 8, OTHER.devices, VALID);
  write(0x108, 8, OTHER.collections, VALID);
  write(0x80, 8, OTHER.queue, VALID);
  write(0, 4, 1, 0);
  run(m.vgic.dist.vm.ram.writeWords(OTHER.queue, Int32Array.from({ length: 8 }, (_, i) => words[i] ?? 0), 8));
  return () => its.mmioWrite(m.vcpus[0], 0x88, 8, 32, 0);
}

export const forwardAgainstMoveAll: Protocol = {
  name: "forward-against-move-all",
  title: "An LPI becomes a VLPI while a MOVALL at another ITS of the VM moves it: Linux may leave its messages to the old vCPU (R3).",
  source: "gic-v4.md C3.2; gic.md R3",
  program(hazards) {
    const m = machineOf(hazards);
    const announce = queueAtAnother(m, [ItsOp.MOVALL, 0, 0, 0, TARGET << 16]);
    const vector = m.vector(EVENT);
    return programOf(m, [forward(m, vector), new Thread("vcpu0", "vcpu", announce)], () => {
      m.send();
      return m.vpeBit(0, LPI) === 1 ? null : "R3: a message does not come to the vCPU that its LPI was moved to";
    });
  },
};

/** A program in which the LPI is a VLPI. */
function direct(hazards: Partial<Hazards> | undefined): { readonly m: DirectMachine; readonly vector: Vector } {
  const m = machineOf(hazards);
  return { m, vector: m.direct(EVENT) };
}

export const directAgainstDiscard: Protocol = {
  name: "direct-against-discard",
  title: "A device sends a message while the guest discards its VLPI: afterwards its messages are the host's.",
  source: "gic-v4.md C4; gic.md R5",
  about: ["its_command", "writes VgicV4.direct"],
  program(hazards) {
    const { m, vector } = direct(hazards);
    return programOf(m, [command(m, ItsOp.DISCARD), device(m)], () => stillInjects(m, vector));
  },
};

export const directAgainstUnmap: Protocol = {
  name: "direct-against-unmap",
  title: "A device sends a message while the guest unmaps it with its VLPI: afterwards its messages are the host's.",
  source: "gic-v4.md C4; gic.md R6",
  about: ["its_command", "writes VgicV4.direct"],
  program(hazards) {
    const { m, vector } = direct(hazards);
    return programOf(m, [command(m, ItsOp.MAPD), device(m)], () => stillInjects(m, vector));
  },
};

export const unforwardAgainstDiscard: Protocol = {
  name: "unforward-against-discard",
  title: "A device is closed while the guest discards its VLPI: it is unmapped once.",
  source: "gic-v4.md C3.3, C4; gic.md R7, I7",
  about: ["its_command", "writes VgicV4.direct"],
  program(hazards) {
    const { m, vector } = direct(hazards);
    const close = new Thread("close", "user", () => m.vgic.unsetForwarding(vector.irq, m.message(EVENT)));
    return programOf(m, [close, command(m, ItsOp.DISCARD)], () => (close.result < 0 ? `R7: the device's interrupt is unmapped twice: ${close.result}` : stillInjects(m, vector)));
  },
};

export const cachedMessageAgainstForward: Protocol = {
  name: "cached-message-against-forward",
  title: "A message whose translation is remembered comes while its LPI becomes a VLPI: it is pending in one place.",
  source: "gic-its.md B7.3; gic-v4.md C4; gic.md R27, I19",
  about: ["reads TranslationCache.entries", "writes VgicV4.direct"],
  program(hazards) {
    const m = machineOf(hazards);
    const vector = m.vector(EVENT);
    run(m.vgic.injectMsi(m.message(EVENT)));
    m.onEvent(ItsOp.CLEAR, EVENT);
    const message = new Thread("message", "user", () => m.vgic.injectMsi(m.message(EVENT)));
    return programOf(m, [message, forward(m, vector)], () => {
      if (m.latched(LPI)) return "R27: an LPI that is a VLPI is pending in software, where nobody looks";
      return m.vpeBit(TARGET, LPI) === 1 ? null : "the message is pending nowhere";
    });
  },
};

export const moveAgainstMessage: Protocol = {
  name: "move-against-message",
  title: "A device sends a message while the guest moves its VLPI to another vCPU: it is pending there.",
  source: "gic-v4.md C1.3, C4; gic.md R48",
  about: ["its_command", "writes GicV3.GIC"],
  program(hazards) {
    const { m } = direct(hazards);
    return programOf(m, [command(m, ItsOp.MOVI), device(m)], () => (m.vpeBit(0, LPI) === 1 ? null : "R48: a message is pending nowhere when its VLPI has moved"));
  },
};

export const unmappedCollectionOfVlpi: Protocol = {
  name: "unmapped-collection-of-vlpi",
  title: "The guest unmaps the collection of a VLPI while the device sends: its messages still come to the old vCPU (R54).",
  source: "gic-v4.md C4; gic.md R54",
  program(hazards) {
    const { m } = direct(hazards);
    const cwriter = m.queue([ItsOp.MAPC, 0, 0, 0, TARGET, 0]);
    return programOf(m, [new Thread("vcpu0", "vcpu", () => m.announce(cwriter)), device(m)], () => (m.vpeBit(TARGET, LPI) === 1 ? "R54: a message comes to a vCPU whose collection is unmapped" : null));
  },
};

export const connectAgainstRerouteOnArm: Protocol = {
  name: "direct-connect-against-reroute",
  title: "A producer connects to an irqfd while its route changes to another event: the device's messages never come as the old one.",
  source: "gic-v4.md C3.1, C3.4; gic.md R23",
  about: ["route_swap", "bypass"],
  program(hazards) {
    const m = machineOf(hazards);
    m.mapti(8, LPI + 1, TARGET);
    const vector = m.vector(EVENT);
    const connect = new Thread("connect", "user", () => m.bindStep(vector));
    const reroute = new Thread("reroute", "user", () => m.rerouting(vector, 8));
    return programOf(m, [connect, reroute], () => {
      m.send();
      return m.vpeBit(TARGET, LPI) === 1 || m.latched(LPI) ? "R23: the device's message comes as the event that its route had before" : null;
    });
  },
};

export const disconnectAgainstReroute: Protocol = {
  name: "direct-disconnect-against-reroute",
  title: "A device is closed while the route of its VLPI changes: it is unmapped once, and the guest's vCPUs run.",
  source: "gic-v4.md C3.1, C3.4; gic.md R7, R23, I15",
  about: ["route_swap", "bypass"],
  program(hazards) {
    const { m, vector } = direct(hazards);
    m.mapti(8, LPI + 1, TARGET);
    const disconnect = new Thread("disconnect", "user", () => m.host.irqBypass.unregisterProducer(vector.producer));
    const reroute = new Thread("reroute", "user", () => m.rerouting(vector, 8));
    return programOf(m, [disconnect, reroute], () => (m.vcpus.some((vcpu) => vcpu.isPaused) ? "I15: a vCPU stays stopped" : stillInjects(m, vector)));
  },
};
