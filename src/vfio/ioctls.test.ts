import { describe, expect, it } from "vitest";
import { soakIoctls } from "./ioctls.soak.js";

/** Every request that a file knows, and that can be done at all. */
const DOABLE: Readonly<Record<string, string>> = {
  "vfio-container": "3b64 3b65 3b66 3b70 3b71 3b72 3b73 3b74 3b75 3b76 3b77 3b78 3ba0",
  "vfio-group": "3b67 3b68 3b69 3b6a",
  "vfio-device": "3b6b 3b6c 3b6d 3b6e 3b6f 3b70 3b71 3b74 3b75 3b76 3b77 3b78 3b8c",
  iommufd: "3b64 3b65 3b66 3b70 3b71 3b72 3b80 3b81 3b82 3b83 3b84 3b85 3b86 3b87 3b88 3b89 3b8a 3b8b 3b8c 3ba0",
  "kvm-device": "4018aee1 4018aee3",
  "vfio-migration": "3b79",
  "vfio-draft-group": "3b64 3b65 3b66 3b67 3b68",
  "vfio-draft-iommu": "3b69 3b6a 3b6b 3ba0",
  "vfio-draft-device": "3b6c 3b6d 3b6e 3b6f 3b70 3b71 3b72",
};

/** Refusals that only a request's own handler knows: whoever sees them got past its front. */
const REFUSED: Readonly<Record<string, string>> = {
  "vfio-container 3b66": "ENODEV",
  "vfio-container 3b71": "EEXIST ENOENT EOPNOTSUPP EPERM",
  "vfio-container 3b73": "EBUSY",
  "vfio-container 3b75": "EACCES",
  "vfio-container 3b76": "ENOENT",
  "vfio-device 3b6e": "EBADF ENOTTY",
  "vfio-device 3b71": "EBADF ENODEV",
  "vfio-device 3b74": "ENODEV",
  "vfio-device 3b76": "EBUSY",
  "iommufd 3b80": "EBUSY",
  "iommufd 3b84": "EMSGSIZE",
  "iommufd 3b87": "EPERM",
  "iommufd 3b88": "ENODEV",
  "iommufd 3ba0": "ENOENT",
  "kvm-device 4018aee1": "EBADF EEXIST ENODEV ENOENT ENXIO",
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

  it("each request of each kind of file is done, and not only refused, and refused by its own handler too", () => {
    const { doneOf, refusedOf, faults } = soakIoctls(60_000, 4);
    expect(faults).toEqual([]);
    const wanted = Object.entries(DOABLE).flatMap(([kind, requests]) => requests.split(" ").map((request) => `${kind} ${request}`));
    expect(wanted.filter((each) => !doneOf.has(each))).toEqual([]);
    const refusals = Object.entries(REFUSED).flatMap(([request, names]) => names.split(" ").map((name) => `${request} ${name}`));
    expect(refusals.filter((each) => !refusedOf.has(each))).toEqual([]);
  });
});
