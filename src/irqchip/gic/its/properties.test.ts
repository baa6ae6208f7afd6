import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ItsGuest, type Operation, PLACES } from "./guest.fixture.js";

const RUNS = 30;
const LENGTH = 120;

const operation: fc.Arbitrary<Operation> = fc.record({
  kind: fc.integer({ min: 0, max: 21 }),
  device: fc.integer({ min: 0, max: PLACES.devices - 1 }),
  event: fc.integer({ min: 0, max: PLACES.events - 1 }),
  icid: fc.integer({ min: 0, max: PLACES.collections - 1 }),
  vcpu: fc.integer({ min: 0, max: PLACES.vcpus - 1 }),
  byte: fc.integer({ min: 0, max: 255 }),
});
const sequence = fc.array(operation, { minLength: 20, maxLength: LENGTH, size: "max" });

describe("any sequence of commands, messages and acknowledges", () => {
  it("leaves what the Arm manual says: which LPIs are pending, enabled, at which priority, at which vCPU", () => {
    fc.assert(
      fc.property(sequence, fc.integer({ min: 1, max: 3 }), (operations, itses) => {
        const guest = new ItsGuest({ itses });
        for (const each of operations) guest.apply(each);
        guest.drain();
      }),
      { numRuns: RUNS },
    );
  });

  it("does the same after a save and a restore of one ITS or several into a new VM, at any point of it", () => {
    fc.assert(
      fc.property(sequence, fc.integer({ min: 1, max: 7 }), fc.boolean(), fc.integer({ min: 1, max: 3 }), (operations, eighths, isIndirect, itses) => {
        const guest = new ItsGuest({ itses, isIndirect, isInvalidating: true });
        const restored: ItsGuest[] = [];
        const at = Math.floor((operations.length * eighths) / 8);
        operations.forEach((each, i) => {
          if (i === at) restored.push(guest.migrate());
          guest.apply(each);
          for (const other of restored) {
            other.apply(each);
            expect(other.seen, `after ${JSON.stringify(each)}`).toEqual(guest.seen);
          }
        });
        guest.drain();
        for (const other of restored) {
          other.drain();
          expect(other.seen).toEqual(guest.seen);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("what comes while a redistributor's LPIs are off is lost, and comes again when they are on", () => {
    const step = { device: 0, event: 0, icid: 0, vcpu: 1, byte: 1 };
    const guest = new ItsGuest({ itses: 1 });
    for (const kind of [0, 2, 4, 20, 8, 20, 12, 8, 12]) guest.apply({ ...step, kind });
    expect(guest.seen.filter((each) => each >= 8192)).toContain(8192);
    expect(guest.model.isPending(8192)).toBe(false);
  });

  it("a difference is seen: an LPI that the manual has cleared and the ITS has not", () => {
    const take = { kind: 12, device: 0, event: 0, icid: 0, vcpu: 1, byte: 1 };
    const guest = new ItsGuest({ itses: 1 });
    for (const kind of [0, 2, 4, 6]) guest.apply({ ...take, kind });
    guest.model.clear(0, 0);
    expect(() => guest.apply(take)).toThrow();
  });
});
