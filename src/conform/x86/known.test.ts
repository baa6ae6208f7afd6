import { describe, expect, it } from "vitest";
import { answerDifferences } from "./compare.js";
import type { DiffStep } from "./diff.js";
import { explanationOf, isSwitch, KNOWN_DIFFERENCES, told, withoutFields } from "./known.js";
import type { X86Answer, X86Call } from "./vector.js";

const step = (call: X86Call, model: X86Answer, kernel: X86Answer): DiffStep => ({ call, model, kernel, differences: answerDifferences(kernel, model) });
const guest = (args: Extract<X86Call, { op: "guest" }>["args"]): X86Call => ({ op: "guest", args });
const ok: X86Answer = { ret: 0 };
const value = (of: number): X86Answer => ({ ret: 0, value: of });
const GP: X86Answer = { ret: 0, events: [{ type: "intr", vector: 13 }] };
const NO_CODE: X86Answer = { ret: 0, events: [{ type: "internalError", suberror: 1 }] };
const took = (vector: number): X86Answer => ({ ret: 0, events: [{ type: "intr", vector }] });
const lapic = (state: object): X86Answer => ({ ret: 0, state: state as X86Answer["state"] });
const overwritten = step(guest({ do: "mmioWrite32", addr: 0x100, value: 0 }), ok, ok);

/** What each entry is for, and beside it what it must not excuse. */
const CASES: readonly (readonly [name: string, step: DiffStep, other: DiffStep, before?: readonly DiffStep[]])[] = [
  ["capabilities of the build", step({ op: "checkExtension", args: { cap: "XEN_HVM" } }, { ret: 0 }, { ret: 127 }), step({ op: "checkExtension", args: { cap: "IRQFD" } }, { ret: 0 }, { ret: 1 })],
  ["other parts of KVM", step({ op: "checkExtension", args: { cap: 201 } }, { ret: 0 }, { ret: 4096 }), step({ op: "checkExtension", args: { cap: "SPLIT_IRQCHIP" } }, { ret: 0 }, { ret: 1 })],
  ["capabilities of the build", step({ op: "checkExtension", args: { cap: "HYPERV_SYNIC" } }, { ret: 0 }, { ret: 1 }), step({ op: "checkExtension", args: { cap: "HYPERV_SYNIC" } }, { ret: 0 }, { ret: 2 })],
  ["other parts of KVM", step({ op: "checkExtension", args: { cap: 201 } }, { ret: 0 }, { ret: 1 }), step({ op: "checkExtension", args: { cap: 32 } }, { ret: 0 }, { ret: 1 })],
  ["VM types", step({ op: "createVm", args: { type: 1 } }, { errno: "EINVAL" }, { ret: "fd" }), step({ op: "createVm", args: {} }, { errno: "EINVAL" }, { ret: "fd" })],
  ["a guest without code", step(guest({ do: "nop" }), NO_CODE, GP), step(guest({ do: "nop" }), ok, GP)],
  ["a guest without code", step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "pioOut", port: 0, size: 2, value: 24 }, { type: "intr", vector: 6 }] }), step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "intr", vector: 0x41 }] })],
  ["a guest without code", step(guest({ do: "mmioRead32", addr: 0x1_0000 }), NO_CODE, { ...GP, value: 0 }), step(guest({ do: "nop" }), NO_CODE, ok)],
  ["a guest without code", step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "blocked", mpState: "halted" }] }), step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "blocked", mpState: "initReceived" }] })],
  ["a guest without code", step(guest({ do: "nop" }), NO_CODE, GP), step(guest({ do: "nop" }), { ret: 0 }, NO_CODE)],
  ["the guest's own code and stack", step(guest({ do: "mmioRead32", addr: 0x3000 }), value(1), value(2)), step(guest({ do: "mmioRead32", addr: 0x1_0000 }), value(1), value(2))],
  ["the guest's own code and stack", step(guest({ do: "mmioRead32", addr: 0xffff_fffe }), value(1), value(2)), step(guest({ do: "nop" }), ok, GP), [overwritten]],
  ["an interrupt vector that the guest overwrote", step(guest({ do: "sti" }), took(0x40), { ret: 0, events: [{ type: "internalError", suberror: 1 }] }), step(guest({ do: "sti" }), took(0x41), GP), [overwritten]],
  ["the refresh clock of port 0x61", step(guest({ do: "in8", port: 0x43 }), value(0), value(16)), step(guest({ do: "in8", port: 0x21 }), value(0), value(16)), [step(guest({ do: "in8", port: 0x61 }), value(0), value(16))]],
  ["a guest without code", step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "pioOut", port: 0, size: 2, value: 0 }, { type: "internalError", suberror: 1 }] }), step(guest({ do: "nop" }), NO_CODE, { ret: 0, events: [{ type: "pioOut", port: 5, size: 2, value: 0 }, { type: "internalError", suberror: 1 }] })],
  ["the refresh clock of port 0x61", step(guest({ do: "in8", port: 0x61 }), value(0x21), value(0x31)), step(guest({ do: "in8", port: 0x61 }), value(0x21), value(0x11))],
  ["what is no register of a local APIC", step(guest({ do: "mmioRead32", addr: 0xfee0_00c0 }), value(0), value(7)), step(guest({ do: "mmioRead32", addr: 0xfee0_0080 }), value(0), value(7))],
  [
    "a timer's expiry that waited while its entry was masked",
    step(guest({ do: "mmioWrite32", addr: 0xfee0_0320, value: 0x41 }), { ret: 0, events: [{ type: "intr", vector: 0x41 }] }, ok),
    step(guest({ do: "mmioWrite32", addr: 0xfee0_0380, value: 1 }), { ret: 0, events: [{ type: "intr", vector: 0x41 }] }, ok),
  ],
  ["the time stamp counter", step(guest({ do: "rdmsr", addr: 0x10 }), value(1), value(2)), step(guest({ do: "rdmsr", addr: 0x6e0 }), value(1), value(2))],
  ["registers that have nothing to do with interrupts", step(guest({ do: "rdmsr", addr: 0x277 }), GP, value(2)), step(guest({ do: "rdmsr", addr: 0x802 }), GP, value(2))],
];

