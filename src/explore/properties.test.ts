import { describe, expect, it } from "vitest";
import type { EventName } from "../sim/event.js";
import type { HazardName, Hazards } from "../sim/hazards.js";
import { STRAIGHT } from "../sim/step.js";
import { explore } from "./explorer.js";
import * as P from "./properties/index.js";
import { type Property, tell } from "./property.js";
import type { Protocol } from "./protocol.js";
import { forwardAgainstTrigger, unforwardActive } from "./protocols/forwarding.js";
import { signalAgainstWork } from "./protocols/injection.js";
import * as irqfd from "./protocols/irqfd.js";
import { midwayResampled, pcPinResampled } from "./protocols/machines.js";
import * as resampler from "./protocols/resampler.js";
import { hangUpAgainstReroute, rerouteAgainstSignal } from "./protocols/routing.js";
import { messagesToHaltedVcpu, messagesToSpinningVcpu } from "./protocols/x86-vcpu.js";
import { GuestMachine } from "./stages/guest-machine.js";
import { EOI, X86Machine } from "./stages/x86-machine.js";
import type { Program, Scenario } from "./trial.js";

const PATIENCE = 120_000;
const EXECUTIONS = 250;
const ONCE = { address: 1, data: 1 };
const THEN = { address: 2, data: 2 };

/** A program of which nothing is asked but one property. */
function alone(protocol: Protocol, make: (program: Program) => Property, off?: HazardName): Scenario {
  return () => {
    const program = protocol.program(off === undefined ? {} : { [off]: true });
    const property = make(program);
    tell([property], program.before ?? []);
    return { sim: program.sim, contexts: program.contexts, properties: [property], check: () => null };
  };
}

interface Row {
  readonly make: (program: Program) => Property;
  /** The switch, the program and the words of what it finds. */
  readonly broken: readonly (readonly [HazardName, Protocol, RegExp])[];
  readonly held: readonly Protocol[];
}

