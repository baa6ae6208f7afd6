import { KVM_IRQFD_FLAG_RESAMPLE as RESAMPLE, KVM_IRQ_LINE, kvm_irq_level } from "../../uapi/kvm.js";
import type { Protocol } from "../protocol.js";
import { ioctl, Raise } from "../stages/threads.js";
import { X86Machine } from "../stages/x86-machine.js";

const PIN = 11;
const ARGUMENT = 0x3_0000;

export const lowerAgainstRaise: Protocol = {
  name: "lower-against-raise",
  title: "One source lowers a shared pin while another raises it: the IOAPIC takes the pin for what its sources say.",
  source: "x86-irqchip.md 5.4; kvm-irq-core.md 3.2",
  about: ["irqfd_inject", "kvm_ioapic_set_irq"],
  program(hazards = {}) {
    const m = new X86Machine(hazards);
    const { vm } = m.xl();
    const [e, r] = [m.eventfd(), m.eventfd()];
    m.irqfd(vm, e, PIN, RESAMPLE, r);
    m.irqLine(vm, PIN, 1); // sent, and not ended: what the pin is shows at the EOI
    m.sim.traceTo(null);
    const argument = new DataView(new ArrayBuffer(kvm_irq_level.size));
    kvm_irq_level.irq.set(argument, PIN);
    kvm_irq_level.level.set(argument, 0);
    m.process.memory.copyOut(ARGUMENT, new Uint8Array(argument.buffer));
    const lower = ioctl("vmm", m.process, vm, KVM_IRQ_LINE, ARGUMENT);
    return {
      sim: m.sim,
      contexts: [lower, new Raise(m.context(e), 1, "device")],
      check: () => null,
      end() {
        const isHeld = m.sources(vm, PIN) !== 0;
        const isSeen = (m.ioapic(vm, PIN).irr & (1 << PIN)) !== 0;
        return isHeld === isSeen ? null : `a source holds the pin ${isHeld ? "high" : "low"}, and the IOAPIC takes it for ${isSeen ? "high" : "low"}: the interrupt is lost`;
      },
    };
  },
};
