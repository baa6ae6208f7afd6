import { describe, expect, it } from "vitest";
import type { Board } from "../../board/board.js";
import { builtinBoard } from "../../board/builtin.js";
import { findDevice } from "../../board/find-device.js";
import { addPciFunction } from "../../board/pci.js";
import { COST_PROFILES } from "../../scenario/profiles.js";
import { workloadSchema } from "../../scenario/scenario.js";
import { compareBackends } from "./compare.js";
import { BACKENDS, backendComparisonSchema, type BackendName, type BackendResult } from "./result.js";
import { backendText } from "./table.js";

// The same guest over each device backend (vfio.md 8, 10, 16, 21): what differs in masking and in EOI.

const [profile] = COST_PROFILES;
const INTERRUPTS = 50;

function builtin(name: string): Board {
  const board = builtinBoard(name);
  if (board === undefined) throw new Error(name);
  return board;
}

const overdrive = addPciFunction(builtin("overdrive"), { bdf: "01:00.0", under: "00:02.1", intxPin: 1, msiVectors: 1 });

function compared(board: Board, backends: readonly BackendName[] = BACKENDS, more: object = {}, device: string | null = null): BackendResult[] {
  const workload = workloadSchema.parse({ interrupts: INTERRUPTS, ...more });
  const comparison = compareBackends({ board, device: device === null ? null : findDevice(board, device), workload, profile, backends });
  expect(backendComparisonSchema.parse(comparison)).toEqual(comparison);
  return comparison.backends;
}

const N = INTERRUPTS;
const brief = (r: BackendResult): unknown[] => [r.backend, r.signal, r.hostHandlers, r.lineMasks, r.pinMasks, r.resamplefdSignalsPerInterrupt, r.eventfdSignalsPerInterrupt, r.upcalls, r.guestEnds];

