import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { builtinBoard, BUILTIN_BOARD_NAMES } from "../board/builtin.js";
import { type Board } from "../board/board.js";
import { labelled, node, type NodeSource, ref, treeOf } from "../board/builtin/source.js";
import { midway } from "../board/builtin/midway.js";
import { flatten, realBoardsHere, REAL_BOARDS, realBytes, WHY_SKIPPED } from "../board/fdt.fixture.js";
import { addPciFunction } from "../board/pci.js";
import { describe as describeTree, readBoard } from "../board/read-board.js";
import { boardJson } from "./boards.js";
import { boardsOutput } from "./boards-schema.js";
import { boardText } from "./boards-text.js";
import { virq } from "./command.fixture.js";

const folder = mkdtempSync(join(tmpdir(), "virq-boards-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describe("virq boards", () => {
  it("lists the built-in boards, a line each", async () => {
    const { status, out } = await virq("boards");
    expect(status).toBe(0);
    expect(out.trimEnd().split("\n").slice(1).map((line) => line.split(" ")[0])).toEqual(BUILTIN_BOARD_NAMES);
    expect(out).toMatch(/^midway .* 3, 0 isolated +3 of 4 +2 /m);
    expect(out).toMatch(/^pc .* 2, 2 isolated +2 of 2 +2 /m);
  });

  it("prints a board plainly when it is not a terminal: devices, numbers, triggers, groups, reasons", async () => {
    const { status, out } = await virq("boards", "midway");
    expect(status).toBe(0);
    expect(out).toMatch(/^ {2}\/soc\/ethernet@fff50000 +platform +group 1 +vfio-platform \[2\] +reset by its driver's module\n {6}0 +SPI 77 \(INTID 109\) +level-high +userspace, userspace\+eoi, irqfd\+resample, forward; not irqfd \[4\]$/m);
    expect(out).toMatch(/^\[4\] the line is level/m);
    expect(out).toMatch(/^ {2}\/soc\/serial@fff36000 +amba +no group +none \[3\]\n {6}0 +SPI 20 \(INTID 52\) +level-high +none \[3\]$/m);
    expect(out).toMatch(/^ {2}1 +\/soc\/iommu@fff40000 +not isolated \[2\] +\/soc\/ethernet@fff50000$/m);
    expect(out).toMatch(/^\[2\] no controller of messages vouches for it.*allow_unsafe_interrupts=1$/m);
    expect(out).not.toContain("\u001b");
    expect(out).not.toMatch(/ $/m);
  });

  it("prints the same from a file as from the built-in board", async () => {
    const path = file("midway.dtb", flatten(midway));
    const [built, read] = [await virq("boards", "midway"), await virq("boards", path)];
    expect(read.out.split("\n").slice(1)).toEqual(built.out.split("\n").slice(1));
  });

  it("says who reaches which ITS, and as which device there: by msi-map, as an mbigen, as a function", async () => {
    const { out } = await virq("boards", "d05");
    const section = out.slice(out.indexOf("MESSAGES TO ITSS"), out.indexOf("DEVICES\n"));
    expect(section).toMatch(/msi-controller@c6000000 +device 0xf800 to 0xffff +requesters 0xf800 to 0xffff of \/soc\/pcie@a00a0000$/m);
    expect(section).toMatch(/^ +device 0x40000 +128 pins of \/interrupt-controller@a0080000\/intc_sas1$/m);
    expect(section).toMatch(/^ +device 0xf980 +\/soc\/pcie@a00a0000\/f9:10.0$/m);
    const { out: one } = await virq("boards", "d05", "--device", "f9:10.0");
    expect(one).toMatch(/messages +to \/interrupt-controller@4d000000\/msi-controller@c6000000, as device 0xf980/);
  });

  it("prints an assumed IOMMU on the device's line", async () => {
    const { out } = await virq("boards", "d05", "--assume-iommu", "--device", "/soc/usb@a7030000");
    expect(out).toMatch(/IOMMU group +\d+ \(assumed\)/);
    expect(out).toMatch(/its IOMMU is assumed/);
  });

  it("a wrong name, file, device or option is one sentence and status 2", async () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [["boards", "no-such"], /^virq: no-such: there is no such file, and no built-in board of this name \(there are midway, overdrive, d05, virt, pseries, pc\)\n$/],
      [["boards", folder], /it is not a file/],
      [["boards", file("bad.dtb", flatten(midway).slice(0, 99))], /bad\.dtb: the header says \d+ bytes and the file has 99: it is truncated\n$/],
      [["boards", "midway", "--device", "/soc/x"], /^virq: midway has no device "\/soc\/x"/],
    ];
    for (const [args, sentence] of cases) {
      const { status, err, out } = await virq(...args);
      expect([status, out]).toEqual([2, ""]);
      expect(err).toMatch(sentence);
      vi.restoreAllMocks();
    }
  });
});

