import { describe, expect, it } from "vitest";
import { assignmentOf, mechanismsFor, primaryGic } from "./assign.js";
import { type Board } from "./board.js";
import { builtinBoard } from "./builtin.js";
import { labelled, node, type NodeSource, ref, spi, treeOf } from "./builtin/source.js";
import { findDevice, findInterrupt } from "./find-device.js";
import { addPciFunction } from "./pci.js";
import { describe as describeTree } from "./read-board.js";

function builtin(name: string, assumeIommu = false): Board {
  const board = builtinBoard(name, { assumeIommu });
  if (!board) throw new Error(name);
  return board;
}

function served(board: Board, path: string, irq: number): string[] {
  const device = findDevice(board, path);
  return mechanismsFor(board, device, findInterrupt(device, irq)).filter((each) => each.applicable).map((each) => each.mechanism);
}

function whyNot(board: Board, path: string, irq: number, mechanism: string): string | null | undefined {
  const device = findDevice(board, path);
  return mechanismsFor(board, device, findInterrupt(device, irq)).find((each) => each.mechanism === mechanism)?.why;
}

const LEVEL = ["userspace", "userspace+eoi", "irqfd+resample", "forward"];

/** vfio.md 20.1: what the kernel says of a device that has no controller of messages. */
const UNVOUCHED = "no controller of messages vouches for it, which the kernel takes for unsafe: load vfio_iommu_type1 with allow_unsafe_interrupts=1";

const COHERENT = { "dma-coherent": true } as const;

/** A GICv2 with an SMMU in front of one device, to vary. */
function small(device: NodeSource["properties"], gic: NodeSource["properties"] = {}, smmu: NodeSource["properties"] = COHERENT, more: NodeSource[] = []): Board {
  const frames = [0x1000, 0x1000, 0x2000, 0x2000, 0x4000, 0x2000, 0x6000, 0x2000];
  const root = node("", { "#address-cells": [1], "#size-cells": [1], "interrupt-parent": [ref("gic")] }, [
    labelled("gic", node("gic", { compatible: "arm,gic-400", "interrupt-controller": true, "#interrupt-cells": [3], reg: frames, ...gic })),
    labelled("smmu", node("smmu", { compatible: "arm,mmu-401", "#iommu-cells": [1], reg: [0x9000, 0x1000], ...smmu })),
    node("dev", { compatible: "calxeda,hb-xgmac", reg: [0xa000, 0x1000], interrupts: spi(5), iommus: [ref("smmu"), 1], ...device }),
    ...more,
  ]);
  return describeTree(treeOf(root), "small", "built in", {});
}

