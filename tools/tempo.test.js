// The two tempos side by side: the same source, run to completion, does the same things in the same order.
import { describe, expect, it } from "vitest";

async function library(tempo) {
  const from = (name) => import(new URL(`../dist/${tempo}/${name}.js`, import.meta.url).href);
  const modules = await Promise.all(
    ["sim/step", "sim/event", "delivery/compare", "scenario/profiles", "scenario/scenario", "board/builtin", "board/find-device", "trace/text"].map(from),
  );
  return Object.assign({}, ...modules);
}

const straight = await library("straight");
const stepped = await library("stepped");

function trace(lib, mechanism, workload, [name, path] = ["overdrive", "/smb/xgmac@e0700000"]) {
  const board = lib.builtinBoard(name, { assumeIommu: true });
  const device = lib.findDevice(board, path);
  const recorder = new lib.TraceBuffer();
  const request = {
    board,
    device,
    interrupts: [0, 1].map((index) => lib.findInterrupt(device, index)),
    workload: lib.workloadSchema.parse(workload),
    profile: lib.COST_PROFILES[0],
    mechanisms: [mechanism],
  };
  const result = lib.runOne(request, recorder);
  return { text: lib.traceText(recorder.events), result };
}

describe.each(["userspace", "userspace+eoi", "irqfd", "irqfd+resample", "forward"])("%s", (mechanism) => {
  it.each([
    ["one interrupt at a time", { interrupts: 20 }],
    ["bursts, three vCPUs in WFI", { interrupts: 60, burst: 3, ratePerSecond: 300_000, vcpus: 3, wait: "wfi" }],
  ])("the straight trace equals the stepped one under run-to-completion: %s", (_what, workload) => {
    const one = trace(straight, mechanism, workload);
    const other = trace(stepped, mechanism, workload);
    expect(one.text.length).toBeGreaterThan(1000);
    expect(other.text).toBe(one.text);
    expect(other.result).toEqual(one.result);
  });
});

it("the tempos are what they say", () => {
  expect(straight.STRAIGHT).toBe(true);
  expect(stepped.STRAIGHT).toBe(false);
});

const PC = ["pc", "/pci/01:00.0"];
describe.each(["userspace", "irqfd", "irqfd+resample", "split", "posted"])("%s on a PC", (mechanism) => {
  it.each([
    ["one interrupt at a time, EOI by MSR", { interrupts: 20, eoi: "x2apic" }],
    ["bursts, the paravirtual EOI, HLT", { interrupts: 60, burst: 3, ratePerSecond: 300_000, wait: "hlt", eoi: "pv" }],
  ])("the straight trace equals the stepped one under run-to-completion: %s", (_what, workload) => {
    const one = trace(straight, mechanism, workload, PC);
    const other = trace(stepped, mechanism, workload, PC);
    expect(one.text).toBe(other.text);
    expect(one.result).toEqual(other.result);
    expect(one.text.length).toBeGreaterThan(1000);
  });
});
