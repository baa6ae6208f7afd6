import type { Context } from "../../sim/context.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Step } from "../../sim/step.js";
import { KVM_IRQFD_FLAG_DEASSIGN as DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE } from "../../uapi/kvm.js";
import { NoInjectionAfterDeassign } from "../properties/no-injection-after-deassign.js";
import { NoInterruptLost } from "../properties/no-interrupt-lost.js";
import { NoLineWithoutOwner } from "../properties/no-line-without-owner.js";
import { OneDeassertPerResample } from "../properties/one-deassert-per-resample.js";
import type { Protocol } from "../protocol.js";
import { CoreStage } from "../stages/core-stage.js";
import { Raise, Thread } from "../stages/threads.js";
import type { Program } from "../trial.js";

const GSI = 5;

/**
 * An irqfd that resamples, its four parts one after the other: assigned, signalled and injected by its work item, then
 * acknowledged by the guest, then deassigned. What overlaps is each call with the worker that it waits for: 393,120 orders.
 */
function small(hazards: Partial<Hazards>): Program {
  const stage = new CoreStage(hazards);
  const { sim } = stage;
  const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
  const trigger = stage.driver(fd);
  const assign = stage.irqfdCall("assign", { fd, gsi: GSI, flags: RESAMPLE, resamplefd });
  const deassign = stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN });
  const acknowledge = stage.acknowledge(GSI);
  acknowledge.announceEnd();
  function* user(): Step<void> {
    yield* assign.body();
    yield* trigger.signal();
    yield* stage.events.drain();
    sim.wake(acknowledge, 0);
    yield* acknowledge.waitFor(sim);
    yield* deassign.body();
  }
  return program(stage, [new Thread("user", "user", user)], [assign, deassign], resamplefd);
}

/** An irqfd that resamples: its four parts, each in a context of its own. */
function full(hazards: Partial<Hazards>): Program {
  const stage = new CoreStage(hazards);
  const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
  const assign = stage.irqfdCall("assign", { fd, gsi: GSI, flags: RESAMPLE, resamplefd });
  const deassign = stage.irqfdCall("deassign", { fd, gsi: GSI, flags: DEASSIGN });
  return program(stage, [assign, new Raise(stage.driver(fd)), stage.acknowledge(GSI), deassign], [assign, deassign], resamplefd);
}

function program(stage: CoreStage, contexts: readonly Context[], calls: readonly Thread[], resamplefd: number): Program {
  const told = stage.context(resamplefd);
  return stage.program(contexts, {
    properties: [new NoInterruptLost(), new NoInjectionAfterDeassign(), new NoLineWithoutOwner(), new OneDeassertPerResample()],
    end: () => (calls.every(({ result }) => result === 0) ? null : `KVM_IRQFD answers ${calls.map(({ result }) => result).join(" and ")}`),
    outcome: () => `${stage.lines.isHigh(GSI) ? "high" : "low"}, told ${told.signals}, ${stage.core.irqfds.active.isEmpty() ? "gone" : "assigned"}`,
  });
}

export const irqfdLifeSmall: Protocol = {
  name: "irqfd-life-small",
  title: "An irqfd that resamples is assigned, injects, is acknowledged and deassigned, one after the other, each beside its worker.",
  source: "kvm-irq-core.md 2, 3",
  program: (hazards = {}) => small(hazards),
};

export const irqfdLife: Protocol = {
  name: "irqfd-life",
  title: "An irqfd that resamples is assigned, injects, is acknowledged and is deassigned, all at once.",
  source: "kvm-irq-core.md 2, 3",
  program: (hazards = {}) => full(hazards),
};
