import { describe, expect, it } from "vitest";
import { builtinBoard } from "../board/builtin.js";
import { findDevice, findInterrupt } from "../board/find-device.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { COST_PROFILES } from "../scenario/profiles.js";
import { workloadSchema } from "../scenario/scenario.js";
import { STRAIGHT } from "../sim/step.js";
import { deliveryProtocol } from "./delivery-protocol.js";
import { explore } from "./explorer.js";

function request(mechanism: DeliveryRequest["mechanisms"][number]): DeliveryRequest {
  const board = builtinBoard("midway");
  if (board === undefined) throw new Error("midway");
  const device = findDevice(board, "/soc/ethernet@fff50000");
  return { board, device, interrupts: [findInterrupt(device, 0)], workload: workloadSchema.parse({}), profile: COST_PROFILES[0], mechanisms: [mechanism] };
}

/** Two vCPUs of the D05 on one CPU, or one and a neighbour. */
function overcommitted(mechanism: "direct" | "direct:blocked"): DeliveryRequest {
  const board = builtinBoard("d05", { assumeIommu: true });
  if (board === undefined) throw new Error("d05");
  const device = findDevice(board, "f9:10.0");
  const workload = mechanism === "direct" ? { vcpus: 2, targets: 2, cpus: 1, wait: "wfi" } : { wait: "wfi" };
  const indexes = mechanism === "direct" ? [0, 1] : [0];
  return { board, device, interrupts: indexes.map((index) => findInterrupt(device, index)), workload: workloadSchema.parse(workload), profile: COST_PROFILES[0], mechanisms: [mechanism] };
}

const TWICE = { raises: 2, sliceEnds: 0 };

describe("a scenario whose vCPUs have a CPU by turns", () => {
  const shared = (workload: object): DeliveryRequest => ({ ...request("irqfd+resample"), workload: workloadSchema.parse({ cpus: 1, ...workload }) });

  it.each([{ wait: "spin" }, { wait: "wfi", vcpus: 2, others: "spin" }])("is refused where one of them never sleeps: %j", (workload) => {
    expect(() => deliveryProtocol(shared(workload), TWICE, "test")).toThrow("/soc/ethernet@fff50000: the vCPUs have 1 CPU by turns, and one that never sleeps leaves the others without theirs");
  });

  it.skipIf(STRAIGHT)("is explored: two that take interrupts are served, whenever a turn ends", () => {
    const protocol = deliveryProtocol(overcommitted("direct"), { raises: 1, sliceEnds: 1 }, "test");
    expect(protocol.title).toContain("threads having a CPU by turns of which 1 ends early");
    const result = explore(() => protocol.program(), { preemptions: 0 });
    expect(result).toMatchObject({ verdict: "ok", exhausted: true });
    expect(result.interleavings).toBeGreaterThan(50);
  });

  it.skipIf(STRAIGHT)("direct:blocked: a neighbour that never sleeps does not keep its CPU from a vCPU", () => {
    const protocol = deliveryProtocol(overcommitted("direct:blocked"), { raises: 1, sliceEnds: 1 }, "test");
    expect(explore(() => protocol.program(), { preemptions: 0 })).toMatchObject({ verdict: "ok", exhausted: true });
  });
});

describe.skipIf(STRAIGHT)("a whole machine, explored", () => {
  it.each(["irqfd+resample", "forward"] as const)("%s: an interrupt raised twice at any moment is serviced, in every interleaving with one preemption", (mechanism) => {
    const protocol = deliveryProtocol(request(mechanism), TWICE, "test");
    const result = explore(() => protocol.program(), { preemptions: 1 });
    expect(result).toMatchObject({ verdict: "ok", exhausted: true });
    expect(result.interleavings).toBeGreaterThan(10);
  });

  it("a rule switched off is off in the machine", () => {
    const protocol = deliveryProtocol(request("irqfd+resample"), TWICE, "test");
    expect(protocol.program({ neverResample: true }).sim.hazards.neverResample).toBe(true);
    expect(protocol.program().sim.hazards.neverResample).toBe(false);
  });
});