describe("mechanisms", () => {
  it("a level line of a platform device: all but a plain irqfd", () => {
    expect(served(builtin("midway"), "/soc/ethernet@fff50000", 0)).toEqual(LEVEL);
    expect(whyNot(builtin("midway"), "/soc/ethernet@fff50000", 0, "irqfd")).toMatch(/does not lower it/);
  });

  it("an edge of a platform device: a plain irqfd alone; both xgmac interrupts together show all five", () => {
    const board = builtin("overdrive");
    expect(served(board, "/smb/xgmac@e0700000", 1)).toEqual(["irqfd"]);
    expect(whyNot(board, "/smb/xgmac@e0700000", 1, "irqfd+resample")).toMatch(/no end of interrupt is notified/);
    expect(new Set([...served(board, "/smb/xgmac@e0700000", 0), ...served(board, "/smb/xgmac@e0700000", 1)]).size).toBe(5);
  });

  it("forwarding needs a CPU interface of 8 KiB", () => {
    const board = small({}, { reg: [0x1000, 0x1000, 0x2000, 0x1000, 0x4000, 0x2000, 0x6000, 0x2000] });
    expect(served(board, "/dev", 0)).toEqual(["userspace", "userspace+eoi", "irqfd+resample"]);
    expect(whyNot(board, "/dev", 0, "forward")).toMatch(/is 4096 bytes; forwarding needs EOImode 1/);
    expect(served(small({}), "/dev", 0)).toEqual(LEVEL);
  });

  it("without GICH and GICV there is no guest to deliver to", () => {
    expect(whyNot(small({}, { reg: [0x1000, 0x1000, 0x2000, 0x2000] }), "/dev", 0, "userspace")).toMatch(/no virtual interface/);
  });

  it("per-CPU interrupts, wrong triggers and no trigger serve nothing", () => {
    expect(whyNot(small({ interrupts: [1, 5, 4] }), "/dev", 0, "userspace")).toMatch(/per-CPU/);
    expect(whyNot(small({ interrupts: [0, 5, 8] }), "/dev", 0, "forward")).toMatch(/never level-low/);
    expect(whyNot(small({ interrupts: [0, 5, 0] }), "/dev", 0, "irqfd")).toMatch(/no trigger/);
  });

  it("a wired pin behind an mbigen is served as any line or edge, but never forwarded: an LPI has no active state", () => {
    const d05 = builtin("d05");
    expect(served(d05, "/soc/crypto@d2000000", 0)).toEqual(["userspace", "userspace+eoi", "irqfd+resample"]);
    expect(served(d05, "/soc/crypto@d2000000", 1)).toEqual(["irqfd"]);
    expect(whyNot(d05, "/soc/crypto@d2000000", 0, "forward")).toMatch(/only shared interrupts of the primary GIC/);
    expect(whyNot(d05, "/soc/crypto@d2000000", 1, "direct")).toMatch(/only a message of a PCI function/);
    const narrow = { ...d05, controllers: d05.controllers.map((each) => (each.kind === "its" ? { ...each, deviceBits: 16 } : each)) };
    expect(whyNot(narrow, "/soc/crypto@d2000000", 0, "irqfd+resample")).toMatch(/device 0x40400 of .*, which takes ids of 16 bits/);
  });

  it("a pin that no mbigen has, or of one that leads nowhere, is served by nothing", () => {
    const d05 = builtin("d05");
    const path = "/soc/crypto@d2000000";
    const changed = (pin: number): Board => ({ ...d05, devices: d05.devices.map((each) => ({ ...each, interrupts: each.interrupts.map((interrupt) => ({ ...interrupt, number: pin })) })) });
    expect(whyNot(changed(63), path, 0, "irqfd+resample")).toMatch(/pins of an mbigen are 64 to 1407, and the tree gives it 63/);
    expect(whyNot(changed(1408), path, 0, "irqfd+resample")).toMatch(/gives it 1408/);
    const off = { ...d05, controllers: d05.controllers.map((each) => (each.kind === "mbigen" ? { ...each, enabled: false } : each)) };
    expect(whyNot(off, path, 0, "irqfd+resample")).toMatch(/is disabled/);
  });

  it("messages to an ITS are served from user space and by an irqfd", () => {
    const virt = addPciFunction(builtin("virt"), { bdf: "00:01.0", intxPin: 1, msiVectors: 1 });
    expect(served(virt, "00:01.0", 1)).toEqual(["userspace", "irqfd"]);
    const wide = { ...virt, devices: virt.devices.map((each) => ({ ...each, msiParents: each.msiParents.map((parent) => ({ ...parent, deviceId: 0x10000 })) })) };
    expect(whyNot(wide, "00:01.0", 1, "irqfd")).toMatch(/device 0x10000 of .*, which takes ids of 16 bits/);
    expect(served(virt, "00:01.0", 0)).toEqual(["userspace", "userspace+eoi", "irqfd+resample"]);
    expect(whyNot(virt, "00:01.0", 0, "forward")).toMatch(/PCI bus/);
  });

  it("an MSI through v2m is an edge: a plain irqfd, with unsafe interrupts allowed", () => {
    const board = addPciFunction(builtin("overdrive"), { bdf: "01:00.0", under: "00:02.1", intxPin: 1, msiVectors: 1 });
    expect(served(board, "01:00.0", 1)).toEqual(["irqfd"]);
    expect(assignmentOf(board, findDevice(board, "01:00.0"))).toMatchObject({ driver: "vfio-pci", conditions: [expect.stringMatching(/allow_unsafe_interrupts=1/)] });
  });
});

