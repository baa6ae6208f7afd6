import { expect, it } from "vitest";
import type { TraceEvent } from "../sim/event.js";
import { traceChrome } from "./chrome.js";
import { traceText } from "./text.js";

const events: TraceEvent[] = [
  { id: 1, cause: 0, timeNs: 100, cpu: 0, context: "xgmac", name: "device_raise", args: ["xgmac", 0, 1] },
  { id: 2, cause: 1, timeNs: 150, cpu: 1, context: "cpu1", name: "host_ack", args: [1, 109] },
  { id: 3, cause: 2, timeNs: 180, cpu: 1, context: "cpu1", name: "host_eoi", args: [1, 109] },
];

it("the text form has one line per event with its cause, time, context and named arguments", () => {
  expect(traceText(events).split("\n")).toEqual([
    "     1 <0             100 ns  cpu0 xgmac            device_raise device=xgmac index=0 level=1",
    "     2 <1             150 ns  cpu1 cpu1             host_ack cpu=1 intid=109",
    "     3 <2             180 ns  cpu1 cpu1             host_eoi cpu=1 intid=109",
    "",
  ]);
});

it("addresses and register values are in hexadecimal, and unsigned", () => {
  const access: TraceEvent = { id: 1, cause: 0, timeNs: 0, cpu: 0, context: "vcpu0", name: "guest_mmio", args: [0, 0xfee000b0, 1] };
  const write: TraceEvent = { id: 2, cause: 1, timeNs: 0, cpu: 0, context: "vcpu0", name: "kvm_apic", args: [0, "EOI", 0, 1] };
  const message: TraceEvent = { id: 3, cause: 2, timeNs: 0, cpu: 0, context: "vcpu0", name: "kvm_msi_set_irq", args: [0xfee00000 | 0, 0x8041] };
  const shown = traceText([access, write, message]).split("\n").map((line) => line.replace(/^.*vcpu0 +/, ""));
  expect(shown).toEqual(["guest_mmio vcpu=0 address=0xfee000b0 write=1", "kvm_apic vcpu=0 register=EOI value=0 write=1", "kvm_msi_set_irq address=0xfee00000 data=0x8041", ""]);
});

it("the Chrome form has a slice per event and an arrow for each cause in another context", () => {
  const { traceEvents } = traceChrome(events);
  const slices = traceEvents.filter((event) => event.ph === "X");
  expect(slices.map((slice) => [slice.name, slice.ts, slice.dur])).toEqual([
    ["device_raise", 0.1, 0.001],
    ["host_ack", 0.15, expect.closeTo(0.03)],
    ["host_eoi", 0.18, 0.001],
  ]);
  expect(traceEvents.filter((event) => event.ph === "s" || event.ph === "f").map((event) => [event.ph, event.pid, event.id])).toEqual([
    ["s", 0, 2],
    ["f", 1, 2],
  ]);
});
