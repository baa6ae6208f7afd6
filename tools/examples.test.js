import { expect, it } from "vitest";
import { byMessage, byPic, byTimer, savedAndRestored, withOwnIoapic } from "../examples/x86-emulator.js";
import { interruptedByItsDevice } from "../examples/own-device.js";
import { oneInterrupt } from "../examples/x86-irqchip.js";

it("examples/x86-irqchip.js: the embedded IOAPIC and local APIC deliver one interrupt, which the guest ends", () => {
  expect(oneInterrupt()).toEqual({ delivered: 1, vector: 0x31, isOver: true });
});

it("examples/x86-emulator.js: PIC, message, an IOAPIC of the emulator's, timer, a machine that is saved and restored", () => {
  expect(byPic()).toEqual([0x0c]);
  expect(byMessage()).toEqual({ held: [], after: [0x41] });
  expect(withOwnIoapic()).toEqual({ vectors: [0x41], ended: [0x41] });
  expect(byTimer()).toEqual([[0x33], [0x33], [0x33]]);
  expect(savedAndRestored()).toEqual({ taken: [0x31, 0x32], again: [0x31, 0x32], isOver: true });
});

it("examples/own-device.js: a device of one's own reads the guest's memory and interrupts the guest, assigned by VFIO's own calls", () => {
  expect(interruptedByItsDevice()).toEqual({ sum: 450, vector: 0x41, isOver: true });
  expect(interruptedByItsDevice("a device")).toEqual({ sum: 753, vector: 0x41, isOver: true });
});