function builtFrom(root: NodeSource): Board {
  return describeTree(treeOf(root), "large", "built in", {});
}

describe("virq boards --json", () => {
  it("the published schema is the one that the command is held to", () => {
    const published = readFileSync(new URL("../../../schema/boards.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(boardsOutput, { io: "output" }))));
  });

  const strict = z.fromJSONSchema(z.toJSONSchema(boardsOutput, { io: "output" }));

  it.each(BUILTIN_BOARD_NAMES)("%s fits the schema, no field more or less", async (name) => {
    const { out } = await virq("boards", name, "--json");
    const value: unknown = JSON.parse(out);
    expect(strict.safeParse(value).error).toBe(undefined);
    expect(boardsOutput.parse(value)).toEqual(value);
  });

  it("the list fits the schema", async () => {
    const { out } = await virq("boards", "--json");
    expect(boardsOutput.parse(JSON.parse(out))).toEqual(JSON.parse(out));
  });

  it("a board with PCI functions fits the schema", () => {
    const virt = builtinBoard("virt");
    if (!virt) throw new Error("virt");
    const value = boardJson(addPciFunction(virt, { bdf: "00:01.0", intxPin: 1, msiVectors: 2 }));
    expect(boardsOutput.parse(value)).toEqual(value);
  });

  it("a board as large as the reader takes is printed and turned into JSON", () => {
    const name = (i: number): string => `d${i}`.padEnd(60, "x");
    const devices = Array.from({ length: 19_000 }, (_, i) => node(name(i), { compatible: `x,${i}`, reg: [i, 1], interrupts: [0, 5, 4], iommus: [ref("smmu"), i] }));
    const frames = [0x1000, 0x1000, 0x2000, 0x2000, 0x4000, 0x2000, 0x6000, 0x2000];
    const gic = labelled("gic", node("gic", { compatible: "arm,gic-400", "interrupt-controller": true, "#interrupt-cells": [3], reg: frames }));
    const smmu = labelled("smmu", node("smmu", { compatible: "arm,smmu-v3", "#iommu-cells": [1], reg: [0x9000, 0x1000] }));
    const board = builtFrom(node("", { "#address-cells": [1], "#size-cells": [1], "dma-coherent": true, "interrupt-parent": [ref("gic")] }, [gic, smmu, ...devices]));
    expect(boardJson(board).devices).toHaveLength(19_000);
    expect(boardText(board)).toContain("it shares the line of interrupt 0");
  });

  it.skipIf(!realBoardsHere)(`every real board fits the schema and prints${WHY_SKIPPED}`, () => {
    for (const name of REAL_BOARDS)
      for (const assumeIommu of [false, true]) {
        const board = readBoard(realBytes(name), name, { assumeIommu });
        const value = boardJson(board);
        expect(boardsOutput.parse(value)).toEqual(value);
        expect(boardText(board)).toMatch(/^DEVICES$/m);
        for (const device of value.devices) expect((device.assignment.driver === "none") === (device.assignment.why !== null)).toBe(true);
        expect(/^IOMMU GROUPS$/m.test(boardText(board))).toBe(value.groups.length > 0);
      }
  });
});
