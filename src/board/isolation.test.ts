import { describe, expect, it } from "vitest";
import type { Board } from "./board.js";
import { builtinBoard } from "./builtin.js";
import { findDevice } from "./find-device.js";
import { type RealBoard, realBoardsHere, realBytes, WHY_SKIPPED } from "./fdt.fixture.js";
import { isolationOf } from "./isolation.js";
import { addPciFunction, type PciFunctionRequest } from "./pci.js";
import { readBoard } from "./read-board.js";
import { resetOf } from "./reset.js";

// What of a group an owner may trust (vfio.md 20.1), and how a device is given back (12.2, 12.5, 16).

function builtin(name: string): Board {
  const board = builtinBoard(name);
  if (board === undefined) throw new Error(name);
  return board;
}

/** Of the function's group on the board. */
function isolated(board: Board, request: PciFunctionRequest): boolean {
  const { device, on } = plugged(board, request);
  if (device.group === null) throw new Error(`${device.path}: ${device.whyNoGroup}`);
  return isolationOf(on, on.groups[device.group]).isIsolated;
}

function plugged(board: Board, request: PciFunctionRequest): { on: Board; device: ReturnType<typeof findDevice> } {
  const on = addPciFunction(board, request);
  return { on, device: findDevice(on, request.bdf) };
}

describe("isolation of a group", () => {
  it("an ITS and an IOMMU that remaps know who writes a message; a v2m frame does not", () => {
    expect(isolated(builtin("virt"), { bdf: "00:01.0", msiVectors: 1 })).toBe(true);
    expect(isolated(builtin("pc"), { bdf: "02:00.0", msiVectors: 1 })).toBe(true);
    expect(isolated(builtin("overdrive"), { bdf: "01:00.0", msiVectors: 1 })).toBe(false);
  });

  it("one member that nobody vouches for takes the whole group with it", () => {
    const overdrive = builtin("overdrive");
    const [group] = overdrive.groups;
    expect(isolationOf(overdrive, group)).toEqual({ isIsolated: false, why: expect.stringMatching(/no controller of messages vouches/) });
    const virt = addPciFunction(builtin("virt"), { bdf: "00:01.0", msiVectors: 1 });
    const mixed: Board = { ...virt, groups: [{ ...virt.groups[0], members: ["/pcie@10000000/00:01.0", "/virtio_mmio@a000000"] }] };
    expect(isolationOf(mixed, mixed.groups[0]).isIsolated).toBe(false);
  });

  it.skipIf(!realBoardsHere)(`on real boards: behind ITSs isolated, behind v2m frames not${WHY_SKIPPED}`, () => {
    const real = (name: RealBoard): Board => readBoard(realBytes(name), name);
    expect(isolated(real("arm-fvp-base-revc"), { bdf: "01:00.0", msiVectors: 1 })).toBe(true);
    expect(isolated(real("qemu-virt-gicv3-its-smmuv3"), { bdf: "00:01.0", msiVectors: 1 })).toBe(true);
    expect(isolated(real("arm-juno-r2"), { bdf: "01:00.0", msiVectors: 1 })).toBe(false);
    expect(isolated(real("amd-overdrive-rev-b1"), { bdf: "01:00.0", msiVectors: 1 })).toBe(false);
  });
});

describe("resets", () => {
  it("a platform device is reset by vfio-platform's module for it, an AMBA device not at all", () => {
    const midway = builtin("midway");
    expect(resetOf(midway, findDevice(midway, "/soc/ethernet@fff50000"))).toEqual({ by: "driver", how: "vfio-platform has a reset for calxeda,hb-xgmac", hotReset: null });
    expect(resetOf(midway, findDevice(midway, "/soc/sata@ffe08000")).by).toBe("none");
    expect(resetOf(midway, findDevice(midway, "/soc/serial@fff36000")).how).toMatch(/vfio-amba knows no reset/);
  });

  it("a PCI function has its own, and its bus's unless that is a root bus; the bus takes its neighbours", () => {
    const one = plugged(builtin("pc"), { bdf: "01:00.1" });
    expect(resetOf(one.on, one.device)).toEqual({ by: "function", how: expect.stringMatching(/takes \/pci\/01:00.0 along$/), hotReset: ["/pci/01:00.0", "/pci/01:00.1"] });
    expect(resetOf(one.on, findDevice(one.on, "00:03.0"))).toMatchObject({ by: "function", hotReset: null });
  });
});
