import { describe, expect, it } from "vitest";
import type { MechanismName } from "../board/assign.js";
import type { Board } from "../board/board.js";
import { builtinBoard } from "../board/builtin.js";
import { d05 } from "../board/builtin/d05.js";
import { flatten } from "../board/fdt.fixture.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import { addPciFunction } from "../board/pci.js";
import { readBoard } from "../board/read-board.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { compare, runOne } from "./compare.js";
import type { DeliveryRequest } from "./request.js";
import type { Comparison, MechanismResult } from "./result.js";
import { TraceBuffer } from "../sim/event.js";

const ALL: readonly MechanismName[] = ["userspace", "irqfd"];

function boardD05(): Board {
  const board = builtinBoard("d05", { assumeIommu: true });
  if (board === undefined) throw new Error("no board");
  return board;
}

function request(board: Board, name: string, irqs: readonly number[], workload: object = {}, mechanisms = ALL): DeliveryRequest {
  const device = findDevice(board, name);
  const interrupts = irqs.map((index) => findInterrupt(device, index));
  return { board, device, interrupts, workload: workloadSchema.parse({ interrupts: 200, ...workload }), profile: COST_PROFILES[0], mechanisms };
}

function by(all: Comparison, mechanism: MechanismName): MechanismResult {
  const found = all.mechanisms.find((each) => each.mechanism === mechanism);
  if (found === undefined) throw new Error(`${mechanism} is missing`);
  return found;
}

/** A D05 with a second host bridge of the same buses, whose msi-map leads to another ITS. */
function twoSegments(): Board {
  const board = boardD05();
  const target = board.controllers.filter((each) => each.kind === "its")[5].path;
  const [bridge] = board.pciHosts;
  const entries = bridge.msi?.entries.map((entry) => ({ ...entry, target })) ?? [];
  return { ...board, pciHosts: [bridge, { ...bridge, path: "/soc/pcie@2", segment: 1, msi: { mask: 0xffff, entries } }] };
}

describe("two PCI segments with the same buses", () => {
  it("functions with one requester id are two devices, and each delivers", () => {
    const both = ["0000:f8:00.0", "0001:f8:00.0"].reduce((known, bdf) => addPciFunction(known, { bdf, msiVectors: 2 }), twoSegments());
    for (const name of ["0000:f8:00.0", "0001:f8:00.0"])
      expect(compare(request(both, name, [0, 1], { interrupts: 6 }, ["irqfd", "direct"])).mechanisms).toMatchObject([{ delivered: 6, lost: 0, hostInterrupts: 6 }, { delivered: 6, lost: 0, hostInterrupts: 0 }]);
  });

  it("which is meant has to be said", () => {
    const board = twoSegments();
    const both = ["0000:f8:00.0", "0001:f8:00.0"].reduce((known, bdf) => addPciFunction(known, { bdf }), board);
    expect(() => findDevice(both, "f8:00.0")).toThrow(/has no device "f8:00.0"/);
    expect(() => addPciFunction(board, { bdf: "f8:00.0" })).toThrow(/several host bridges of d05 take this bus; write the segment before it, or give "host" as one of .*segment 0001/);
    expect(() => addPciFunction(board, { bdf: "0002:f8:00.0" })).toThrow(/no host bridge of d05 takes this bus/);
  });
});

