import type { Hazards } from "../../sim/hazards.js";
import { EBUSY } from "../../uapi/errno.js";
import { KVM_IRQFD_FLAG_DEASSIGN as DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE } from "../../uapi/kvm.js";
import { NoInjectionAfterDeassign } from "../properties/no-injection-after-deassign.js";
import { NoInterruptInvented } from "../properties/no-interrupt-invented.js";
import { NoInterruptLost } from "../properties/no-interrupt-lost.js";
import type { Property } from "../property.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { close, Raise } from "../stages/threads.js";
import type { Program } from "../trial.js";

const GSI = 5;

function assignAgainstSignalProgram(hazards: Partial<Hazards>, ...properties: readonly Property[]): Program {
  const stage = new CoreStage(hazards);
  const fd = stage.eventfd();
  return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI }), new Raise(stage.driver(fd))], { properties });
}

export const assignAgainstSignal: Protocol = {
  name: "assign-against-signal",
  title: "An eventfd is signalled once while it becomes an irqfd: the event is injected.",
  source: "kvm-irq-core.md 2.3, H1",
  about: ["irqfd_assign", "irqfd_inject"],
  program: (hazards = {}) => assignAgainstSignalProgram(hazards, new NoInterruptLost()),
};

/**
 * Twice at most: the sample is made without the eventfd lock and may see a count whose callback is about to consume it
 * (fs/eventfd.c reads the count in poll without the lock).
 */
export const signalInjectedOnce: Protocol = {
  name: "signal-injected-once",
  title: "An eventfd is signalled once while it becomes an irqfd: the event is injected once, which is not always so.",
  source: "kvm-irq-core.md 2.4, H2",
  about: ["irqfd_assign", "irqfd_inject"],
  program: (hazards = {}) => assignAgainstSignalProgram(hazards, new NoInterruptInvented()),
};

export const assignAgainstSignalAndClose: Protocol = {
  name: "assign-against-signal-and-close",
  title: "An eventfd is signalled and closed for good while it becomes an irqfd: nothing of it stays.",
  source: "kvm-irq-core.md 2.6, H9, H10, H11",
  about: ["irqfd_assign", "irqfd_inject", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const contexts = [stage.irqfdCall("assign", { fd, gsi: GSI }), new Raise(stage.driver(fd)), close(stage.process, fd)];
    return stage.program(contexts, { end: () => stage.leftovers() });
  },
};

export const assignAgainstDeassign: Protocol = {
  name: "assign-against-deassign",
  title: "One thread deassigns the irqfd that another has not finished to assign, whose eventfd counts: nothing freed is touched.",
  source: "kvm-irq-core.md 2.6 SH1, H11",
  about: ["irqfd_assign", "irqfd_inject", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd(1);
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI }), stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN })]);
  },
};

export const busyAssignAgainstClose: Protocol = {
  name: "busy-assign-against-close",
  title: "An eventfd that is an irqfd is assigned once more while it is closed: the second call fails, and nothing stays.",
  source: "kvm-irq-core.md 2.3 AS6, H11",
  about: ["irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    stage.driver(fd);
    stage.assign(fd, GSI);
    return stage.program([stage.irqfdCall("assign", { fd, gsi: GSI + 1 }), close(stage.process, fd)], { end: () => stage.leftovers() });
  },
};

export const deassignAgainstSignal: Protocol = {
  name: "deassign-against-signal",
  title: "An irqfd is signalled twice while it is deassigned: nothing is injected after the call has returned.",
  source: "kvm-irq-core.md 2.5, H7, H8",
  about: ["irqfd_inject", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd), 2);
    stage.assign(fd, GSI);
    return stage.program([stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN }), raise], {
      properties: [new NoInjectionAfterDeassign(), new NoInterruptInvented()],
    });
  },
};

export const deassignAgainstClose: Protocol = {
  name: "deassign-against-close",
  title: "An irqfd is deassigned while its eventfd is closed: one of the two deactivates it, both succeed.",
  source: "kvm-irq-core.md 2.6, H9",
  about: ["irqfd_deactivate", "irqfd_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    stage.driver(fd);
    stage.assign(fd, GSI);
    return stage.program([close(stage.process, fd), stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN })], { end: () => stage.leftovers() });
  },
};

export const reassignAgainstDeassign: Protocol = {
  name: "reassign-against-deassign",
  title: "An eventfd is assigned anew while its old irqfd is deassigned: the call succeeds or is busy, and nothing stays after a close.",
  source: "kvm-irq-core.md 2.3 AS11, H19, H31",
  about: ["irqfd_deactivate", "resampler_create", "resampler_free"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
    stage.driver(fd);
    stage.assign(fd, GSI);
    const deassign = stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN });
    const assign = stage.irqfdCall("assign", { fd, gsi: GSI + 1, flags: RESAMPLE, resamplefd });
    return stage.program([assign, deassign, close(stage.process, fd, [deassign, assign])], {
      end() {
        if (deassign.result !== 0) return `the deassign gives ${deassign.result}`;
        if (assign.result !== 0 && assign.result !== -EBUSY) return `the assign gives ${assign.result}`;
        return stage.core.irqfds.resamplers.isEmpty() ? stage.leftovers() : "H19: a resampler outlives its irqfds";
      },
    });
  },
};

export const bindInTwoVms: Protocol = {
  name: "bind-in-two-vms",
  title: "An eventfd that is an irqfd of one VM is assigned in another, as by a VMM that hands its guest over and forgets to deassign: the call is busy.",
  source: "kvm-irq-core.md 2.3 AS11, H31",
  about: ["eventfd_signal", "irqfd_inject"],
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    const assign = stage.irqfdCall("assign", { fd, gsi: GSI, vm: stage.createVm() });
    return stage.program([assign, raise], { end: () => (assign.result === -EBUSY ? null : `H31: the second VM's call answers ${assign.result}, and its interrupts go to the first`) });
  },
};

export const signalAgainstReassign: Protocol = {
  name: "signal-against-reassign",
  title: "An eventfd is signalled once while it is deassigned and, at once, assigned anew: nothing is injected through the old irqfd once its call has returned.",
  source: "kvm-irq-core.md 2.3 AS11, 2.5, H31",
  program(hazards = {}) {
    const stage = new CoreStage(hazards);
    const fd = stage.eventfd();
    const raise = new Raise(stage.driver(fd));
    stage.assign(fd, GSI);
    const contexts = [stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN }), stage.irqfdCall("assign", { fd, gsi: GSI + 1 }), raise];
    return stage.program(contexts, { properties: [new NoInjectionAfterDeassign()] });
  },
};
