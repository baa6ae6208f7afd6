import { describe, expect, it } from "vitest";
import { LapicHarness } from "./lapic.fixture.js";

describe("smoke", () => {
  it("x", () => {
    const h = new LapicHarness({ cpus: 4 }).flat();
    expect(h.signalMsi(0xfee01000, 0x4041)).toBe(1);
    expect(h.requested(0x41)).toEqual([1]);
    expect(h.drain(0x41)).toEqual([1]);
    h.write(0, 0x380, 1000);
  });
});
