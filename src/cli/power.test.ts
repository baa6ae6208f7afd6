import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { comparisonSchema } from "../delivery/result.js";
import { virq } from "./command.fixture.js";

const folder = mkdtempSync(join(tmpdir(), "virq-power-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

describe("the built-in POWER8 on the command line", () => {
  it("compare needs no device: pin and message of the NVMe-class function, hypercalls and exits counted apart", async () => {
    const { status, out } = await virq("compare", "--board", "pseries", "--interrupts", "20", "--real-mode", "--json");
    const comparison = comparisonSchema.parse(JSON.parse(out));
    expect([status, comparison.device, comparison.profile]).toEqual([0, "/pci@800000020000001/00:01.0", "power8"]);
    expect(comparison.mechanisms.map((each) => [each.mechanism, each.irqs, each.exitsPerInterrupt, each.hypercallsPerInterrupt, each.realModeHypercallsPerInterrupt])).toEqual([
      ["userspace", [0], 2, 2, 2],
      ["irqfd", [1], 1, 2, 2],
      ["irqfd+resample", [0], 3, 4, 2],
    ]);
  });

  it("run writes every hop of a message, hypercalls with their mode", async () => {
    const file = join(folder, "hops.txt");
    const { status } = await virq("run", "--board", "pseries", "--irq", "1", "--mechanism", "irqfd", "--interrupts", "1", "--trace", file);
    const text = readFileSync(file, "utf8");
    const hops = text.split("\n").map((line) => /\b(device_|xics_deliver|xics_eoi|guest_|kvm_hcall|host_ack)\w*/.exec(line)?.[0]).filter((hop) => hop !== undefined);
    expect(status).toBe(0);
    expect(hops).toEqual(["device_raise", "host_ack", "xics_deliver", "host_ack", "kvm_hcall", "guest_ack", "device_service", "guest_eoi", "xics_eoi", "kvm_hcall"]);
    expect(text).toMatch(/kvm_hcall.*virtual/);
  });

  it("a device that cannot be assigned is the answer no; a wrong option is one sentence and status 2", async () => {
    expect(await virq("compare", "--board", "pseries", "--device", "/vdevice/l-lan@71000002")).toMatchObject({ status: 1, out: expect.stringMatching(/No mechanism fits: it is a virtual device of the hypervisor's, and VFIO has no driver for those\.\n/) });
    expect(await virq("compare", "--board", "pseries", "--wait", "doze")).toMatchObject({ status: 2, err: expect.stringMatching(/^virq: --wait: .*\n$/) });
  });
});