describe("the same guest over each device backend", () => {
  it("every condition is delivered; the line is masked at the controller, the pin in the function, nothing on Xen", () => {
    const results = compared(overdrive);
    for (const each of results) expect([each.backend, each.signal, each.raised, each.delivered, each.coalesced, each.lost]).toEqual([each.backend, each.signal, N, N, 0, 0]);
    expect(results.map(brief)).toEqual([
      ["platform", "level line", N, N, 0, 1, 1, 0, 0],
      ["platform", "edge line", N, 0, 0, 0, 1, 0, 0],
      ["pci", "level line", N, 0, N, 1, 1, 0, 0],
      ["pci", "message", N, 0, 0, 0, 1, 0, 0],
      ["xen", "level line", 0, 0, 0, 0, 0, N, N],
      ["xen", "message", 0, 0, 0, 0, 0, N, 0],
      ["xen", "message", 0, 0, 0, 0, 0, N, 0],
    ]);
    expect(results.map((each) => [each.maskedBy, each.endedBy])).toEqual([
      ["host's controller", "resamplefd"],
      ["nobody", "nobody has to"],
      ["DisINTx", "resamplefd"],
      ["nobody", "nobody has to"],
      ["nobody", "the guest"],
      ["nobody", "nobody has to"],
      ["nobody", "nobody has to"],
    ]);
  });

  it("latency by hop as far as figures are published: by an eventfd through the host, and none of Xen's way, whose guest is told without it", () => {
    const results = compared(overdrive);
    for (const each of results) {
      const isHosts = each.notification === "eventfd";
      expect([each.backend, each.latencyNs !== null, each.eoiToUnmaskNs !== null]).toEqual([each.backend, isHosts, isHosts && each.signal === "level line"]);
    }
    const [level] = results;
    expect(level.latencyNs?.p50).toBeGreaterThan(level.eoiToUnmaskNs?.p50 ?? Infinity);
  });

  it("a DMA that the owner has not mapped is told of, on every backend, and in one line", () => {
    for (const each of compared(overdrive, BACKENDS, { dmaAddress: 0x10 })) expect(each.dmaFaults).toEqual({ count: N, first: { iova: 0x10, write: true, reason: "F_TRANSLATION" } });
    for (const each of compared(overdrive, BACKENDS, { dmaAddress: 0x4000_0000 })) expect(each.dmaFaults).toBeNull();
    const workload = workloadSchema.parse({ interrupts: 5, dmaAddress: 0x10 });
    const text = backendText(compareBackends({ board: overdrive, device: null, workload, profile, backends: ["xen"] }));
    expect(text).toMatch(/^xen \(level line\), xen \(message\): 5 DMA faults, the first a write at 0x10 \(F_TRANSLATION\)\.$/m);
    expect(text).toMatch(/^Latency n\/a: no published figure for any step of the way/m);
  });

  it("what the user may ask of a mask is what the index says: 8.6, 10.2, 16.3, 21.4", () => {
    const results = compared(overdrive);
    expect(results.map((each) => [each.irqInfo.join(" "), each.mask, each.heldByMask, each.unmaskEventfd])).toEqual([
      ["EVENTFD MASKABLE AUTOMASKED", "0", true, "0"],
      ["EVENTFD", "EINVAL", null, "EINVAL"],
      ["EVENTFD MASKABLE AUTOMASKED", "0", true, "0"],
      ["EVENTFD NORESIZE", "ENOTTY", null, "ENOTTY"],
      ["NOTIFY_EVTCHN", "0", true, "ENOTTY"],
      ["NORESIZE NOTIFY_EVTCHN NOTIFY_GUEST_MSI", "0", true, "ENOTTY"],
      ["NORESIZE NOTIFY_EVTCHN NOTIFY_GUEST_MSI", "ENOTTY", null, "ENOTTY"],
    ]);
  });

  it("acknowledges and handler runs that find nothing are counted: a wire that an MBIGEN turns into messages is told twice", () => {
    const [level, edge] = compared(builtin("d05"), ["platform"]);
    expect([level.hostHandlers, level.spurious, edge.hostHandlers, edge.spurious]).toEqual([2 * N, N, N, 0]);
    for (const each of compared(overdrive)) expect([each.backend, each.spurious]).toEqual([each.backend, 0]);
  });

  it("conditions raised together are delivered or coalesced, never lost", () => {
    for (const each of compared(overdrive, BACKENDS, { burst: 5 })) expect([(each.delivered ?? 0) + (each.coalesced ?? 0), each.lost]).toEqual([N, 0]);
  });

  it("a board without such a device keeps the column, and says why", () => {
    const [level, edge] = compared(builtin("pc"), ["platform"]);
    expect([level.applicable, level.why, edge.why]).toEqual([false, "the board has no platform device", "the board has no platform device"]);
    const [pci] = compared(builtin("midway"), ["pci"]);
    const pseries = compared(builtin("pseries"));
    expect(pseries.map((each) => [each.backend, each.delivered, each.lost])).toEqual([["platform", null, null], ["platform", null, null], ["pci", N, 0], ["pci", N, 0], ["xen", null, null], ["xen", null, null], ["xen", null, null]]);
    expect(pseries.slice(4).map((each) => each.why)).toEqual(["there is no Xen for Power", "there is no Xen for Power", "there is no Xen for Power"]);
    expect(pci.why).toBe("the board lists no PCI function: put one on it with --pci");
    expect(compared(builtin("pc"), ["pci", "xen"]).map((each) => [each.delivered, each.hostHandlers])).toEqual([[N, N], [N, N], [N, 0], [N, 0], [N, 0]]);
  });

  it("a device that is named is the one of its bus", () => {
    const [level] = compared(overdrive, ["platform"], {}, "/smb/xgmac@e0900000");
    expect(level.device).toBe("/smb/xgmac@e0900000");
    const [serial] = compared(overdrive, ["platform"], {}, "/smb/serial@e1010000");
    expect(serial.why).toBe("/smb/serial@e1010000: the tree names no IOMMU for it");
  });

  it("as text, a column each and what does not fit below", () => {
    const board = builtin("pc");
    const text = backendText(compareBackends({ board, device: null, workload: workloadSchema.parse({ interrupts: 5 }), profile, backends: BACKENDS }));
    expect(text).toMatch(/^pc: the same guest over each device backend; 5 conditions/);
    expect(text).toMatch(/^masked until served by +DisINTx +nobody +nobody +nobody +nobody$/m);
    expect(text).toMatch(/^opened again by +resamplefd +nobody has to +the guest +nobody has to +nobody has to$/m);
    expect(text).toMatch(/^platform, level line, does not fit: the board has no platform device$/m);
  });
});
