// Small programs of irqfds, resamplers and routing, each with what must hold (kvm-irq-core.md 10).
import type { Hazards } from "../sim/hazards.js";
import { run } from "../sim/step.js";
import { EBUSY } from "../uapi/errno.js";
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE } from "../uapi/kvm.js";
import { Acknowledge, Close, IrqfdCall, Raise, Reroute, Stage } from "./stage.js";
import type { Program } from "./trial.js";

const GSI = 5;

/**
 * H1: an eventfd is signalled once while it becomes an irqfd. The event is injected; twice at most, because the
 * sample is made without the eventfd lock and may see a count whose callback is about to consume it (H2 does not
 * exclude that: fs/eventfd.c reads the count in poll without the lock).
 */
export function assignAgainstSignal(hazards: Partial<Hazards> = {}, atMost = 2): Program {
  const stage = new Stage(hazards);
  const fd = stage.eventfd();
  const contexts = [new IrqfdCall("assign", stage, { fd, gsi: GSI }), new Raise(stage.context(fd))];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end() {
      const { injections } = stage.lines;
      if (injections === 0) return "H1: the event is lost";
      return injections <= atMost ? stage.balance(contexts) : `H2: one event was injected ${injections} times`;
    },
  };
}

/** H9 to H11: an eventfd is signalled and closed for good while it becomes an irqfd. Nothing of it stays. */
export function assignAgainstSignalAndClose(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const fd = stage.eventfd();
  const contexts = [new IrqfdCall("assign", stage, { fd, gsi: GSI }), new Raise(stage.context(fd)), new Close(stage, fd)];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end() {
      if (stage.living() > 0) return "an irqfd outlives its closed eventfd";
      return stage.leaks() ?? stage.balance(contexts);
    },
  };
}

/** H7, H8: an irqfd is signalled twice while it is deassigned. Nothing is injected after the call has returned. */
export function deassignAgainstSignal(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const fd = stage.eventfd();
  stage.assign(fd, GSI);
  const deassign = new IrqfdCall("deassign", stage, { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_DEASSIGN });
  const contexts = [deassign, new Raise(stage.context(fd), 2)];
  let injectionsAtReturn = -1;
  return {
    sim: stage.sim,
    contexts,
    check() {
      const { injections } = stage.lines;
      if (deassign.isDone && injectionsAtReturn < 0) injectionsAtReturn = injections;
      if (injectionsAtReturn >= 0 && injections !== injectionsAtReturn) return "H7: an injection after KVM_IRQFD has returned";
      return stage.check();
    },
    end: () => stage.balance(contexts),
  };
}

/** H9, H34: an irqfd is deassigned while its eventfd is closed. One of the two deactivates it, both succeed. */
export function deassignAgainstClose(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const fd = stage.eventfd();
  stage.assign(fd, GSI);
  stage.context(fd);
  const contexts = [new IrqfdCall("deassign", stage, { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_DEASSIGN }), new Close(stage, fd)];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end() {
      if (stage.living() > 0) return "an irqfd outlives its closed eventfd";
      return stage.leaks() ?? stage.balance(contexts);
    },
  };
}

/**
 * H19, H31: an eventfd is assigned anew, to a resampling irqfd, while its old irqfd is deassigned, and closed after both.
 * The new call succeeds or finds the eventfd busy; either way nothing stays.
 */
export function reassignAgainstDeassign(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
  stage.assign(fd, GSI);
  stage.context(fd);
  const deassign = new IrqfdCall("deassign", stage, { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_DEASSIGN });
  const assign = new IrqfdCall("assign", stage, { fd, gsi: GSI + 1, flags: KVM_IRQFD_FLAG_RESAMPLE, resamplefd });
  const contexts = [deassign, assign, new Close(stage, fd, [deassign, assign])];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end() {
      if (deassign.result !== 0) return `the deassign gives ${deassign.result}`;
      if (assign.result !== 0 && assign.result !== -EBUSY) return `the assign gives ${assign.result}`;
      if (stage.living() > 0) return "an irqfd outlives its closed eventfd";
      if (!stage.vm.irqfds.resamplers.isEmpty()) return "H19: a resampler outlives its irqfds";
      return stage.leaks() ?? stage.balance(contexts);
    },
  };
}

/** H12, H13, H16: the guest acknowledges while the last resampling irqfd of its GSI goes. The line ends low. */
export function leaveAgainstAcknowledge(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const [fd, resamplefd] = [stage.eventfd(), stage.eventfd()];
  stage.assign(fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, resamplefd);
  run(stage.process.close(resamplefd)); // the irqfd's reference is the last one
  stage.trigger(fd);
  const contexts = [
    new IrqfdCall("deassign", stage, { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_DEASSIGN }),
    new Acknowledge(stage, GSI),
  ];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end: () => (stage.lines.isHigh(GSI) ? "H16: the line is high and nobody owns it" : stage.balance(contexts)),
  };
}

/** H5, H25: an irqfd is signalled and hangs up while its message changes. The old one is not sent after the change. */
export function hangUpAgainstReroute(hazards: Partial<Hazards> = {}): Program {
  const [before, after] = [1, 2];
  const stage = new Stage(hazards);
  const fd = stage.eventfd();
  run(stage.routeToMessage(GSI, before));
  stage.assign(fd, GSI);
  const reroute = new Reroute(stage, GSI, after);
  const contexts = [new Close(stage, fd), reroute, new Raise(stage.context(fd))];
  let lastAtReturn = -1;
  return {
    sim: stage.sim,
    contexts,
    check() {
      const last = stage.lines.lastCallbackData;
      if (reroute.isDone && lastAtReturn < 0) lastAtReturn = last;
      if (lastAtReturn >= 0 && last !== lastAtReturn && last === before) return "H5, H25: the old message after the routing call has returned";
      return stage.check();
    },
    end: () => stage.balance(contexts),
  };
}

/**
 * H14, H15: the guest acknowledges a line that two devices share. The one told first still asks for service, the other
 * does not. The line ends high, and each owner was told once.
 */
export function sharedLineAgainstAcknowledge(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  const quiet = stage.assignWithOwner(GSI);
  const asking = stage.assignWithOwner(GSI);
  stage.own(asking);
  const contexts = [new Acknowledge(stage, GSI)];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end() {
      if (!stage.lines.isHigh(GSI)) return "H14, H15: the line is low although a device asks for service";
      if (quiet.told.signals !== 1 || asking.told.signals !== 1) return "an owner was not told exactly once";
      return stage.balance(contexts);
    },
  };
}

/**
 * H18, H19: a device joins an asserted line while the guest acknowledges it: what it asserted is not lowered without
 * its owner being told.
 */
export function joinAgainstAcknowledge(hazards: Partial<Hazards> = {}): Program {
  const stage = new Stage(hazards);
  stage.assignWithOwner(GSI);
  const [fd, resamplefd] = [stage.eventfd(1), stage.eventfd()];
  stage.own({ trigger: stage.context(fd), told: stage.context(resamplefd) });
  const contexts = [new IrqfdCall("assign", stage, { fd, gsi: GSI, flags: KVM_IRQFD_FLAG_RESAMPLE, resamplefd }), new Acknowledge(stage, GSI)];
  return {
    sim: stage.sim,
    contexts,
    check: () => stage.check(),
    end: () => (stage.lines.isHigh(GSI) ? stage.balance(contexts) : "H18: the new device's line is low although it asks for service"),
  };
}
