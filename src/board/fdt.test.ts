import { describe, expect, it } from "vitest";
import { PersonError } from "../sim/person-error.js";
import { builtinBoard } from "./builtin.js";
import { midway } from "./builtin/midway.js";
import { node, type NodeSource, labelled, ref } from "./builtin/source.js";
import { flatten, realBytes, REAL_BOARDS, realBoardsHere, WHY_SKIPPED } from "./fdt.fixture.js";
import { soakFdt } from "./fdt.soak.js";
import { MAX_FDT_BYTES, parseFdt } from "./fdt.js";
import { readBoard } from "./read-board.js";

function complaint(bytes: Uint8Array): string {
  try {
    readBoard(bytes, "broken");
  } catch (error) {
    expect(error).toBeInstanceOf(PersonError);
    const { message } = error as PersonError;
    expect(message).toMatch(/^[\x20-\x7e]{10,700}$/);
    return message;
  }
  return "read without complaint";
}

const of = (root: NodeSource): string => complaint(flatten(root));
const good = (): Uint8Array => flatten(midway);
function patched(offset: number, value: number): Uint8Array {
  const bytes = good();
  new DataView(bytes.buffer).setUint32(offset, value);
  return bytes;
}

const GIC = labelled("gic", node("gic@1000", { compatible: "arm,gic-400", "interrupt-controller": true, "#interrupt-cells": [3], reg: [0x1000, 0x1000, 0x2000, 0x2000] }));
const ROOT = { "#address-cells": [1], "#size-cells": [1] } as const;
const withDevice = (properties: NodeSource["properties"], more: NodeSource[] = []): NodeSource => node("", ROOT, [GIC, ...more, node("dev@9000", { compatible: "x,y", reg: [0x9000, 0x1000], ...properties })]);

