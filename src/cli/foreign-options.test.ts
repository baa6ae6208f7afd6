import { describe, expect, it } from "vitest";
import { virq } from "./command.fixture.js";

const sentence = (option: string, whose: string, board: string): RegExp => new RegExp(`^virq: ${option} \\(\\w+ of a workload\\) is for guests of ${whose} boards, and ${board} is none: leave it away\\n$`);

describe("an option that the board's guests do not know is one sentence and status 2, never a table as if it meant something", () => {
  it.each([
    ["pseries", ["--apicv"], "x86"],
    ["pseries", ["--eoi", "pic"], "x86"],
    ["pseries", ["--eoi", "xapic"], "x86"], // what it would be without a word is no excuse
    ["pseries", ["--eoi-mode", "1"], "Arm"],
    ["pseries", ["--slice-ns", "500000"], "Arm"],
    ["pc", ["--real-mode"], "Power"],
    ["pc", ["--eoi-mode", "0"], "Arm"],
    ["pc", ["--compat", "newest"], "Arm"],
    ["pseries", ["--compat", "v5-2017"], "Arm"],
    ["d05", ["--apicv"], "x86"],
    ["d05", ["--real-mode"], "Power"],
  ])("%s, %j", async (board, options, whose) => {
    for (const command of [["compare"], ["run"], ["compare", "--backend", "pci"]])
      expect(await virq(...command, "--board", board, ...options)).toMatchObject({ status: 2, out: "", err: expect.stringMatching(sentence(options[0], whose, board)) });
  });

  it.each(["pseries", "pc", "midway"])("%s, --gicv4: it has no GICv3 with ITSs", async (board) => {
    for (const command of [["compare", "--device", "/none", "--board", board], ["boards", board]])
      expect(await virq(...command, "--gicv4", "4.0")).toMatchObject({ status: 2, out: "", err: `virq: --gicv4 takes a GICv3 with ITSs for a GICv4, and ${board} has none: leave it away\n` });
  });
});
