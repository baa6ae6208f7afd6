import { describe, expect, it } from "vitest";
import { eventfdContextOf, type EventfdContext } from "../host/eventfd.js";
import { WaitEntry } from "../host/poll.js";
import { explore } from "../explore/explorer.js";
import type { Program } from "../explore/trial.js";
import { vectorsOf } from "../arch/x86/vector-set.js";
import { Context } from "../sim/context.js";
import type { Hazards } from "../sim/hazards.js";
import { run, type Step, STRAIGHT } from "../sim/step.js";
import { EPOLLIN } from "../uapi/eventfd.js";
import * as K from "../uapi/kvm.js";
import { routingBytes } from "../explore/stages/kvm-machine.js";
import { LAPIC, SPIV, X86Machine } from "../explore/stages/x86-machine.js";

const GSI = 11;
const MSI_GSI = 30;
const RESAMPLE_BIT = 2;
const ARGUMENT = 0x20000;

class Does extends Context {
  constructor(
    name: string,
    kind: "user" | "hardirq" | "vcpu",
    private readonly what: () => Step<unknown>,
  ) {
    super(name, kind, 0);
  }
  override *body(): Step<void> {
    yield* this.what();
  }
}

function contextOf(m: X86Machine, fd: number): EventfdContext {
  const context = eventfdContextOf(m.process, fd);
  if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
  return context;
}

/** A device that asks for service again as soon as its owner is told. */
class Asking extends WaitEntry {
  private readonly owner: Context;

  constructor(
    private readonly m: X86Machine,
    trigger: EventfdContext,
  ) {
    super();
    this.owner = new Does("owner", "hardirq", () => trigger.signal());
  }
  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLIN) !== 0) this.m.sim.wake(this.owner, 0);
    return 1;
  }
}

/** X21: the guest ends an interrupt of a pin that two resampling irqfds share; one device is quiet, the other asks again. */
function sharedPin(hazards: Partial<Hazards> = {}): Program {
  const m = new X86Machine(hazards);
  const { vm, vcpu } = m.xl();
  const resampling = (): [number, number] => {
    const [e, r] = [m.eventfd(), m.eventfd()];
    if (m.irqfd(vm, e, GSI, K.KVM_IRQFD_FLAG_RESAMPLE, r) !== 0) throw new Error("no irqfd");
    return [e, r];
  };
  const quiet = resampling();
  const asking = resampling();
  for (const [e] of [quiet, asking]) m.write(e, 1);
  const taken = m.guest(vcpu, ["sti", "nop"]);
  if (taken.join() !== "49") throw new Error(`the guest took ${taken.join()}`);
  run(contextOf(m, asking[1]).waiters.addEntry(new Asking(m, contextOf(m, asking[0]))));
  const told = contextOf(m, quiet[1]);
  const apic = m.apic(vcpu);
  m.sim.traceTo(null);
  return {
    sim: m.sim,
    contexts: [new Does("EOI", "vcpu", () => apic.eoi())],
    check: () => null,
    end() {
      if (m.sources(vm, GSI) !== RESAMPLE_BIT) return "X21: the pin is low while a device asks for service";
      return vectorsOf(apic.irr).includes(0x31) && told.count === 1n ? null : "the interrupt is not sent again, or an owner was not told once";
    },
  };
}

const BEFORE = { destination: 0, vector: 0x41 };
const AFTER = { destination: 1, vector: 0x61 };

/** X22: an irqfd is signalled while its message changes from one vCPU and vector to others. */
function reroute(hazards: Partial<Hazards> = {}): Program {
  const m = new X86Machine(hazards);
  const vm = m.xf();
  const vcpus = [m.vcpu(vm, 0), m.vcpu(vm, 1)];
  for (const vcpu of vcpus) run(m.apic(vcpu).mmioWrite(SPIV - LAPIC, 4, 0x1ff));
  const tableOf = ({ destination, vector }: typeof BEFORE) => [{ gsi: MSI_GSI, type: K.KVM_IRQ_ROUTING_MSI, words: [LAPIC | (destination << 12), 0, vector] }];
  if (m.route(vm, tableOf(BEFORE)) !== 0) throw new Error("no route");
  const e = m.eventfd();
  if (m.irqfd(vm, e, MSI_GSI) !== 0) throw new Error("no irqfd");
  m.process.memory.copyOut(ARGUMENT, routingBytes(tableOf(AFTER)));
  const trigger = contextOf(m, e);
  m.sim.traceTo(null);
  return {
    sim: m.sim,
    contexts: [new Does("signal", "hardirq", () => trigger.signal()), new Does("reroute", "user", () => m.process.ioctl(vm, K.KVM_SET_GSI_ROUTING, ARGUMENT))],
    check: () => null,
    end() {
      const got = vcpus.flatMap((vcpu, i) => vectorsOf(m.apic(vcpu).irr).map((vector) => `${i}:${vector.toString(16)}`)).join();
      return got === "0:41" || got === "1:61" ? null : `X22: ${got === "" ? "nothing" : got} arrived, which is neither message`;
    },
  };
}

const PATIENCE = 120_000;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("x86-irqchip.md 18, irqfds on x86, explored", () => {
  it("X21: a pin that is lowered for each of its resampling irqfds loses what one of them raised meanwhile", () => {
    expect(explore(() => sharedPin({ deassertPerMember: true }))).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^X21/) });
  }, PATIENCE);

  it("X21: lowered once and before anybody is told, it does not, in every interleaving", () => {
    expect(explore(sharedPin, { preemptions: 2 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);

  it("X22: a message read while it changes is half the old one and half the new", () => {
    expect(explore(() => reroute({ readTornRoute: true }))).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^X22: (0:61|1:41)/) });
  }, PATIENCE);

  it("X22: read under the seqcount it is one of the two, in every interleaving", () => {
    expect(explore(reroute, { preemptions: 2 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);
});