describe("flattened device trees", () => {
  it("format 16 and format 17 say the same", () => {
    const [old, now] = [readBoard(flatten(midway, 16), "midway"), readBoard(flatten(midway, 17), "midway")];
    expect(old).toEqual(now);
    expect(now).toEqual({ ...builtinBoard("midway"), source: "device tree" });
  });

  it("bytes after the tree are ignored, as boot loaders pad it", () => {
    const padded = new Uint8Array(good().length + 100);
    padded.set(good());
    expect(readBoard(padded, "midway").devices.length).toBe(4);
  });

  it("every truncation is one sentence", () => {
    const bytes = good();
    for (let length = 0; length < bytes.length; length += length < 200 ? 1 : 37) expect(complaint(bytes.slice(0, length))).toMatch(/truncated|too short/);
  });

  it("a truncation that the header hides is one sentence", () => {
    const bytes = good();
    for (let length = 48; length < bytes.length; length += 101) {
      const cut = bytes.slice(0, length);
      new DataView(cut.buffer).setUint32(4, length);
      expect(complaint(cut)).toMatch(/outside of the file|past the end/);
    }
  });

  it("a structure block that ends early names the node", () => {
    const size = new DataView(good().buffer).getUint32(36);
    expect(complaint(patched(36, size - 40))).toMatch(/^\/psci: .*(cut off|has left)/);
  });

  it("wrong headers say what is wrong", () => {
    expect(complaint(patched(0, 0xfeedd00d))).toMatch(/begins with 0xfeedd00d .* no flattened device tree/);
    expect(complaint(patched(20, 3))).toMatch(/version 3/);
    expect(complaint(patched(24, 18))).toMatch(/readable as 18/);
    expect(complaint(patched(8, 0x7fffffff))).toMatch(/structure block at 0x7fffffff .* outside/);
    expect(complaint(patched(8, 58))).toMatch(/not a multiple of 4|outside/);
    expect(complaint(patched(12, 56))).toMatch(/overlaps/);
    expect(complaint(patched(16, 0))).toMatch(/overlaps|past the end/);
    expect(complaint(patched(16, 41))).toMatch(/not a multiple of 8/);
    expect(complaint(patched(32, 0xffffffff))).toMatch(/strings block .* outside/);
  });

  it("a name that is not one, an unknown token and a property name from nowhere name the node", () => {
    const struct = new DataView(good().buffer).getUint32(8);
    expect(complaint(patched(struct, 7))).toMatch(/unknown token 0x7/);
    expect(complaint(patched(struct + 16, 0xffff))).toMatch(/^\/: a property's name is at offset 0xffff/);
    expect(of(node("", {}, [node("bad name", {})]))).toMatch(/"bad name": not a name/);
    expect(of(node("", {}, [node("x".repeat(300), {})]))).toMatch(/does not end within 255 bytes/);
  });

  it("names that come twice are refused", () => {
    expect(of(node("", {}, [node("a", {}), node("a", {})]))).toMatch(/^\/: two child nodes are called "a"/);
    expect(of(node("", {}, [node("a", { phandle: [5] }), node("b", { phandle: [5] })]))).toMatch(/^\/b: its phandle 0x5 is already that of \/a/);
  });

  it("nesting is bounded", () => {
    const bytes = new Uint8Array(40 + 16 + 8 * 100_000 + 4);
    const view = new DataView(bytes.buffer);
    [0xd00dfeed, bytes.length, 56, bytes.length, 40, 17, 16, 0, 0, bytes.length - 56].forEach((value, i) => view.setUint32(4 * i, value));
    for (let at = 56; at + 8 <= bytes.length; at += 8) {
      view.setUint32(at, 1);
      view.setUint32(at + 4, at === 56 ? 0 : 0x6e000000);
    }
    expect(complaint(bytes)).toMatch(/^(\/n)+: nodes nest deeper than 64$/);
  });

  it("nodes, paths, interrupts and names are bounded", () => {
    const many = (count: number, properties: NodeSource["properties"]): NodeSource => node("", { ...ROOT, "interrupt-parent": [ref("gic")] }, [GIC, ...Array.from({ length: count }, (_, i) => node(`d${i}`, properties))]);
    expect(of(many(20_000, {}))).toMatch(/^\/: the tree has more than 20000 nodes$/);
    expect(of(many(9_000, { compatible: "x", interrupts: [0, 1, 4, 0, 2, 4, 0, 3, 4] }))).toMatch(/^\/d\d+: the tree has more than 20000 interrupts$/);
    expect(of(many(1, { compatible: Array.from({ length: 300 }, () => "x"), reg: [1, 1] }))).toMatch(/^\/d0: "compatible" holds 300 names/);
    expect(of(node("", {}, [node("a".repeat(250), {}, [node("b".repeat(250), {}, [node("c".repeat(250), {})])])]))).toMatch(/the path is longer than 512$/);
  });

  it("a file beyond the bound is not looked at", () => {
    expect(complaint(new Uint8Array(MAX_FDT_BYTES + 1))).toMatch(/is not read$/);
  });

  it("a tree as large as the bound that costs the most to search ends with a sentence", () => {
    const ranges = Array.from({ length: 3 * 60_000 }, (_, i) => (i % 3 === 2 ? 1 : i));
    const devices = Array.from({ length: 10_000 }, (_, i) => node(`d@${i}`, { compatible: "x", reg: [0xffffff00, 1] }));
    expect(of(node("", ROOT, [node("bus", { ...ROOT, ranges }, devices)]))).toMatch(/^\/bus: the tree is too entangled/);
  });
});

describe("meaning", () => {
  it.each([
    ["a phandle to nowhere", withDevice({ "interrupt-parent": [99], interrupts: [0, 1, 4] }), /^\/dev@9000: "interrupt-parent" refers to phandle 0x63, which no node has$/],
    ["an IOMMU from nowhere", withDevice({ iommus: [99, 1] }), /^\/dev@9000: "iommus" refers to phandle 0x63/],
    ["an MSI parent from nowhere", withDevice({ "msi-parent": [99] }), /^\/dev@9000: "msi-parent" refers to phandle 0x63/],
    ["a reserved phandle", node("", {}, [node("a", { phandle: [0xffffffff] })]), /^\/a: its phandle is 0xffffffff/],
    ["a cell count that does not fit", withDevice({ "interrupt-parent": [ref("gic")], interrupts: [0, 1] }), /^\/dev@9000: "interrupts" holds 2 cells; \/gic@1000 takes 3 for each$/],
    ["an extended interrupt that is cut off", withDevice({ "interrupts-extended": [ref("gic"), 0, 1] }), /^\/dev@9000: "interrupts-extended" is cut off: \/gic@1000 takes 3 cells and 2 are left$/],
    ["no interrupt parent at all", withDevice({ interrupts: [0, 1, 4] }), /^\/dev@9000: it has "interrupts", and no node above it names an interrupt parent$/],
    ["registers that do not fit the bus", withDevice({ reg: [1, 2, 3] }), /^\/dev@9000: "reg" holds 3 cells; \/ says 1 for an address and 1 for a size$/],
    ["half a cell", withDevice({ reg: "ab" }), /^\/dev@9000: "reg" is 3 bytes long, which is not a whole number of cells$/],
    ["too many address cells", node("", { "#address-cells": [9] }, [GIC]), /^\/: "#address-cells" is 9/],
  ])("%s names the node", (_, root, sentence) => expect(of(root)).toMatch(sentence));

  it("an interrupt-parent that leads in a circle names the device", () => {
    const a = labelled("a", node("a", { "interrupt-parent": [ref("b")] }));
    const b = labelled("b", node("b", { "interrupt-parent": [ref("a")] }));
    expect(of(withDevice({ "interrupt-parent": [ref("a")], interrupts: [1] }, [a, b]))).toMatch(/^\/dev@9000: its "interrupt-parent" leads in a circle$/);
  });

  it("nexus nodes that lead in a circle name the device", () => {
    const nexus = (label: string, to: string): NodeSource => labelled(label, node(label, { "#address-cells": [0], "#interrupt-cells": [1], "interrupt-map": [1, ref(to), 1] }));
    expect(of(withDevice({ "interrupt-parent": [ref("a")], interrupts: [1] }, [nexus("a", "b"), nexus("b", "a")]))).toMatch(/^\/dev@9000: .* in a circle$/);
    expect(of(withDevice({ "interrupt-parent": [ref("a")], interrupts: [2] }, [nexus("a", "b"), nexus("b", "a")]))).toMatch(/^\/dev@9000: the interrupt-map of \/a has no entry for <0x2>$/);
  });

  it("a number that the GIC does not have is noted, and the device's other interrupts keep their places", () => {
    const board = readBoard(flatten(withDevice({ "interrupt-parent": [ref("gic")], interrupts: [1, 16, 4, 0, 3, 1] })), "x");
    expect(board.notes).toEqual(["/dev@9000: interrupt 0 <1 16 4> is left out: /gic@1000 has PPIs 0 to 15"]);
    expect(board.devices[0].interrupts).toMatchObject([{ index: 1, kind: "spi", number: 3, intid: 35, trigger: "edge-rising" }]);
  });

  it("addresses go through every bus's ranges; a bus without ranges ends them", () => {
    const dev = node("dev@10", { compatible: "x", reg: [0x10, 4] });
    const inner = node("inner@0", { compatible: "simple-bus", ...ROOT, ranges: [0, 0x200, 0x100] }, [dev]);
    const outer = (ranges: NodeSource["properties"]): NodeSource => node("", ROOT, [node("outer", { compatible: "simple-bus", ...ROOT, ...ranges }, [inner])]);
    expect(readBoard(flatten(outer({ ranges: [0, 0x80000000, 0x1000] })), "x").devices.map((d) => d.registers)).toEqual([[{ address: 0x80000210, size: 4 }]]);
    expect(readBoard(flatten(outer({ ranges: true })), "x").devices.map((d) => d.registers)).toEqual([[{ address: 0x210, size: 4 }]]);
    expect(readBoard(flatten(outer({})), "x").devices.map((d) => d.registers)).toEqual([[]]);
  });

  it("an address beyond 2^53 is noted and left out", () => {
    const board = readBoard(flatten(node("", { "#address-cells": [2], "#size-cells": [1] }, [node("dev@0", { compatible: "x", reg: [0x200000, 0, 4, 0, 8, 4] })])), "x");
    expect(board.devices[0].registers).toEqual([{ address: 8, size: 4 }]);
    expect(board.notes).toEqual(["/dev@0: a register frame lies beyond 2^53, the largest address that virq holds"]);
  });
});

describe("mutations", () => {
  it("of a built-in board give a board or one sentence", () => {
    const { faults, read, refused } = soakFdt([good()], 1000, 1, () => 0);
    expect(faults).toEqual([]);
    expect(read).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  });

  it.skipIf(!realBoardsHere)(`of real boards give a board or one sentence${WHY_SKIPPED}`, () => {
    const { faults, read, refused } = soakFdt(REAL_BOARDS.map(realBytes), 1000, 2, () => 0);
    expect(faults).toEqual([]);
    expect(read + refused).toBe(1000);
  });

  it("parseFdt gives each node its path", () => {
    expect(parseFdt(good()).nodes.map((each) => each.path)).toContain("/soc/ethernet@fff50000");
  });
});