describe("assignment", () => {
  it("no IOMMU, no group, no assignment; assumed, it is assigned and says so", () => {
    const path = "/soc/serial@fff36000";
    const board = builtin("midway");
    expect(assignmentOf(board, findDevice(board, path))).toEqual({ driver: "none", why: "the tree names no IOMMU for it", conditions: [] });
    expect(whyNot(board, path, 0, "userspace")).toBe("the device cannot be assigned: the tree names no IOMMU for it");
    const assumed = builtin("midway", true);
    expect(assignmentOf(assumed, findDevice(assumed, path))).toEqual({ driver: "vfio-platform", why: null, conditions: [UNVOUCHED, "its IOMMU is assumed: the tree names none"] });
  });

  it("a device without a known reset needs reset_required=0; AMBA devices do not", () => {
    const board = small({ compatible: "x,y" });
    expect(assignmentOf(board, findDevice(board, "/dev")).conditions).toEqual(["vfio-platform knows no reset for x,y: load it with reset_required=0", UNVOUCHED]);
    const amba = small({ compatible: ["x,y", "arm,primecell"] });
    expect(assignmentOf(amba, findDevice(amba, "/dev")).conditions).toEqual([UNVOUCHED]);
    expect(served(amba, "/dev", 0)).not.toContain("forward");
  });

  it("an SMMU that is disabled, foreign, second or not coherent is a reason", () => {
    const why = (board: Board): string | null => assignmentOf(board, findDevice(board, "/dev")).why;
    expect(why(small({}, {}, { status: "disabled" }))).toBe("the tree disables its IOMMU, /smmu");
    expect(why(small({}, {}, { compatible: "rockchip,iommu" }))).toMatch(/is no Arm SMMU/);
    const properties = { compatible: "arm,smmu-v3", "#iommu-cells": [1], reg: [0xb000, 0x1000] };
    expect(why(small({ iommus: [ref("smmu"), 1, ref("other"), 1] }, {}, {}, [labelled("other", node("other", properties))]))).toMatch(/two IOMMUs/);
    expect(why(small({}, {}, {}))).toBe("neither it nor its IOMMU, /smmu, is cache-coherent, and VFIO takes no such device");
    expect(why(small(COHERENT, {}, {}))).toBe(null);
    expect(why(small({}))).toBe(null);
  });

  it("devices with one stream share a group, and a stream that only overlaps is refused", () => {
    const second = (iommus: number[]): NodeSource => node("two", { compatible: "x,y", reg: [0xc000, 0x1000], iommus: [ref("smmu"), ...iommus] });
    const cells = { "#iommu-cells": [2], ...COHERENT };
    const board = small({ iommus: [ref("smmu"), 0x10, 0xf] }, {}, cells, [second([0x12, 0])]);
    expect(board.groups).toMatchObject([{ members: ["/dev", "/two"] }]);
    expect(assignmentOf(board, findDevice(board, "/dev")).conditions).toEqual([UNVOUCHED, "it shares group 0 with /two, which no host driver may hold"]);
    const overlapping = small({ iommus: [ref("smmu"), 0x10, 0xf] }, {}, cells, [second([0x12, 0x20])]);
    expect(findDevice(overlapping, "/two").whyNoGroup).toMatch(/overlaps an entry of \/smmu/);
  });

  it("a line that two devices share is a condition", () => {
    const board = small({}, {}, COHERENT, [node("two", { compatible: "x,y", reg: [0xc000, 0x1000], interrupts: spi(5) })]);
    expect(assignmentOf(board, findDevice(board, "/dev")).conditions).toEqual([UNVOUCHED, "it shares the line of interrupt 0 with /two, and vfio-platform asks for it alone"]);
  });

  it("the primary GIC is the one without a parent", () => {
    expect(primaryGic(builtin("d05"))?.path).toBe("/interrupt-controller@4d000000");
    expect(primaryGic(builtin("midway"))?.kind).toBe("gicv2");
  });
});

