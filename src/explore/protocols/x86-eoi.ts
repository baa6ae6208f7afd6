import type { Hazards } from "../../sim/hazards.js";
import { run } from "../../sim/step.js";
import { KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE, KVM_IRQ_ROUTING_IRQCHIP } from "../../uapi/kvm.js";
import type { Property } from "../property.js";
import type { Protocol } from "../protocol.js";
import { Notice, Raise, Thread } from "../stages/threads.js";
import { X86Machine } from "../stages/x86-machine.js";
import type { Program } from "../trial.js";

const PIN = 11;
const EOI_REGISTER = 0xb0;
const MASTER = 0x20;
const ELCR = 0x4d0;
const NON_SPECIFIC_EOI = 0x20;
const PIC_LINE = 5;

/** Asserts a resampling irqfd. An owner that asks on triggers again as soon as it is told. */
function assert(m: X86Machine, vm: number, gsi: number, asksOn: boolean): void {
  const [e, r] = [m.eventfd(), m.eventfd()];
  m.irqfd(vm, e, gsi, RESAMPLE, r);
  if (asksOn) run(m.context(r).waiters.addEntry(new Notice(m.sim, new Raise(m.context(e)))));
  m.write(e, 1);
}

/** Counts how often the IOAPIC sends a pin's message: once, for what was asserted once. */
class SentOnce implements Property {
  readonly name = "sent-once";
  readonly sentence = "the IOAPIC sends one message for one assertion";
  readonly hears = ["ioapic_service"] as const;
  private sent = 0;

  hear(): string | null {
    return ++this.sent > 1 ? "H21: the pin's message is sent twice for one assertion" : null;
  }

  end(): string | null {
    return this.sent === 1 ? null : "the assertion is not sent, and no EOI will come";
  }
}

export const eoiAgainstRetrigger: Protocol = {
  name: "ioapic-eoi-against-retrigger",
  title: "The EOI of a level pin tells an owner that triggers again at once: the pin is sent again, once.",
  source: "kvm-irq-core.md 5.3 EO5, H21",
  about: ["kvm_ack_irq", "resampler_notify", "ioapic_service"],
  program(hazards = {}) {
    const m = new X86Machine(hazards);
    const { vm, vcpu } = m.xl();
    assert(m, vm, PIN, true);
    m.guest(vcpu, ["sti", "nop"]); // takes the vector, and is in its handler
    m.sim.traceTo(null);
    const apic = m.apic(vcpu);
    return {
      sim: m.sim,
      contexts: [new Thread("eoi", "vcpu", () => apic.mmioWrite(EOI_REGISTER, 4, 0))],
      properties: [new SentOnce()],
      check: () => null,
    };
  },
};

/** The guest ends a PIC line that is up: what the PIC asks for afterwards is what its line is. */
function picProgram(hazards: Partial<Hazards>, asksOn: boolean): Program {
  const m = new X86Machine(hazards);
  const vm = m.xf();
  const vcpu = m.vcpuOf(m.vcpu(vm, 0));
  m.route(vm, [{ gsi: PIC_LINE, type: KVM_IRQ_ROUTING_IRQCHIP, words: [0, PIC_LINE] }]);
  const { pic } = m.arch(vm);
  if (pic === null) throw new Error("no PIC");
  const { ports } = pic;
  run(ports.pioWrite(vcpu, ELCR, 1, 1 << PIC_LINE));
  assert(m, vm, PIC_LINE, asksOn);
  run(pic.ack());
  m.settle();
  m.sim.traceTo(null);
  return {
    sim: m.sim,
    contexts: [new Thread("eoi", "vcpu", () => ports.pioWrite(vcpu, MASTER, 1, NON_SPECIFIC_EOI))],
    check: () => null,
    end() {
      if (pic.output === asksOn) return null;
      return asksOn ? "H22: the line is up and the PIC does not ask for an acknowledge" : "H22: the PIC asks for an acknowledge and no line is up";
    },
  };
}

export const picEoiAgainstRetrigger: Protocol = {
  name: "pic-eoi-against-retrigger",
  title: "The EOI of a PIC line tells an owner that triggers again at once: the PIC asks for an acknowledge again.",
  source: "kvm-irq-core.md 5.3, H22",
  about: ["kvm_ack_irq", "resampler_notify", "irqfd_inject"],
  program: (hazards = {}) => picProgram(hazards, true),
};

export const picEoiOfQuietLine: Protocol = {
  name: "pic-eoi-of-quiet-line",
  title: "The EOI of a PIC line tells an owner that is content: the PIC asks for nothing.",
  source: "kvm-irq-core.md 5.3, H22",
  about: ["kvm_ack_irq", "resampler_notify"],
  program: (hazards = {}) => picProgram(hazards, false),
};
