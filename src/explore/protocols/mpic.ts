import { MPIC_42, Output } from "../../irqchip/mpic/constants.js";
import { run, type Step } from "../../sim/step.js";
import type { Protocol } from "../protocol.js";
import { MpicStage, SPURIOUS } from "../stages/mpic-stage.js";
import { Thread } from "../stages/threads.js";

// What the specification has reproduced of an MPIC: each program takes the kernel's outcome for the violation, but for the
// last.

/** An external source, an edge; its vector is 0x43. */
const EDGE = 3;
/** Another. */
const OTHER = 5;
/** An internal source, a level; its vector is 0x50. */
const LEVEL = 20;
/** The source of the second message register. */
const MESSAGE = 225;
const [MSIR_1, MSIIR, GCR, GCR_RESET] = [0x1610, 0x1740, 0x1020, 1 << 31];
const [CPU_0, BOTH] = [1, 3];
const IACK_0 = 0xa0;

function device(stage: MpicStage, irq = EDGE, name = "device"): Thread {
  return new Thread(name, "hardirq", () => stage.drive(irq));
}

function vcpu(cpu: number, work: () => Step<unknown>): Thread {
  return new Thread(`vcpu${cpu}`, "vcpu", work);
}

export const unmaskWithoutTarget: Protocol = {
  name: "unmask-without-target",
  title: "A guest unmasks a source whose IDR, which reads CPU 0, it never wrote: it is active, and delivered to nobody.",
  source: "mpic.md 5.8, M1",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    const contexts = [vcpu(0, () => stage.setIvpr(EDGE, 0x0008_0043)), device(stage)];
    return stage.program(contexts, () => (stage.mpic.idr[EDGE] === CPU_0 && stage.mpic.pending[EDGE] === 1 && stage.line() === 0 ? "M1: a source for CPU 0 is pending, and no line is up" : null));
  },
};

export const targetAfterRaise: Protocol = {
  name: "target-after-raise",
  title: "A guest gives a source its target while it is raised: it may be delivered to nobody.",
  source: "mpic.md 4, M2",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.setIvpr(LEVEL, 0x0008_0050));
    const contexts = [vcpu(0, () => stage.setIdr(LEVEL, CPU_0)), device(stage, LEVEL)];
    return stage.program(contexts, () => (stage.line() === 0 ? "M2: a level for CPU 0 is high, and no line is up" : null));
  },
};

export const retargetWhileRaised: Protocol = {
  name: "retarget-while-raised",
  title: "A guest moves a raised level to another CPU, and the line falls: the CPU that it left is never rid of it.",
  source: "mpic.md 4, M3",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(LEVEL, 8, 0x50, CPU_0));
    run(stage.set(EDGE, 5, 0x43, CPU_0));
    run(stage.drive(LEVEL));
    function* serve(): Step<void> {
      for (let i = 0; i < 2; i++) yield* stage.take();
    }
    const contexts = [vcpu(1, () => stage.setIdr(LEVEL, 2)), new Thread("wire", "hardirq", () => stage.drive(LEVEL, false)), device(stage), vcpu(0, serve)];
    return stage.program(contexts, () => (stage.taken[0].every((vector) => vector === SPURIOUS) && stage.mpic.pending[EDGE] === 1 ? "M3: what has moved away keeps CPU 0 from a less urgent interrupt" : null));
  },
};

export const outputWhileActive: Protocol = {
  name: "output-while-active",
  title: "A guest moves an active source to the critical output, and its line falls: the count of active sources goes below 0.",
  source: "mpic.md 5.3, M4",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards, model: MPIC_42 });
    run(stage.set(LEVEL, 8, 0x50, CPU_0));
    run(stage.drive(LEVEL));
    const contexts = [vcpu(0, () => stage.write(0x1_0018 + 0x20 * LEVEL, Output.CINT)), new Thread("wire", "hardirq", () => stage.drive(LEVEL, false))];
    return stage.program(contexts, () => (stage.mpic.cpus[0].active[Output.CINT] === 0xffff_ffff ? "M4: 4,294,967,295 sources are critical" : null));
  },
};