describe("PCI functions", () => {
  it("functions of one device share a group unless they are isolated", () => {
    const one = addPciFunction(builtin("virt"), { bdf: "00:01.0", msiVectors: 1 });
    const two = addPciFunction(one, { bdf: "00:01.1", msiVectors: 1 });
    const three = addPciFunction(two, { bdf: "00:01.2", isolated: true });
    expect(three.groups.map((group) => group.members.length)).toEqual([2, 1]);
    expect(one.groups).toHaveLength(1);
    expect(Object.isFrozen(three) && Object.isFrozen(three.groups[0])).toBe(true);
  });

  it("segments of host bridges are what their nodes say, and else counted over those (linux,pci-domain)", () => {
    const bridge = (at: string, ...domain: number[]) => node(`pcie@${at}`, { compatible: "pci-host-ecam-generic", device_type: "pci", "#address-cells": [3], "#size-cells": [2], ...(domain.length > 0 ? { "linux,pci-domain": domain } : {}) });
    const board = small({}, {}, COHERENT, [bridge("a000"), bridge("b000", 0), bridge("c000"), bridge("d000", 7)]);
    expect(board.pciHosts.map(({ segment }) => segment)).toEqual([1, 0, 2, 7]);
    expect(() => small({}, {}, COHERENT, [bridge("a000", 0x10000)])).toThrow(/"linux,pci-domain" is 65536; a segment has 16 bits/);
  });

  it("behind a root port the pin is swizzled by the device number", () => {
    const board = addPciFunction(builtin("overdrive"), { bdf: "01:01.0", under: "00:02.1", intxPin: 1 });
    expect(findDevice(board, "01:01.0").interrupts).toMatchObject([{ kind: "spi", number: 0x121 }]);
  });

  it("what does not fit the board is one sentence", () => {
    const overdrive = builtin("overdrive");
    expect(() => addPciFunction(overdrive, { bdf: "01:00.0", intxPin: 1 })).toThrow(/has no entry for 01:00.0, pin 1; plug it in "under" one of 00:02.1, 00:02.2, 00:02.3/);
    expect(() => addPciFunction(overdrive, { bdf: "ff:00.0" })).toThrow(/no host bridge of overdrive takes this bus; there is \/smb\/pcie@f0000000 \(segment 0000, buses 0 to 127\)/);
    expect(() => addPciFunction(overdrive, { bdf: "1.0" })).toThrow(/"1.0" is no PCI function/);
    expect(() => addPciFunction(overdrive, { bdf: "01:20.0" })).toThrow(/is no PCI function/);
    expect(() => addPciFunction(overdrive, { bdf: "01:00.0", intxPin: 5 })).toThrow(/interrupt pin 5/);
    expect(() => addPciFunction(builtin("midway"), { bdf: "01:00.0" })).toThrow(/there is none/);
    expect(() => addPciFunction(addPciFunction(overdrive, { bdf: "01:00.0" }), { bdf: "01:00.0" })).toThrow(/already has one/);
  });
});

describe("finding", () => {
  it("a device that is not there is answered with its neighbours", () => {
    expect(() => findDevice(builtin("midway"), "/soc/ethernet@fff5000")).toThrow(/did you mean \/soc\/ethernet@fff50000 or \/soc\/ethernet@fff51000\?/);
    expect(() => findDevice(builtin("midway"), "/zzz")).toThrow(/"virq boards" lists its 4 devices/);
    expect(() => findInterrupt(findDevice(builtin("midway"), "/soc/ethernet@fff50000"), 3)).toThrow(/has no interrupt 3; it has 0, 1, 2/);
  });

  it("built-in boards are frozen, and there is none by another name", () => {
    expect(Object.isFrozen(builtin("midway").devices[0].interrupts)).toBe(true);
    expect(builtinBoard("toString")).toBe(undefined);
  });
});
