import { describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { comparisonSchema } from "../delivery/result.js";
import { realBoardsHere, realPath, WHY_SKIPPED } from "../board/fdt.fixture.js";
import { virq } from "./command.fixture.js";

const EXAMPLE = fileURLToPath(new URL("../../../examples/d05-direct-injection.yaml", import.meta.url));
const ALL = ["userspace", "userspace+eoi", "irqfd", "irqfd+resample", "forward", "direct", "direct:runnable", "direct:blocked"];

const cells = (out: string, label: string): string[] => out.split("\n").find((line) => line.startsWith(`${label}  `))?.trim().split(/ {2,}/).slice(1) ?? [];

describe("the D05 on the command line", () => {
  it("compare needs no device: a message of the card's function, its IOMMU assumed and said so, every mechanism in README's table", async () => {
    const { status, out } = await virq("compare", "--board", "d05");
    expect(status).toBe(0);
    expect(out).toContain("The tree names no IOMMU for this device: one is assumed");
    const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
    const shown = ["host interrupts", "exits per interrupt", "  IRQ", "  WFx", "eventfd signals", "doorbells", "ITS commands", "latency p50"];
    for (const label of shown) {
      const values = cells(out, label).filter((value) => value !== "-");
      expect(readme).toMatch(new RegExp(`^${label} +${values.join(" +")}$`, "m"));
    }
  });

  it("--json fits the schema, with what each state of the vCPU met", async () => {
    const { out } = await virq("compare", "--board", "d05", "--interrupts", "20", "--json");
    const { mechanisms } = comparisonSchema.parse(JSON.parse(out));
    expect(mechanisms.map((each) => each.mechanism)).toEqual(ALL);
    const met = mechanisms.filter((each) => each.mechanism.startsWith("direct")).map(({ byState }) => [byState?.resident.interrupts, byState?.runnable.interrupts, byState?.blocked.interrupts]);
    expect(met).toEqual([[20, 0, 0], [0, 20, 0], [0, 0, 20]]);
  });

  it("a scenario shares CPUs, and the options come on top of it", async () => {
    const { status, out } = await virq("compare", EXAMPLE, "--interrupts", "60", "--slice-ns", "500000");
    expect([status, cells(out, "lost"), cells(out, "vCPU blocked")]).toEqual([0, ["0", "0", "0"], ["0", "0", "0"]]);
    expect(out).toContain("The vCPUs have 8 CPUs by turns of 500.00 us, those that slept first; the other vCPUs keep their CPUs busy.");
    expect(Number(cells(out, "vCPU runnable")[2])).toBeGreaterThan(10);
  });

  it("--gicv4 is the person's word for any board with ITSs", async () => {
    const function1 = ["--board", "virt", "--pci", "00:02.0,msi=1", "--device", "00:02.0", "--mechanism", "direct", "--interrupts", "10"];
    expect(await virq("compare", ...function1)).toMatchObject({ status: 1, out: expect.stringContaining("--gicv4 4.0 (or 4.1)") });
    expect(await virq("compare", ...function1, "--gicv4", "4.1")).toMatchObject({ status: 0, out: expect.stringMatching(/^exits per interrupt +0\.00$/m) });
    expect((await virq("boards", "virt", "--pci", "00:02.0,msi=1", "--device", "00:02.0", "--gicv4", "4.0")).out).toMatch(/^ +direct:blocked +yes/m);
  });

  it("boards says which GICv4 it takes a GIC for, beside its frames", async () => {
    const gic = async (...words: string[]): Promise<string> => (await virq("boards", ...words)).out.split("\n").find((line) => line.startsWith("  gicv3")) ?? "";
    expect(await gic("d05")).toMatch(/virtual LPIs as GICv4\.0/);
    expect(await gic("d05", "--gicv4", "4.1")).toMatch(/virtual LPIs as GICv4\.1/);
    expect(await gic("virt")).not.toContain("virtual LPIs");
  });

  it("--compat: the vGIC of the GICv4 series of 2017, whose WFI traps always; a kernel that it does not know is one sentence", async () => {
    const waiting = ["compare", "--board", "d05", "--wait", "wfi", "--interrupts", "20", "--mechanism", "direct"];
    const [today, series] = [await virq(...waiting), await virq(...waiting, "--compat", "v5-2017")];
    expect([cells(today.out, "doorbells"), cells(series.out, "doorbells")]).toEqual([["0.05"], ["1.00"]]); // today the first wait alone traps: there was no VLPI yet
    expect(series.out).toContain("KVM's virtual GIC is that of the GICv4 series of October 2017 (v5).");
    expect(await virq(...waiting, "--compat", "linux-4.14")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --compat: .*\n$/) });
  });

  it("direct:runnable does not fit a guest that waits by WFI, and says what to ask for", async () => {
    const { status, out } = await virq("compare", "--board", "d05", "--wait", "wfi", "--interrupts", "20");
    expect([status, cells(out, "vCPU runnable").slice(-2), cells(out, "vCPU blocked").slice(-2)]).toEqual([0, ["-", "0"], ["-", "20"]]);
    expect(out).toContain("direct:runnable does not fit: the guest waits by WFI, so a neighbour finds it blocked");
  });

  it("what cannot be shared is one sentence and status 2", async () => {
    expect(await virq("compare", "--board", "d05", "--cpus", "63")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: d05 has 62 CPUs .*\n$/) });
    expect(await virq("compare", "--board", "pc", "--others", "spin")).toMatchObject({ status: 2, err: expect.stringContaining("has no GIC: --cpus, --others") });
    expect(await virq("compare", "--board", "d05", "--slice-ns", "5")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --slice-ns: .*\n$/) });
  });

  it.skipIf(!realBoardsHere)(`its own tree takes the functions that it does not list: a card's, and a block device's${WHY_SKIPPED}`, async () => {
    const functions = ["--pci", "f9:10.0,msi=3,id=8086:1520,isolated", "--pci", "fa:00.0,msi=9,id=1af4:1042,isolated"];
    for (const [device, irqs] of [["f9:10.0", "0,1,2"], ["fa:00.0", "0,8"]]) {
      const { status, out } = await virq("compare", "--board", realPath("hisilicon-hip07-d05"), ...functions, "--device", device, "--irq", irqs, "--assume-iommu", "--interrupts", "60", "--mechanism", "irqfd,direct");
      expect([status, cells(out, "delivered"), cells(out, "host interrupts")]).toEqual([0, ["60", "60"], ["60", "0"]]);
    }
  });
});
