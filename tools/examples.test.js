import { expect, it } from "vitest";
import { oneInterrupt } from "../examples/x86-irqchip.js";

it("examples/x86-irqchip.js: the embedded IOAPIC and local APIC deliver one interrupt, which the guest ends", () => {
  expect(oneInterrupt()).toEqual({ delivered: 1, vector: 0x31, isOver: true });
});
