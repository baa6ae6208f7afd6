// A device's level interrupt through IOAPIC and local APIC, as an emulator of a PC would embed them: node examples/x86-irqchip.js
import { X86Irqchip } from "virq";

const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;

export function oneInterrupt() {
  const irqchip = X86Irqchip.create("full");
  const cpu = irqchip.addCpu();
  cpu.store(LAPIC + 0xf0, 0x1ff); // the guest enables its local APIC,
  cpu.store(IOAPIC, 0x10 + 2 * 20);
  cpu.store(IOAPIC + 0x10, 0x8031); // and makes pin 20 a level interrupt with vector 0x31
  const delivered = irqchip.line(20, 1);
  const vector = cpu.acknowledge();
  irqchip.line(20, 0); // the handler serves the device,
  cpu.store(LAPIC + 0xb0, 0); // and ends the interrupt
  return { delivered, vector, isOver: !cpu.isPending() };
}

console.log(oneInterrupt());