describe("messages of a PCI function on a board with ITSs", () => {
  it("are LPIs on the host and in the guest: one exit each, and in user space a wake-up and KVM_SIGNAL_MSI", () => {
    const result = compare(request(boardD05(), "f9:10.0", [0]));
    expect(by(result, "irqfd")).toMatchObject({ raised: 200, delivered: 200, lost: 0, spurious: 0, hostInterrupts: 200, exitsByReason: { IRQ: 1 }, ioctlsPerInterrupt: 0, wakeupsPerInterrupt: 0 });
    expect(by(result, "userspace")).toMatchObject({ delivered: 200, lost: 0, ioctlsPerInterrupt: 1, wakeupsPerInterrupt: 1 });
    const latency = (mechanism: MechanismName): number => by(result, mechanism).latencyNs?.p50 ?? 0;
    expect(latency("irqfd")).toBeLessThan(latency("userspace"));
  });

  it("each vector is an LPI of its own, as many as the function has", () => {
    const irqs = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    for (const mechanism of ALL) expect(by(compare(request(boardD05(), "fa:00.0", irqs, { wait: "wfi" }, [mechanism])), mechanism)).toMatchObject({ irqs, delivered: 200, lost: 0 });
  });

  it("the guest acknowledges LPIs from 8192 on, which its driver has mapped by commands", () => {
    const trace = new TraceBuffer();
    runOne(request(boardD05(), "f9:10.0", [0, 2], { interrupts: 4 }, ["irqfd"]), trace);
    expect(trace.lines("guest_ack").map((line) => line.split(",")[1]).sort()).toEqual(["8192)", "8192)", "8193)", "8193)"]);
  });

  it("a tree that lists no function takes what the person puts on it, by its host bridge's msi-map", () => {
    const read = readBoard(flatten(d05), "hip07", { assumeIommu: true });
    const board = addPciFunction(read, { bdf: "f9:10.0", vendor: 0x8086, device: 0x1520, msiVectors: 3 });
    expect(findDevice(board, "f9:10.0").msiParents).toEqual([{ controller: "/interrupt-controller@4d000000/msi-controller@c6000000", deviceId: 0xf980 }]);
    expect(by(compare(request(board, "f9:10.0", [2])), "irqfd")).toMatchObject({ delivered: 200, lost: 0 });
  });

  it("a device id other than the requester id is the one that the msi-map gives", () => {
    const original = boardD05();
    const [host] = original.pciHosts;
    const [entry] = host.msi?.entries ?? [];
    const moved: Board = { ...original, pciHosts: [{ ...host, msi: { mask: 0xffff, entries: [{ ...entry, output: 0x1000 }] } }] };
    const board = addPciFunction(moved, { bdf: "fb:00.0", msiVectors: 1 });
    expect(findDevice(board, "fb:00.0").msiParents[0].deviceId).toBe(0x1300);
    expect(by(compare(request(board, "fb:00.0", [0])), "irqfd")).toMatchObject({ delivered: 200, lost: 0 });
  });
});

describe("wired pins behind an mbigen, which are LPIs of the host and SPIs of the guest", () => {
  const CRYPTO = "/soc/crypto@d2000000";
  const pins = (workload: object = {}): Comparison => compare(request(boardD05(), CRYPTO, [0, 1], workload, ["userspace", "userspace+eoi", "irqfd", "irqfd+resample", "forward"]));

  it("level: three messages by the lazy mask, of which the last is a spurious interrupt of the guest (host-irq.md 2.8, K30)", () => {
    for (const mechanism of ["userspace+eoi", "irqfd+resample"] as const)
      expect(by(pins(), mechanism)).toMatchObject({ irqs: [0], raised: 200, delivered: 200, lost: 0, spurious: 200, hostInterrupts: 600, eventfdSignalsPerInterrupt: 2, hostMasksPerInterrupt: 1, hostUnmasksPerInterrupt: 1 });
  });

  it("edge: one message and one exit each", () => {
    expect(by(pins(), "irqfd")).toMatchObject({ irqs: [1], delivered: 200, lost: 0, spurious: 0, hostInterrupts: 200, exitsByReason: { IRQ: 1 }, hostMasksPerInterrupt: 0 });
  });

  it("neither is forwarded nor injected directly", () => {
    const all = compare(request(boardD05(), CRYPTO, [0], {}, ["irqfd+resample", "forward", "direct"]));
    expect(by(all, "forward").why).toContain("only shared interrupts of the primary GIC are forwarded");
    expect(by(all, "direct").why).toBe("only a message of a PCI function to an ITS is injected directly");
  });

  it("a PCI function's INTx that the interrupt-map leads to a pin is served like any", () => {
    const board = addPciFunction(boardD05(), { bdf: "f8:00.0", intxPin: 1 });
    expect(by(compare(request(board, "f8:00.0", [0], {}, ["irqfd+resample"])), "irqfd+resample")).toMatchObject({ delivered: 200, lost: 0 });
  });
});
