import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RangeList } from "./range-list.js";

interface Run {
  readonly start: number;
  readonly end: number;
}

const listOf = () => new RangeList<number, Run>(
  (run) => run.start,
  (run) => run.end,
);

describe("ranges in order", () => {
  it("are what an array of them is, whatever comes and goes", () => {
    const change = fc.record({ start: fc.nat(3000), length: fc.integer({ min: 1, max: 4 }), isAdd: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 1500, minLength: 700 }), (changes) => {
        const list = listOf();
        let plain: Run[] = [];
        for (const { start, length, isAdd } of changes) {
          const run = { start, end: start + length };
          const touching = plain.filter((each) => each.start < run.end && run.start < each.end);
          expect(list.in(run.start, run.end)).toEqual(touching);
          expect(list.firstIn(run.start, run.end)).toBe(touching[0]);
          if (touching.length === 0 && isAdd) {
            list.add(run);
            plain = [...plain, run].toSorted((a, b) => a.start - b.start);
          } else if (touching.length > 0 && !isAdd) {
            list.remove(touching[0]);
            plain = plain.filter((each) => each !== touching[0]);
          }
        }
        expect(list.all()).toEqual(plain);
        expect([list.length, list.last]).toEqual([plain.length, plain.at(-1)]);
      }),
      { numRuns: 20 },
    );
  });

  it("does not take out what is not in it", () => {
    const list = listOf();
    list.add({ start: 4, end: 8 });
    expect(() => list.remove({ start: 4, end: 8 })).toThrow("not in the list");
  });
});
