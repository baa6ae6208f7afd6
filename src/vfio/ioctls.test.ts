import { describe, expect, it } from "vitest";
import { soakIoctls } from "./ioctls.soak.js";

/** Every request that a file knows, and that can be done at all. */
const DOABLE: Readonly<Record<string, string>> = {
  "vfio-container": "3b64 3b65 3b66 3b70 3b71 3b72 3b73 3b74 3b75 3b76 3b77 3b78",
  "vfio-group": "3b67 3b68 3b69 3b6a",
  "vfio-device": "3b6b 3b6c 3b6d 3b6e 3b6f 3b70 3b71 3b74 3b75 3b76 3b77 3b78 3b8c",
  iommufd: "3b64 3b65 3b66 3b70 3b71 3b72 3b80 3b81 3b82 3b83 3b84 3b85 3b86 3b87 3b88",
  "vfio-migration": "3b79",
  "vfio-draft-group": "3b64 3b65 3b66 3b67 3b68",
  "vfio-draft-iommu": "3b69 3b6a 3b6b",
  "vfio-draft-device": "3b6c 3b6d 3b6e 3b6f 3b70 3b71 3b72",
};

describe("any request on any file with any argument", () => {
  it.each([1, 2, 3])("seed %i: answers a specified errno or does what it says, and leaves nothing behind", (seed) => {
    const { done, errnos, transfers, faults } = soakIoctls(3000, seed);
    expect(faults).toEqual([]);
    // Not all of it bounces: enough gets through to break something.
    expect(done).toBeGreaterThan(600);
    expect(transfers).toBeGreaterThan(0);
    expect(errnos.size).toBeGreaterThan(12);
  });

  it("each request of each kind of file is done, and not only refused", () => {
    const { doneOf, faults } = soakIoctls(60_000, 4);
    expect(faults).toEqual([]);
    const wanted = Object.entries(DOABLE).flatMap(([kind, requests]) => requests.split(" ").map((request) => `${kind} ${request}`));
    expect(wanted.filter((each) => !doneOf.has(each))).toEqual([]);
  });
});
