// What an emulator of a PC asks of its interrupt controllers, written from the library's doc comments: node examples/x86-emulator.js
import { X86Irqchip } from "virq";

const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;
const [TPR, EOI, SPIV, LVT_TIMER, INITIAL_COUNT, DIVIDE] = [0x80, 0xb0, 0xf0, 0x320, 0x380, 0x3e0].map((offset) => LAPIC + offset);

/** A machine with one CPU whose guest has enabled its local APIC. */
function machine(mode, listener) {
  const irqchip = X86Irqchip.create(mode);
  const cpu = irqchip.addCpu(listener);
  cpu.store(SPIV, 0x1ff);
  return { irqchip, cpu };
}

/** The vectors that the CPU takes, each ended by `end`. */
function serve(cpu, end = () => cpu.store(EOI, 0)) {
  const vectors = [];
  for (let vector = cpu.acknowledge(); vector >= 0; vector = cpu.acknowledge()) {
    vectors.push(vector);
    end();
  }
  return vectors;
}

/** IRQ 4 of the PIC, set up as a PC's firmware does: bases 0x08 and 0x70. */
export function byPic() {
  const { irqchip, cpu } = machine("full");
  for (const [port, value] of [[0x20, 0x11], [0x21, 0x08], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x70], [0xa1, 2], [0xa1, 1]]) cpu.out(port, value);
  irqchip.line(4, 1);
  irqchip.line(4, 0);
  return serve(cpu, () => cpu.out(0x20, 0x20));
}

/** A device's message, held back by TPR until the guest lowers it. */
export function byMessage() {
  const { irqchip, cpu } = machine("full");
  cpu.store(TPR, 0x50);
  irqchip.signalMsi(0, LAPIC, 0x41);
  const held = serve(cpu);
  cpu.store(TPR, 0);
  return { held, after: serve(cpu) };
}

/** The emulator has an IOAPIC of its own: its level pin 10 is a message, and the guest's EOI comes back. */
export function withOwnIoapic() {
  const ended = [];
  const { irqchip, cpu } = machine("split", { ended: (vector) => ended.push(vector) });
  irqchip.setRouting([{ gsi: 10, addressLo: LAPIC, data: 0x8041 }]);
  irqchip.line(10, 1);
  return { vectors: serve(cpu), ended };
}

/** A periodic timer of 1 ms: the emulator lets time pass. */
export function byTimer() {
  const { irqchip, cpu } = machine("full");
  cpu.store(DIVIDE, 0b1011);
  cpu.store(LVT_TIMER, 0x20033);
  cpu.store(INITIAL_COUNT, 1_000_000);
  return [1, 2, 3].map(() => {
    irqchip.advance(1_000_000);
    return serve(cpu);
  });
}

/** Two CPUs, the second started by the first; both are in a level interrupt's handler while the machine is saved. */
function multiprocessor() {
  const { irqchip, cpu } = machine("full");
  const second = irqchip.addCpu();
  cpu.store(LAPIC + 0x310, 1 << 24);
  for (const command of [0x4500, 0x4610]) cpu.store(LAPIC + 0x300, command); // INIT, start-up at 0x10000
  second.isPending(); // it looks, and starts
  second.store(SPIV, 0x1ff);
  for (const [pin, id] of [[20, 0], [21, 1]]) {
    cpu.store(IOAPIC, 0x11 + 2 * pin);
    cpu.store(IOAPIC + 0x10, id << 24);
    cpu.store(IOAPIC, 0x10 + 2 * pin);
    cpu.store(IOAPIC + 0x10, 0x8031 + id);
    irqchip.line(pin, 1);
  }
  return irqchip;
}

/** Local APICs first, the IOAPIC last. Lines are no part of the chips' state: the devices drive them again. */
function restored(saved) {
  const irqchip = X86Irqchip.create("full");
  const cpus = saved.cpus.map(() => irqchip.addCpu());
  cpus.forEach((cpu, i) => {
    const { lapic, isRunning } = saved.cpus[i];
    const page = new Int32Array(256);
    lapic.get(page);
    cpu.lapic.base.write(lapic.base.low, lapic.base.high, true);
    cpu.lapic.put(page);
    if (isRunning) cpu.resume();
  });
  for (const id of [0, 1, 2]) irqchip.setChip(id, saved.getChip(id));
  return irqchip;
}

/** The lines are still high after the restore: the interrupts come again at their EOIs, and end when the lines have fallen. */
export function savedAndRestored() {
  const saved = multiprocessor();
  const taken = saved.cpus.map((cpu) => cpu.acknowledge());
  const irqchip = restored(saved);
  for (const pin of [20, 21]) irqchip.line(pin, 1);
  const again = irqchip.cpus.map((cpu) => cpu.store(EOI, 0) && cpu.acknowledge());
  for (const pin of [20, 21]) irqchip.line(pin, 0);
  for (const cpu of irqchip.cpus) cpu.store(EOI, 0);
  return { taken, again, isOver: irqchip.cpus.every((cpu) => cpu.isRunning && !cpu.isPending()) };
}

console.log(byPic(), byMessage(), withOwnIoapic(), byTimer(), savedAndRestored());