export const acknowledgeUnderCtpr: Protocol = {
  name: "acknowledge-under-ctpr",
  title: "A guest raises CTPR over an edge that interrupts it, and acknowledges: the edge may be lost.",
  source: "mpic.md 5.4, M5",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    function* serve(): Step<void> {
      yield* stage.setCtpr(8);
      yield* stage.take();
      yield* stage.setCtpr(0);
      yield* stage.take();
    }
    return stage.program([device(stage), vcpu(0, serve)], () => (!stage.taken[0].includes(0x43) && stage.mpic.pending[EDGE] === 0 ? "M5: an edge was raised, and is neither taken nor pending" : null));
  },
};

export const ctprAfterAcknowledge: Protocol = {
  name: "ctpr-after-acknowledge",
  title: "A guest acknowledges an edge and writes CTPR below its priority: the line rises for what it has taken.",
  source: "mpic.md 2, 5.5, M6",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    run(stage.setCtpr(8));
    run(stage.drive(EDGE));
    function* serve(): Step<void> {
      yield* stage.take();
      yield* stage.setCtpr(0);
    }
    return stage.program([vcpu(0, serve)], () => (stage.line() === 1 && stage.mpic.pending[EDGE] === 0 ? "M6: the line is up, and nothing is raised" : null));
  },
};

export const endUnderCtpr: Protocol = {
  name: "end-under-ctpr",
  title: "A guest raises CTPR over what waits, and ends what it serves: the line rises, and the acknowledge that follows loses the edge.",
  source: "mpic.md 5.5, M7",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    run(stage.set(OTHER, 5, 0x45, CPU_0));
    run(stage.drive(EDGE));
    run(stage.take());
    function* serve(): Step<void> {
      yield* stage.setCtpr(6);
      yield* stage.eoi();
      yield* stage.takeIfUp();
    }
    return stage.program([device(stage, OTHER), vcpu(0, serve)], () => (stage.taken[0].at(-1) === SPURIOUS && stage.mpic.pending[OTHER] === 0 ? "M7: an interrupt that CTPR holds back is lost" : null));
  },
};

export const endsOutOfOrder: Protocol = {
  name: "ends-out-of-order",
  title: "The outer of two nested handlers writes EOI first: what the inner one serves has ended.",
  source: "mpic.md 5.5, M8",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    run(stage.set(OTHER, 10, 0x45, CPU_0));
    run(stage.drive(EDGE));
    run(stage.take());
    run(stage.drive(OTHER));
    run(stage.take());
    return stage.program([vcpu(0, () => stage.eoi())], () => (stage.acked[0] === OTHER ? "M8: the listeners are told of the source that is still served" : null));
  },
};

export const endBeforeMessageRead: Protocol = {
  name: "end-before-message-read",
  title: "A guest ends a message's interrupt before it reads the message register: the line rises again for the same message.",
  source: "mpic.md 5.7, M9",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(MESSAGE, 9, 0x71, CPU_0));
    run(stage.write(MSIIR, 0x2500_0000));
    function* serve(): Step<void> {
      yield* stage.take();
      yield* stage.eoi();
      yield* stage.takeIfUp();
      yield* stage.read(MSIR_1);
    }
    return stage.program([vcpu(0, serve)], () => (stage.taken[0].length === 2 ? "M9: one message is taken twice" : null));
  },
};

export const twoMessages: Protocol = {
  name: "two-messages",
  title: "Two devices write to one message register: one interrupt has the bits of both.",
  source: "mpic.md 5.7, M10",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(MESSAGE, 9, 0x71, CPU_0));
    let bits = 0;
    function* serve(): Step<void> {
      const vector = yield* stage.take();
      if (vector === SPURIOUS) return;
      bits = yield* stage.read(MSIR_1);
      yield* stage.eoi();
    }
    const messages = [0x2500_0000, 0x2000_0000].map((data, i) => new Thread(`device${i}`, "hardirq", () => stage.write(MSIIR, data)));
    return stage.program([...messages, vcpu(0, serve)], () => (bits === 0x21 && stage.line() === 0 ? "M10: two messages are one interrupt" : null));
  },
};

