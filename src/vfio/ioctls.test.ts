import { describe, expect, it } from "vitest";
import { soakIoctls } from "./ioctls.soak.js";

describe("any request on any file with any argument", () => {
  it.each([1, 2, 3])("seed %i: answers a specified errno or does what it says, and leaves nothing behind", (seed) => {
    const { done, errnos, transfers, faults } = soakIoctls(3000, seed);
    expect(faults).toEqual([]);
    // Not all of it bounces: enough gets through to break something.
    expect(done).toBeGreaterThan(600);
    expect(transfers).toBeGreaterThan(0);
    expect(errnos.size).toBeGreaterThan(6);
  });
});
