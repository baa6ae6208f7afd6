import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { EXPLORED_PROFILES, profiledProtocols, protocolNamed } from "./catalogue.js";
import { programHash } from "./schedule.js";
import { search } from "./search.js";

// vfio.md 0.4: VFIO's protocols under the kernels of another time, by NAME@PROFILE.

const PATIENCE = 120_000;

function searched(name: string): readonly [executions: number, message: string | null] {
  const { executions, violation } = search(protocolNamed(name), { strategy: "preemption", preemptions: 1 });
  return [executions, violation?.message ?? null];
}

describe.skipIf(STRAIGHT)("a protocol of VFIO's under another profile", () => {
  it("2.5, 2.6: of a group's attach and a host driver's probe one succeeds; v5 has no owner of DMA to ask, and stops", () => {
    expect(searched("attach-against-probe")).toEqual([expect.any(Number), null]);
    for (const profile of ["modern", "fwd2014"]) expect(searched(`attach-against-probe@${profile}`)).toEqual(searched("attach-against-probe"));
    expect(searched("attach-against-probe@v5")[1]).toBe("GroupViabilityViolated: a host driver is bound to a member of IOMMU group 12, which user space has");
  }, PATIENCE);

  it("16.3: whose trigger is removed has its line, disabled; v5 gives the line back", () => {
    for (const profile of ["modern", "fwd2014"]) expect(searched(`remove-against-unmask@${profile}`)[1]).toBeNull();
    expect(searched("remove-against-unmask@v5")[1]).toBe("23.3: depth 0, masked false");
  }, PATIENCE);

  it("8.6: INTx without a trigger keeps its line, or gives it back in v5: other orders, and no rule breaks in any", () => {
    const [modern, v5] = ["modern", "v5"].map((profile) => searched(`take-trigger-against-unmask@${profile}`));
    expect([modern[1], v5[1]]).toEqual([null, null]);
    expect(v5[0]).toBeGreaterThan(modern[0]);
  }, PATIENCE);

  it("21.6: draft2011 has no container to leave, but groups that merge", () => {
    for (const name of ["draft-unmask-against-pin", "draft-unmerge-against-open"]) expect(searched(name)[1]).toBeNull();
  }, PATIENCE);
});

describe("the name of a protocol under a profile", () => {
  it("stands for another program, whose schedules are its own", () => {
    const hashes = ["attach-against-probe", ...EXPLORED_PROFILES.map((profile) => `attach-against-probe@${profile}`)].map((name) => programHash(protocolNamed(name)));
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(profiledProtocols().every(({ name }) => protocolNamed(name).name === name)).toBe(true);
  });

  it("of a profile or a protocol that is not there is refused", () => {
    expect(() => protocolNamed("attach-against-probe@v6")).toThrow("attach-against-probe@v6: the profiles of VFIO that attach-against-probe can be explored under are modern, v5, fwd2014; draft2011 has protocols of its own, draft-...");
    expect(() => protocolNamed("assign-against-signal@v5")).toThrow("assign-against-signal@v5: assign-against-signal is no protocol of VFIO's groups, pins and lines, which alone have profiles");
  });
});
