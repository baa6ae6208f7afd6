import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Operation, PLACES } from "./its-operation.fixture.js";
import { RandomIts, type RandomItsOptions } from "./random-its.fixture.js";

const RUNS = 60;
const LENGTH = 250;
const KINDS = 37;

const below = (count: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: count - 1 });
const operation: fc.Arbitrary<Operation> = fc.record({
  kind: below(KINDS),
  its: below(PLACES.its),
  device: fc.oneof({ weight: 20, arbitrary: below(PLACES.device - 1) }, { weight: 1, arbitrary: fc.constant(PLACES.device - 1) }),
  event: below(PLACES.event),
  cpu: below(PLACES.cpu),
  vpe: below(PLACES.vpe),
  icid: below(PLACES.icid),
  byte: below(256),
});
const sequence = fc.array(operation, { minLength: 40, maxLength: LENGTH, size: "max" });

const MACHINES: readonly (readonly [string, RandomItsOptions])[] = [
  ["GICv3", { hw: "v3", itses: 2 }],
  ["GICv4.0", { hw: "v4.0", itses: 1 }],
  ["GICv4.0, two ITSs and one VMOVP", { hw: "v4.0", itses: 2 }],
  ["GICv4.0, two ITSs and the ITS list", { hw: "v4.0", itses: 2, hasVmovp: false }],
  ["GICv4.1", { hw: "v4.1", itses: 2 }],
  ["GICv4.1 that keeps pending tables to itself", { hw: "v4.1", itses: 1, caches: true }],
];

describe("the physical ITS after any sequence of commands, messages, register writes and acknowledges", () => {
  it.each(MACHINES)("%s: what is pending, enabled, highest and where is what the Arm manual says", (_name, options) => {
    fc.assert(
      fc.property(sequence, (operations) => {
        const machine = new RandomIts(options);
        for (const each of operations) machine.apply(each);
      }),
      { numRuns: RUNS },
    );
  });

  it("a difference is seen: a vLPI that the manual has pending and the hardware has not", () => {
    const machine = new RandomIts({ hw: "v4.0", itses: 1 });
    machine.model.virtual[0].add(8192);
    expect(() => machine.apply({ kind: 13, its: 0, device: 0, event: 0, cpu: 0, vpe: 0, icid: 0, byte: 1 })).toThrow();
  });
});
