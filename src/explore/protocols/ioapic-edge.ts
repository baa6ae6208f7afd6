import { run } from "../../sim/step.js";
import { KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE } from "../../uapi/kvm.js";
import type { Property } from "../property.js";
import type { Protocol } from "../protocol.js";
import { Raise, Thread } from "../stages/threads.js";
import { X86Machine } from "../stages/x86-machine.js";

const PIN = 11;
const IOREGSEL = 0x00;
const IOWIN = 0x10;
/** Edge, masked, vector 0: how a guest's shutdown leaves an entry. */
const CLEARED = 0x1_0000;
/** Acknowledges by one raise and no EOI from which on nobody can take it for anything but a circle. */
const TURNS = 4;

/** The guest ends nothing here, so that an acknowledge which comes again and again comes out of itself. */
class NoCircle implements Property {
  readonly name = "no-circle";
  readonly sentence = "an acknowledge does not bring about the next one";
  readonly hears = ["kvm_ack_irq"] as const;
  private turns = 0;

  hear(): string | null {
    return ++this.turns < TURNS ? null : `pin ${PIN} is acknowledged ${TURNS} times by one raise, each inside the one before: the stack runs out`;
  }
}

export const clearEntryAgainstRaise: Protocol = {
  name: "clear-entry-against-raise",
  title: "A guest that shuts down turns a shared pin to edge while its assigned device raises, on a host that does not see the EOI of an edge: the raise comes to an end.",
  source: "x86-irqchip.md 5.3, 5.4 step 1, 5.7; kvm-irq-core.md 3.2",
  about: ["irqfd_inject", "kvm_ioapic_set_irq"],
  program(hazards = {}) {
    const m = new X86Machine(hazards);
    const { vm, vcpu } = m.xl();
    const { ioapic } = m.arch(vm);
    if (ioapic === null) throw new Error("no IOAPIC");
    ioapic.isApicvActivated = true;
    const [e, r] = [m.eventfd(), m.eventfd()];
    m.irqfd(vm, e, PIN, RESAMPLE, r);
    m.irqLine(vm, PIN, 1); // the other device of the pin, which user space emulates, asks for service
    m.sim.traceTo(null);
    const cpu = m.vcpuOf(vcpu);
    run(ioapic.mmioWrite(cpu, IOREGSEL, 4, 0x10 + 2 * PIN, 0));
    const shutdown = new Thread("vcpu", "vcpu", () => ioapic.mmioWrite(cpu, IOWIN, 4, CLEARED, 0));
    return { sim: m.sim, contexts: [shutdown, new Raise(m.context(e), 1, "device")], properties: [new NoCircle()], check: () => null };
  },
};
