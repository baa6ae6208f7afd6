import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { backendComparisonSchema } from "../delivery/backends/result.js";
import { virq } from "./command.fixture.js";


describe("virq compare --backend", () => {
  it("without a board takes one that has all three", async () => {
    const { status, out } = await virq("compare", "--backend", "pci,platform,xen", "--interrupts", "5");
    expect(status).toBe(0);
    expect(out).toMatch(/^overdrive: the same guest over each device backend; 5 conditions/);
    expect(out).toMatch(/^ +pci +pci +platform +platform +xen +xen +xen$/m);
    expect(out).not.toMatch(/does not fit/);
  });

  it("as JSON fits its published schema", async () => {
    const { out } = await virq("compare", "--backend", "xen", "--backend", "pci", "--board", "pc", "--interrupts", "3", "--json");
    const published = z.fromJSONSchema(JSON.parse(readFileSync(new URL("../../../schema/compare-backend.schema.json", import.meta.url), "utf8")) as Parameters<typeof z.fromJSONSchema>[0]);
    expect(published.safeParse(JSON.parse(out)).error).toBe(undefined);
    expect(backendComparisonSchema.parse(JSON.parse(out)).backends.map((each) => each.backend)).toEqual(["xen", "xen", "xen", "pci", "pci"]);
  });

  it("a board on which nothing fits is the answer no", async () => {
    const { status, out } = await virq("compare", "--backend", "pci", "--board", "midway");
    expect([status, out]).toEqual([1, expect.stringMatching(/^pci, message, does not fit: the board lists no PCI function: put one on it with --pci$/m)]);
  });

  it("a scenario's board and functions are taken", async () => {
    const { out } = await virq("compare", new URL("../../../examples/overdrive-pci.yaml", import.meta.url).pathname, "--backend", "pci", "--interrupts", "4");
    expect(out).toMatch(/^pci, message: \/smb\/pcie@f0000000\/01:00.0 interrupt 1; GET_IRQ_INFO: EVENTFD/m);
  });

  it("what makes no sense is one sentence and status 2", async () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [["--backend", "vdpa"], /^virq: no backend vdpa: name some of platform, pci, xen\n$/],
      [["--backend", "pci,pci"], /^virq: --backend pci is named twice/],
      [["--backend", "pci", "--mechanism", "irqfd"], /leave --mechanism away\n$/],
      [["--backend", "pci", "--irq", "1"], /leave --irq away\n$/],
      [["--backend", "pci", "--report", "x.html"], /leave --report or --backend away\n$/],
      [["--backend", "pci", "--device", "/x"], /^virq: overdrive has no device "\/x"/],
    ];
    for (const [args, sentence] of cases) {
      const { status, err, out } = await virq("compare", ...args);
      expect([status, out, err]).toEqual([2, "", expect.stringMatching(sentence)]);
    }
  });
});