const ROWS: readonly Row[] = [
  {
    make: () => new P.NoInterruptLost(),
    broken: [
      ["sampleBeforeInsert", irqfd.assignAgainstSignal, /^an event of eventfd 0 was never injected as GSI 5$/],
      ["clearPendingLate", signalAgainstWork, /was never injected/],
    ],
    held: [irqfd.assignAgainstSignal, signalAgainstWork, irqfd.deassignAgainstClose, resampler.resampleOrder],
  },
  {
    make: () => new P.NoInterruptInvented(),
    broken: [
      ["keepCount", irqfd.signalInjectedOnce, /^an injection of GSI 5 has no event of eventfd 0 behind it$/],
    ],
    held: [signalAgainstWork, irqfd.deassignAgainstClose, resampler.leaveAgainstSignal],
  },
  { make: () => new P.NoEoiWithoutAcknowledge(), broken: [], held: [midwayResampled, pcPinResampled] },
  {
    make: () => new P.OneDeassertPerResample(),
    broken: [
      ["deassertPerMember", resampler.resampleOrder, /^GSI 5 is lowered 2 times in one acknowledge$/],
      ["notifyBeforeDeassert", resampler.leaveAgainstAcknowledge, /^an owner of GSI 5 is told before its line is lowered$/],
      ["notifyBeforeDeassert", midwayResampled, /^an owner of GSI 8 is told before its line is lowered$/],
      ["deassertPerMember", pcPinResampled, /^GSI 16 is lowered 2 times/],
    ],
    held: [resampler.resampleOrder, resampler.leaveAgainstAcknowledge, resampler.joinAgainstAcknowledge],
  },
  {
    make: () => new P.MasksBalance(),
    broken: [["unmaskByChip", midwayResampled, /^the interrupt of fff50000.ethernet 0 is masked, and nobody will unmask it$/]],
    held: [midwayResampled, pcPinResampled],
  },
  {
    make: () => new P.NoInjectionAfterDeassign(),
    broken: [["returnBeforeShutdown", irqfd.deassignAgainstSignal, /^GSI 5 is injected after its deassign has returned$/]],
    held: [irqfd.deassignAgainstClose, irqfd.signalAgainstReassign, resampler.leaveAgainstSignal],
  },
  { make: () => new P.NoUseAfterFree(), broken: [], held: [irqfd.deassignAgainstClose, irqfd.assignAgainstSignalAndClose, resampler.leaveAgainstAcknowledge] },
  {
    make: () => new P.NoLineWithoutOwner(),
    broken: [
      ["keepLineAtLeave", resampler.leaveAgainstSignal, /^GSI 5 is up and nobody owns it$/],
      ["leaveBeforeFlush", resampler.leaveAgainstSignal, /^GSI 5 is up and nobody owns it$/],
    ],
    held: [resampler.leaveAgainstSignal, resampler.leaveAgainstAcknowledge, irqfd.reassignAgainstDeassign],
  },
  {
    make: () => new P.ForwardingWhileQuiet(),
    broken: [["forwardWhileSignalling", forwardAgainstTrigger, /becomes forwarded while its trigger is installed$/]],
    held: [forwardAgainstTrigger, unforwardActive],
  },
  {
    make: () => new P.WholeRoutes([ONCE, THEN]),
    broken: [
      ["readTornRoute", rerouteAgainstSignal, /^the message with address (1 and data 2|2 and data 1) is of no table$/],
      ["swapWithoutWait", rerouteAgainstSignal, /^message 1 is sent from the old table after the change has returned$/],
      ["clearRouteOnDeassign", hangUpAgainstReroute, /^message 1 is sent from the old table/],
    ],
    held: [rerouteAgainstSignal, hangUpAgainstReroute],
  },
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("properties, each alone", () => {
  for (const { make, broken, held } of ROWS) {
    const { name, sentence } = make(midwayResampled.program());
    describe(`${name}: ${sentence}`, () => {
      for (const [off, protocol, words] of broken)
        it(`is broken by ${off} in ${protocol.name}`, () => {
          expect(explore(alone(protocol, make, off))).toMatchObject({ verdict: "violation", message: expect.stringMatching(words) });
        }, PATIENCE);
      for (const protocol of held)
        it(`holds in ${protocol.name}`, () => {
          expect(explore(alone(protocol, make), { preemptions: 1, limit: EXECUTIONS })).toMatchObject({ verdict: "ok" });
        }, PATIENCE);
    });
  }
});

const hearing = (property: Property, ...events: readonly (readonly [EventName, string, ...(number | string)[]])[]): string | null =>
  tell([property], events.map(([name, context, ...args]) => ({ name, context, args })));

/** Two interrupts for one vCPU of a real guest. */
function injections(idle: "spin" | "wfi", hazards: Partial<Hazards>): Program {
  const spis = [40, 41].map((intid) => ({ intid, trigger: "edge" as const }));
  const m = new GuestMachine({ trace: false, spiCount: 32, hazards, guest: { spis, idle } }).boot();
  return {
    sim: m.sim,
    contexts: spis.map(({ intid }) => m.later(() => m.vgic.inject(-1, intid, true, null))),
    properties: [new P.Progress(m.vcpus)],
    check: () => null,
  };
}

describe.skipIf(STRAIGHT)("progress: a guest that waits for a pending, enabled interrupt wakes", () => {
  it.each([
    ["sleepAfterCheck", "wfi", "vCPU 0 sleeps although an interrupt is pending for it"],
    ["modeAfterCheck", "spin", "vCPU 0 stays in its guest although it was asked to leave"],
  ] as const)("is broken by %s", (off, idle, message) => {
    expect(explore(() => injections(idle, { [off]: true }))).toMatchObject({ verdict: "violation", message });
  }, PATIENCE);

  it.each(["wfi", "spin"] as const)("holds for a guest that waits by %s", (idle) => {
    expect(explore(() => injections(idle, {}), { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);

  it.each([
    ["kickBeforeRequest", messagesToSpinningVcpu, "vCPU 0 stays in its guest although it was asked to leave"],
    ["modeAfterCheck", messagesToSpinningVcpu, "vCPU 0 stays in its guest although it was asked to leave"],
    ["sleepAfterCheck", messagesToHaltedVcpu, "vCPU 0 sleeps although an interrupt is pending for it"],
  ] as const)("is broken by %s in an x86 machine", (off, protocol, message) => {
    expect(explore(() => protocol.program({ [off]: true }))).toMatchObject({ verdict: "violation", message });
  }, PATIENCE);

  it.each([messagesToSpinningVcpu, messagesToHaltedVcpu])("holds in $name", (protocol) => {
    expect(explore(() => protocol.program(), { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);
});

describe("properties, told of events", () => {
  it("no-use-after-free: an injection, a notification, a second end of what was freed", () => {
    const freed = [["irqfd_assign", "a", 0, 5], ["irqfd_deactivate", "a", "deassign", 0, 5], ["irqfd_free", "x", 0, 5]] as const;
    expect(hearing(new P.NoUseAfterFree(), ...freed)).toBeNull();
    expect(hearing(new P.NoUseAfterFree(), ...freed, ["irqfd_inject", "w", 0, 5, "work"])).toBe("the freed irqfd of GSI 5 injects");
    expect(hearing(new P.NoUseAfterFree(), ...freed, ["irqfd_free", "x", 0, 5])).toBe("the irqfd of GSI 5 is freed although it is free already");
    expect(hearing(new P.NoUseAfterFree(), ["resampler_free", "x", 5], ["resampler_notify", "v", 5, 1])).toBe("the freed resampler of GSI 5 is used");
    expect(hearing(new P.NoUseAfterFree(), ...freed, ["irqfd_assign", "a", 0, 5], ["irqfd_inject", "w", 0, 5, "work"])).toBeNull();
  });

  it("no-eoi-without-acknowledge: an end of what was not taken, a second end, an x86 EOI with nothing in service", () => {
    expect(hearing(new P.NoEoiWithoutAcknowledge(), ["guest_ack", "v", 0, 40], ["guest_eoi", "v", 0, 40])).toBeNull();
    expect(hearing(new P.NoEoiWithoutAcknowledge(), ["guest_ack", "v", 0, 40], ["guest_eoi", "v", 0, 40], ["guest_eoi", "v", 0, 40])).toBe("vCPU 0 ends interrupt 40, which it has not acknowledged");
    expect(hearing(new P.NoEoiWithoutAcknowledge(), ["guest_ack", "v", 1, 40], ["guest_eoi", "v", 0, 40])).toContain("not acknowledged");
    expect(hearing(new P.NoEoiWithoutAcknowledge(), ["kvm_eoi", "v", 0, -1, "nobody"])).toBe("vCPU 0 ends an interrupt while none is in service");
  });

  it("no-eoi-without-acknowledge: an x86 guest that writes EOI once too often", () => {
    const m = new X86Machine();
    const { vcpu } = m.xl();
    m.guest(vcpu, [EOI]);
    expect(tell([new P.NoEoiWithoutAcknowledge()], m.trace.events)).toBe("vCPU 0 ends an interrupt while none is in service");
  });

  it("masks-balance: masked twice, or masked for ever", () => {
    expect(hearing(new P.MasksBalance(), ["vfio_automask", "h", "d", 0], ["vfio_unmask", "v", "d", 0], ["vfio_automask", "h", "d", 0])).toBeNull();
    expect(hearing(new P.MasksBalance(), ["vfio_automask", "h", "d", 0], ["vfio_automask", "h", "d", 0])).toBe("interrupt 0 of d is masked twice");
    const left = new P.MasksBalance();
    hearing(left, ["vfio_automask", "h", "d", 0]);
    expect(left.end()).toBe("the interrupt of d 0 is masked, and nobody will unmask it");
  });

  it("no-interrupt-invented: what was coalesced is injected once", () => {
    const signal = ["eventfd_signal", "t", 0] as const;
    const inject = ["irqfd_inject", "t", 0, 5, "work"] as const;
    expect(hearing(new P.NoInterruptInvented(), signal, signal, inject)).toBeNull();
    expect(hearing(new P.NoInterruptInvented(), signal, signal, inject, inject)).toBe("an injection of GSI 5 has no event of eventfd 0 behind it");
    expect(hearing(new P.NoInterruptInvented(), signal, inject, signal, inject)).toBeNull();
  });

  it("no-interrupt-invented: an event that is still on its way is none of those before", () => {
    const signal = (by: string) => ["eventfd_signal", by, 0] as const;
    const inject = ["irqfd_inject", "events", 0, 5, "work"] as const;
    expect(hearing(new P.NoInterruptInvented(), signal("a"), signal("b"), inject, inject)).toBeNull();
    expect(hearing(new P.NoInterruptInvented(), signal("a"), signal("a"), inject, inject)).toBeNull();
    expect(hearing(new P.NoInterruptInvented(), signal("a"), signal("a"), signal("a"), inject, inject, inject)).toContain("no event");
  });

  it("no-interrupt-lost: each irqfd of an eventfd injects it; one that goes leaves the count to the next", () => {
    const end = (...events: Parameters<typeof hearing>[1][]): string | null => {
      const property = new P.NoInterruptLost();
      hearing(property, ...events);
      return property.end();
    };
    const both = [["irqfd_assign", "a", 0, 5], ["irqfd_assign", "b", 0, 6], ["eventfd_signal", "r", 0]] as const;
    expect(end(...both, ["irqfd_inject", "w", 0, 6, "work"])).toBe("an event of eventfd 0 was never injected as GSI 5");
    expect(end(...both, ["irqfd_inject", "w", 0, 6, "work"], ["irqfd_inject", "w", 0, 5, "work"])).toBeNull();
    const gone = [["irqfd_assign", "a", 0, 5], ["eventfd_signal", "r", 0], ["irqfd_deactivate", "a", "deassign", 0, 5]] as const;
    expect(end(...gone)).toBeNull();
    expect(end(...gone, ["irqfd_assign", "a", 0, 7])).toBe("an event of eventfd 0 was never injected as GSI 7");
  });

  it("one-deassert-per-resample: told without being lowered, lowered twice, lowered after being told; an acknowledge that tells nobody lowers nothing", () => {
    const acknowledge = ["kvm_ack_irq", "v", 0, 5] as const;
    const lower = ["kvm_set_irq", "v", 5, 0, 1] as const;
    const told = ["resampler_notify", "v", 5, 1] as const;
    expect(hearing(new P.OneDeassertPerResample(), acknowledge, lower, told, acknowledge, lower, told)).toBeNull();
    expect(hearing(new P.OneDeassertPerResample(), acknowledge, lower, told, acknowledge, told)).toBe("an owner of GSI 5 is told before its line is lowered");
    expect(hearing(new P.OneDeassertPerResample(), acknowledge, lower, lower)).toBe("GSI 5 is lowered 2 times in one acknowledge");
    expect(hearing(new P.OneDeassertPerResample(), acknowledge, lower, told, lower)).toBe("GSI 5 is lowered although an owner was told already");
    expect(hearing(new P.OneDeassertPerResample(), acknowledge, acknowledge)).toBeNull();
  });

  it("the list has each once, by the name that it answers to", () => {
    const names = P.PROPERTIES.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, make } of P.PROPERTIES) expect(make().name).toBe(name);
  });
});
