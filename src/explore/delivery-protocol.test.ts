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

it("a scenario whose threads have a CPU by turns is refused: a search keeps to no slice", () => {
  const shared = request("irqfd+resample");
  expect(() => deliveryProtocol({ ...shared, workload: { ...shared.workload, cpus: 1 } }, 1, "test")).toThrow("threads have a CPU by turns");
});

describe.skipIf(STRAIGHT)("a whole machine, explored", () => {
  it.each(["irqfd+resample", "forward"] as const)("%s: an interrupt raised twice at any moment is serviced, in every interleaving with one preemption", (mechanism) => {
    const protocol = deliveryProtocol(request(mechanism), 2, "test");
    const result = explore(() => protocol.program(), { preemptions: 1 });
    expect(result).toMatchObject({ verdict: "ok", exhausted: true });
    expect(result.interleavings).toBeGreaterThan(10);
  });

  it("a rule switched off is off in the machine", () => {
    const protocol = deliveryProtocol(request("irqfd+resample"), 2, "test");
    expect(protocol.program({ neverResample: true }).sim.hazards.neverResample).toBe(true);
    expect(protocol.program().sim.hazards.neverResample).toBe(false);
  });
});
