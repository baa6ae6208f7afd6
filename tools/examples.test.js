import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { byMessage, byPic, byTimer, savedAndRestored, withOwnIoapic } from "../examples/x86-emulator.js";
import { movedOnce } from "../examples/move-power-guest.js";
import { interruptedByItsDevice } from "../examples/own-device.ts";
import { oneInterrupt } from "../examples/x86-irqchip.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

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

it("examples/move-power-guest.js: a message that is in flight while a guest moves is taken once, by the vCPU that it was for", () => {
  expect(movedOnce()).toEqual({ result: 0, before: 0, after: [[1, 0x1300]] });
});

it("examples/own-device.ts: a device of one's own, in sixty lines, reads its guest's memory and interrupts the guest, by VFIO and KVM", () => {
  expect(interruptedByItsDevice()).toEqual({ sum: 450, handled: 1 });
  expect(interruptedByItsDevice("a device")).toEqual({ sum: 753, handled: 1 });
  expect(readFileSync(join(root, "examples/own-device.ts"), "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(60);
});

it("the TypeScript of examples/ is typed by the library's own declarations", () => {
  const { status, stdout } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "examples")], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, ""]);
}, 60_000);
