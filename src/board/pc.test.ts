import { describe, expect, it } from "vitest";
import { mechanismsFor, mechanismsOf, whyNot } from "./assign.js";
import { builtinBoard } from "./builtin.js";
import { findDevice, findInterrupt } from "./find-device.js";
import { addPciFunction } from "./pci.js";

const found = builtinBoard("pc");
if (found === undefined) throw new Error("no board pc");
const board = found;
const fits = (device: string, irq: number): string[] => {
  const function_ = findDevice(board, device);
  return mechanismsFor(board, function_, findInterrupt(function_, irq)).flatMap((each) => (each.applicable ? [each.mechanism] : []));
};

describe("the built-in PC", () => {
  it("has two nodes of eight CPUs, whose APIC ids begin anew at each package", () => {
    expect(board.cpus.map((cpu) => cpu.numaNode)).toEqual([...Array<number>(8).fill(0), ...Array<number>(8).fill(1)]);
    expect(board.cpus.map((cpu) => cpu.hwId)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
  });

  it("turns a pin by its slot, once more behind a bridge", () => {
    const gsis = ["00:03.0", "01:00.0"].map((bdf) => findInterrupt(findDevice(board, bdf), 0).number);
    expect(gsis).toEqual([20 + ((3 + 0) & 3), 20 + ((0x1c + 0) & 3)]);
    const more = addPciFunction(board, { bdf: "00:05.0", intxPin: 2 });
    expect(findInterrupt(findDevice(more, "00:05.0"), 0).number).toBe(20 + ((5 + 1) & 3));
  });

  it("each function has a group of its own, assigned by vfio-pci", () => {
    expect(board.groups.map((group) => [group.iommu, group.members])).toEqual([
      ["/dmar@fed90000", ["/pci/00:03.0"]],
      ["/dmar@fed90000", ["/pci/01:00.0"]],
    ]);
  });

  it("a level pin is resampled or ended in user space, a message is never", () => {
    expect(fits("00:03.0", 0)).toEqual(["userspace", "irqfd+resample", "split"]);
    expect(fits("01:00.0", 1)).toEqual(["userspace", "irqfd", "posted"]);
  });

  it("only an IOMMU that posts lets messages be posted", () => {
    const without = { ...board, iommus: board.iommus.map((iommu) => ({ ...iommu, messages: "remapped" as const })) };
    const nvme = findDevice(without, "01:00.0");
    expect(whyNot(without, nvme, findInterrupt(nvme, 1), "posted")).toMatch(/no IOMMU/);
  });

  it("mechanisms are its architecture's; another's is refused with that", () => {
    expect(mechanismsOf(board)).toEqual(["userspace", "irqfd", "irqfd+resample", "split", "posted"]);
    const nvme = findDevice(board, "01:00.0");
    expect(whyNot(board, nvme, findInterrupt(nvme, 0), "forward")).toMatch(/of Arm/);
    const virt = builtinBoard("virt");
    if (virt === undefined) throw new Error("no board virt");
    expect(mechanismsOf(virt)).not.toContain("posted");
  });
});