export const resetWithLineUp: Protocol = {
  name: "reset-with-line-up",
  title: "A guest resets the controller while its line is up: the line stays, and the acknowledge finds nothing.",
  source: "mpic.md 5.8, M14",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    const resets = new Thread("vcpu1", "vcpu", () => stage.write(GCR, GCR_RESET));
    let isUp = false;
    function* serve(): Step<void> {
      isUp = yield* stage.takeIfUp();
    }
    return stage.program([device(stage), resets, vcpu(0, serve)], () => (isUp && stage.taken[0][0] === SPURIOUS ? "M14: the line is up after a reset, for nothing" : null));
  },
};

export const debuggerAgainstGuest: Protocol = {
  name: "debugger-against-guest",
  title: "A debugger reads a CPU's registers by the attribute while an interrupt waits for its guest: the guest may never see it.",
  source: "mpic.md 3, M16",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    run(stage.drive(EDGE));
    const dump = new Thread("debugger", "user", () => stage.read(0x2_0000 + IACK_0));
    return stage.program([dump, vcpu(0, () => stage.take())], () => (stage.taken[0][0] === SPURIOUS ? "M16: the guest finds nothing, the debugger has acknowledged it" : null));
  },
};

export const halfAcknowledge: Protocol = {
  name: "half-acknowledge",
  title: "A guest reads half of IACK: the interrupt is acknowledged, and the access goes to user space as one that failed.",
  source: "mpic.md 3, M17",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(EDGE, 8, 0x43, CPU_0));
    run(stage.drive(EDGE));
    const guest = vcpu(0, () => stage.device.mmioRead(stage.vcpus[0], IACK_0, 2));
    return stage.program([guest], () => (stage.device.isRefused && stage.mpic.cpus[0].servicing.has(EDGE) ? "M17: the access is refused, and has acknowledged" : null));
  },
};

export const sharedInput: Protocol = {
  name: "shared-input",
  title: "Two devices drive one level, and one lowers it: the other's is lost.",
  source: "mpic.md 5.3, M18",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(LEVEL, 8, 0x50, CPU_0));
    function* pulse(): Step<void> {
      yield* stage.drive(LEVEL);
      yield* stage.drive(LEVEL, false);
    }
    return stage.program([device(stage, LEVEL), new Thread("device2", "hardirq", pulse)], () => (stage.line() === 0 ? "M18: a device holds its line up, and the input is low" : null));
  },
};

export const targetBeforeCpu: Protocol = {
  name: "target-before-cpu",
  title: "A guest targets both CPUs while the second one's vCPU is connected: that CPU may never be a target.",
  source: "mpic.md 2, 4, M19",
  program(hazards = {}) {
    const stage = new MpicStage({ hazards, cpus: 1 });
    run(stage.setIvpr(EDGE, 0x0008_0043));
    const contexts = [vcpu(0, () => stage.setIdr(EDGE, BOTH)), new Thread("vmm", "user", () => stage.connect())];
    return stage.program(contexts, () => (stage.mpic.destination[EDGE] === CPU_0 ? "M19: the second CPU is connected, and no target" : null));
  },
};

export const mpicEoiAgainstRaise: Protocol = {
  name: "mpic-eoi-against-raise",
  title: "The listener of an EOI lowers the line, and the device raises it again: it is delivered again.",
  source: "mpic.md 5.5, M15",
  about: ["writes LineVcpu.line"],
  program(hazards = {}) {
    const stage = new MpicStage({ hazards });
    run(stage.set(LEVEL, 8, 0x50, CPU_0));
    run(stage.drive(LEVEL));
    run(stage.take());
    function* driveAgain(pin: number): Step<void> {
      yield* stage.drive(pin, false);
      yield* stage.drive(pin);
    }
    stage.onAck = driveAgain;
    return stage.program([vcpu(0, () => stage.eoi())], () => (stage.line() === 1 ? null : "M15: the level is high, and not delivered"));
  },
};
