import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shrink } from "./shrink.js";

describe("shrinking", () => {
  it("leaves exactly the items that a failure needs, in their order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.array(fc.nat(59), { minLength: 1, maxLength: 5 }), (length, needed) => {
        const items = Array.from({ length }, (_, i) => i);
        const wanted = [...new Set(needed.filter((each) => each < length))].sort((a, b) => a - b);
        fc.pre(wanted.length > 0);
        expect(shrink(items, (some) => wanted.every((each) => some.includes(each)))).toEqual(wanted);
      }),
    );
  });

  it("keeps what only fails together, and asks for no empty sequence", () => {
    const asked: number[] = [];
    const left = shrink([1, 2, 3, 4, 5, 6, 7, 8], (some) => (asked.push(some.length), some.includes(8) && (some.includes(1) || some.length === 8)));
    expect(left).toEqual([1, 8]);
    expect(Math.min(...asked)).toBeGreaterThan(0);
  });
});
