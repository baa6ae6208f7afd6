import { describe, expect, it } from "vitest";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { run, STRAIGHT } from "../sim/step.js";
import { EBUSY, EEXIST } from "../uapi/errno.js";
import * as K from "../uapi/kvm.js";
import { KVM_IRQCHIP_IOAPIC as IOAPIC } from "../uapi/x86.js";
import { acknowledge, Call, forwarding, GSI, messages, type Switches, wires } from "./hazards.fixture.js";
import { BusKind } from "./io-bus.js";

const { KVM_IRQFD_FLAG_DEASSIGN: DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE: RESAMPLE } = K;
const CLEAN = { verdict: "ok", exhausted: true };
const PATIENCE = 60_000;
const ok = (): null => null;

/** H4, H5: an irqfd fires while its message changes. */
function rerouteAgainstSignal(switches: Switches = {}): Program {
  const { m, fd, e, chip, argument } = messages(switches);
  const reroute = new Call("reroute", m.process, fd, K.KVM_SET_GSI_ROUTING, argument);
  const context = m.context(e);
  const raise = new Call("raise", m.process, fd, 0, 0, function* () {
    yield* context.signal();
  });
  let atReturn = -1;
  return {
    sim: m.sim,
    contexts: [reroute, raise],
    check() {
      if (chip.delivered.some((message) => message !== "1:1" && message !== "2:2")) return `H4: the message ${chip.delivered.join()} mixes two routes`;
      const old = chip.delivered.filter((message) => message === "1:1").length;
      if (reroute.result === 0 && atReturn < 0) atReturn = old;
      return atReturn >= 0 && old > atReturn ? "H5: the old message after the routing call has returned" : null;
    },
  };
}

/** H7, H8: an irqfd fires while it is deassigned. Nothing is injected once the call has returned. */
function deassignAgainstSignal(switches: Switches = {}): Program {
  const { m, fd, chip, irqfd } = wires(switches);
  const e = m.eventfd();
  irqfd(e);
  const context = m.context(e);
  const deassign = new Call("deassign", m.process, fd, K.KVM_IRQFD, irqfd.argument(e, DEASSIGN));
  const raise = new Call("raise", m.process, fd, 0, 0, function* () {
    yield* context.signal();
  });
  let atReturn = -1;
  return {
    sim: m.sim,
    contexts: [deassign, raise],
    check() {
      if (deassign.result === 0 && atReturn < 0) atReturn = chip.sets;
      return atReturn >= 0 && chip.sets > atReturn ? "H7: an injection after the deassign has returned" : null;
    },
  };
}

/** H13, H16: the guest acknowledges while the last owner, whose resamplefd is closed already, leaves. */
function leaveAgainstAcknowledge(switches: Switches = {}): Program {
  const { m, fd, vm, chip, irqfd } = wires(switches);
  const [e, r] = [m.eventfd(), m.eventfd()];
  irqfd(e, RESAMPLE, r);
  m.close(r);
  m.write(e, 1);
  const leave = new Call("leave", m.process, fd, K.KVM_IRQFD, irqfd.argument(e, DEASSIGN));
  return {
    sim: m.sim,
    contexts: [leave, acknowledge(vm)],
    check: ok,
    end: () => (chip.pin(IOAPIC, GSI) === 0 ? null : "H16: the line is high and nobody owns it"),
  };
}

/** H16 again: the acknowledge came before the last trigger. */
function leaveAsserted(switches: Switches = {}): Program {
  const { m, fd, chip, irqfd } = wires(switches);
  const [e, r] = [m.eventfd(), m.eventfd()];
  irqfd(e, RESAMPLE, r);
  const context = m.context(e);
  const leave = new Call("leave", m.process, fd, K.KVM_IRQFD, irqfd.argument(e, DEASSIGN));
  const raise = new Call("raise", m.process, fd, 0, 0, function* () {
    yield* context.signal();
  });
  return {
    sim: m.sim,
    contexts: [leave, raise],
    check: ok,
    end: () => (chip.pin(IOAPIC, GSI) === 0 ? null : "H16, H17: the line is high and nobody owns it"),
  };
}

/** H14, H15: the owner raises again as soon as it is told. The line stays up for it, because it was lowered before. */
function raiseAgainAgainstAcknowledge(switches: Switches = {}): Program {
  const { m, fd, vm, chip, irqfd } = wires(switches);
  const [e, r] = [m.eventfd(), m.eventfd()];
  irqfd(m.eventfd(), RESAMPLE, m.eventfd()); // an older member: told after this one
  irqfd(e, RESAMPLE, r);
  m.write(e, 1);
  const [trigger, told] = [m.context(e), m.context(r)];
  const owner = new Call("owner", m.process, fd, 0, 0, function* () {
    yield* m.sim.wait({ isOpen: () => told.signals > 0 });
    yield* trigger.signal();
  });
  return {
    sim: m.sim,
    contexts: [acknowledge(vm), owner],
    check: ok,
    end: () => (chip.pin(IOAPIC, GSI) === 2 ? null : "H14, H15: the line is down while its device wants service"),
  };
}

