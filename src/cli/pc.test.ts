import { describe, expect, it } from "vitest";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { comparisonSchema } from "../delivery/result.js";
import { virq } from "./command.fixture.js";

const folder = mkdtempSync(join(tmpdir(), "virq-pc-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

describe("the built-in PC on the command line", () => {
  it("compare needs no device: pin and message of the NVMe-class function, under the x86 profile", async () => {
    const { status, out } = await virq("compare", "--board", "pc", "--interrupts", "20", "--json");
    const comparison = comparisonSchema.parse(JSON.parse(out));
    expect([status, comparison.device, comparison.profile]).toEqual([0, "/pci/01:00.0", "xeon-2016"]);
    expect(comparison.mechanisms.map((each) => [each.mechanism, each.irqs, each.exitsPerInterrupt])).toEqual([
      ["userspace", [0], 3],
      ["irqfd", [1], 2],
      ["irqfd+resample", [0], 2],
      ["split", [0], 2],
      ["posted", [1], 0],
    ]);
  });

  it("compare takes a function by its bus number, and the guest's way to end interrupts", async () => {
    const { out } = await virq("compare", "--board", "pc", "--device", "00:03.0", "--eoi", "pic", "--wait", "hlt", "--interrupts", "10", "--json");
    const resampled = comparisonSchema.parse(JSON.parse(out)).mechanisms[2];
    expect(resampled.exitsByReason).toEqual({ HLT: 1, IO_INSTRUCTION: 1 });
  });

  it("run writes every hop of a posted interrupt", async () => {
    const file = join(folder, "hops.txt");
    const { status } = await virq("run", "--board", "pc", "--irq", "1", "--mechanism", "posted", "--interrupts", "1", "--trace", file);
    const hops = readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => /(device_|pi_|apic_|guest_|kvm_|host_)\w+/.exec(line)?.[0]);
    expect([status, hops]).toEqual([0, ["device_raise", "pi_notification", "apic_take", "guest_ack", "device_service", "guest_eoi", "kvm_eoi"]]);
  });

  it("an option out of range is one sentence and status 2", async () => {
    expect(await virq("compare", "--board", "pc", "--eoi", "magic")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --eoi: .*\n$/) });
    expect(await virq("compare", "--board", "virt")).toMatchObject({ status: 2, err: expect.stringContaining("name a device with --device") });
  });
});
