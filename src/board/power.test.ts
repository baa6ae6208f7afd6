import { describe, expect, it } from "vitest";
import { mechanismsFor, whyNot } from "./assign.js";
import { pseries } from "./builtin/pseries.js";
import { node, type NodeSource, treeOf } from "./builtin/source.js";
import type { Board } from "./board.js";
import { findDevice } from "./find-device.js";
import { addPciFunction } from "./pci.js";
import { describe as describeTree } from "./read-board.js";

const HOST = "/pci@800000020000000";

/** The built-in machine with one node changed, and a function with a pin and a vector under its first host bridge. */
function changed(name: string, change: (source: NodeSource) => NodeSource | null): Board {
  const children = (pseries.children ?? []).flatMap((child) => (child.name === name ? (change(child) ?? []) : child));
  return describeTree(treeOf({ ...pseries, children }), "small", "built in", {});
}

const without = (...names: string[]) => (source: NodeSource): NodeSource => ({ ...source, properties: Object.fromEntries(Object.entries(source.properties).filter(([name]) => !names.includes(name))) });
const fitting = (board: Board, path: string, irq: number): string[] =>
  mechanismsFor(board, findDevice(board, path), findDevice(board, path).interrupts[irq]).filter((each) => each.applicable).map((each) => each.mechanism);

describe("a tree of PAPR", () => {
  it("compares the controller's names without case", () => {
    const board = changed("interrupt-controller", (source) => ({ ...source, properties: { ...source.properties, compatible: "ibm,PPC-XICS" } }));
    expect(board.controllers.find((each) => each.path === "/interrupt-controller")).toMatchObject({ kind: "xics", parent: null });
    expect(findDevice(board, "/vdevice/l-lan@71000002").interrupts[0].controller).toBe("/interrupt-controller");
  });

  it("a core is as many processors as it has interrupt servers, by their numbers", () => {
    const core = node("PowerPC,POWER8@8", { device_type: "cpu", reg: [8], "ibm,ppc-interrupt-server#s": [8, 9, 12] });
    const board = changed("cpus", (source) => ({ ...source, children: [core] }));
    expect(board.cpus.map((cpu) => [cpu.index, cpu.hwId])).toEqual([[0, 8], [1, 9], [2, 12]]);
  });

  it("a pin is served by userspace and irqfd+resample, a message by userspace and irqfd", () => {
    const board = addPciFunction(changed("", (source) => source), { bdf: "00:02.0", intxPin: 1, msiVectors: 1, host: HOST });
    expect(fitting(board, `${HOST}/00:02.0`, 0)).toEqual(["userspace", "irqfd+resample"]);
    expect(fitting(board, `${HOST}/00:02.0`, 1)).toEqual(["userspace", "irqfd"]);
    expect(whyNot(board, findDevice(board, `${HOST}/00:02.0`), findDevice(board, `${HOST}/00:02.0`).interrupts[0], "forward")).toMatch(/a mechanism of Arm/);
  });

  it("slots turn their pins, and functions of one host bridge are one group, of its table", () => {
    const one = addPciFunction(changed("", (source) => source), { bdf: "00:03.0", intxPin: 2, host: HOST });
    const two = addPciFunction(one, { bdf: "00:04.0", intxPin: 1, host: HOST });
    expect(findDevice(two, `${HOST}/00:03.0`)).toMatchObject({ group: 0, interrupts: [{ number: 0x1200, trigger: "level-low" }], iommu: { path: HOST, streams: [{ id: 0x80000000 }] } });
    expect(findDevice(two, `${HOST}/00:04.0`)).toMatchObject({ group: 0, interrupts: [{ number: 0x1200 }] });
  });

  it.each(["ibm,change-msi", "ibm,query-interrupt-source-number"])("without %s there are no messages", (name) => {
    const board = changed("rtas", without(name));
    expect(board.pciHosts[0].msi).toBe(null);
    expect(() => addPciFunction(board, { bdf: "00:02.0", msiVectors: 1, host: HOST })).toThrow(/names no MSI controller/);
  });

  it("without ibm,int-on no host could switch an interrupt, and the reason says so", () => {
    const board = addPciFunction(changed("rtas", without("ibm,int-on")), { bdf: "00:02.0", intxPin: 1, host: HOST });
    expect(whyNot(board, findDevice(board, `${HOST}/00:02.0`), findDevice(board, `${HOST}/00:02.0`).interrupts[0], "userspace")).toMatch(/firmware has no ibm,int-on/);
  });

  it("without a DMA window VFIO has no group for a function", () => {
    const board = changed("pci@800000020000000", without("ibm,dma-window"));
    const given = addPciFunction(board, { bdf: "00:02.0", intxPin: 1, host: HOST });
    expect(findDevice(given, `${HOST}/00:02.0`)).toMatchObject({ group: null, whyNoGroup: "the tree names no IOMMU for it" });
  });

  it("a window that is cut off, and half a range of servers, are the person's mistakes", () => {
    expect(() => changed("pci@800000020000000", (source) => ({ ...source, properties: { ...source.properties, "ibm,dma-window": [1, 0, 0] } }))).toThrow(/"ibm,dma-window" holds 3 cells/);
    expect(() => changed("interrupt-controller", (source) => ({ ...source, properties: { ...source.properties, "ibm,interrupt-server-ranges": [0] } }))).toThrow(/holds 1 cells/);
  });
});