/** H30: a guest writes where an ioeventfd is being removed, whose owner closes it as soon as the removal returns. */
function removeAgainstWrite(switches: Switches = {}): Program {
  const { m, fd, vm, ioeventfd } = wires(switches);
  const e = m.eventfd();
  const context = m.context(e);
  expect(m.ioctl(fd, K.KVM_IOEVENTFD, ioeventfd(e, 0))).toBe(0);
  const remove = new Call("remove", m.process, fd, K.KVM_IOEVENTFD, ioeventfd(e, K.KVM_IOEVENTFD_FLAG_DEASSIGN));
  const close = new Call("close", m.process, fd, 0, 0, function* () {
    yield* m.sim.wait({ isOpen: () => remove.result !== null });
    yield* m.process.close(e);
  });
  let isTaken = false;
  const write = new Call("write", m.process, fd, 0, 0, function* () {
    isTaken = yield* vm.buses.guestWrite(BusKind.MMIO, null, 0x1000, 4, 1, 0);
  });
  return {
    sim: m.sim,
    contexts: [remove, close, write],
    check: ok,
    end() {
      if (remove.result !== 0) return `the removal answers ${String(remove.result)}`;
      if (context.isAlive) return "the context outlives its last holder";
      return context.signals === Number(isTaken) ? null : "a write that was taken was not signalled";
    },
  };
}

/** H39: two threads forward the same interrupt: one link, one node, one reference. */
function forwardTwice(): Program {
  const { m, d, forward } = forwarding();
  const before = d.references;
  const contexts = [forward("one"), forward("two")];
  return {
    sim: m.sim,
    contexts,
    check: ok,
    end() {
      const results = contexts.map((context) => context.result);
      if (!results.includes(0) || !results.includes(-EEXIST)) return `H39: the calls answer ${results.join(" and ")}`;
      return d.references === before + 1 ? null : `H39: ${d.references - before} references`;
    },
  };
}

/** H36: forwarding against the installation of a trigger: never an automasking handler on a forwarded interrupt. */
function forwardAgainstTrigger(switches: Switches = {}): Program {
  const { m, d, forward, trigger } = forwarding(switches);
  const change = forward("forward");
  const install = trigger("trigger");
  return {
    sim: m.sim,
    contexts: [change, install],
    check: ok,
    end() {
      if (install.result !== 0) return `SET_IRQS answers ${String(install.result)}`;
      if (change.result !== 0 && change.result !== -EBUSY) return `FORWARD answers ${String(change.result)}`;
      run(d.setLine(true));
      run(m.sim.settle());
      const isMasked = m.trace.lines("vfio_automask").length > 0;
      return isMasked === (change.result === 0) ? "H36: the handler does not suit the interrupt" : null;
    },
  };
}

type Explored = (switches?: Switches) => Program;

function expectFound(program: Explored, switches: Switches, message: RegExp): void {
  expect(explore(() => program(switches))).toMatchObject({ verdict: "violation", message: expect.stringMatching(message) });
}

function expectClean(program: Explored, preemptions = 2): void {
  expect(explore(() => program(), { preemptions })).toMatchObject(CLEAN);
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("hazards of the core: found without the rule, not with it", () => {
  it("H4: a message mixes two routes", () => {
    expectFound(rerouteAgainstSignal, { readTornRoute: true }, /^H4/);
    expectClean(rerouteAgainstSignal);
  }, PATIENCE);

  it("H5: the old message is sent after the routing call has returned", () => {
    expectFound(rerouteAgainstSignal, { swapWithoutWait: true }, /^H5/);
  }, PATIENCE);

  it("H7: an injection comes after a deassign has returned", () => {
    expectFound(deassignAgainstSignal, { returnBeforeShutdown: true }, /^H7/);
  }, PATIENCE);

  it("H8: a work item runs for a freed irqfd", () => {
    expectFound(deassignAgainstSignal, { flushBeforeUnhook: true }, /freed irqfd/);
    expectClean(deassignAgainstSignal);
  }, PATIENCE);

  it("H13: a freed resamplefd is signalled", () => {
    expectFound(leaveAgainstAcknowledge, { dropResamplefdEarly: true }, /freed eventfd/);
    expectClean(leaveAgainstAcknowledge);
  }, PATIENCE);

  it("H16, H17: the line stays up for an owner that has left", () => {
    expectFound(leaveAsserted, { keepLineAtLeave: true }, /^H16/);
    expectClean(leaveAsserted);
  }, PATIENCE);

  it("H14, H15: an owner's new assertion is wiped by the acknowledge that told it", () => {
    expectFound(raiseAgainAgainstAcknowledge, { deassertPerMember: true }, /^H14/);
    expectFound(raiseAgainAgainstAcknowledge, { notifyBeforeDeassert: true }, /^H14/);
    expectClean(raiseAgainAgainstAcknowledge);
  }, PATIENCE);

  it("H30: an ioeventfd's bus is freed under a writing guest", () => {
    expectFound(removeAgainstWrite, { freeBusEarly: true }, /freed/);
    expectClean(removeAgainstWrite);
  }, PATIENCE);

  it("H36: a forwarded interrupt gets the automasking handler", () => {
    expectFound(forwardAgainstTrigger, { forwardWhileSignalling: true }, /^H36/);
    expectClean(forwardAgainstTrigger, 1);
  }, PATIENCE);

  it("H39: two threads forward the same interrupt, and one is told that it exists", () => {
    expectClean(forwardTwice, 1);
  }, PATIENCE);
});