const FIELDS: readonly (readonly [name: string, step: DiffStep, left: string[]])[] = [
  ["the PPR as it is stored", step({ op: "getLapic", args: {} }, lapic({ pprLazy: 1, tpr: 2 }), lapic({ pprLazy: 0, tpr: 3 })), ["state.tpr"]],
  ["the PPR as it is stored", step({ op: "getLapic", args: {} }, lapic({ pprLazy: 1 }), lapic({ pprLazy: 0 })), []],
];

describe("a declared difference", () => {
  it.each(CASES.map(([name, explained, other, before = []]) => ({ name, explained, other, before })))("$name: explains what it is for, and nothing beside it", ({ name, explained, other, before }) => {
    expect(explanationOf(explained.call, explained, before)?.name).toBe(name);
    expect(explanationOf(other.call, other, before)).toBeNull();
  });

  it("has a case here, and says where, why and what the model does", () => {
    const answers = KNOWN_DIFFERENCES.filter((known) => !isSwitch(known)).map(({ name }) => name);
    expect([...answers].sort()).toEqual([...new Set([...CASES, ...FIELDS].map(([name]) => name))].sort());
    expect(new Set(KNOWN_DIFFERENCES.map(({ name }) => name)).size).toBe(KNOWN_DIFFERENCES.length);
    for (const { where, reason, model } of KNOWN_DIFFERENCES) expect([where, reason, model].every((text) => text.length > 4)).toBe(true);
  });

  it.each(FIELDS)("%s: is taken out of a step, and what else differs stays", (name, differing, left) => {
    const { met, left: rest } = withoutFields(differing);
    expect([met.map((known) => known.name), rest.map(({ path }) => path)]).toEqual([[name], left]);
  });

  it("with a switch and no probe says why nobody is asked", () => {
    for (const known of KNOWN_DIFFERENCES) if (isSwitch(known) && known.probe === undefined) expect(told(known)).toMatch(/^not asked: .{20,}; it explains nothing$/);
  });
});
