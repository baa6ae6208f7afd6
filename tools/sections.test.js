import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { sectionFaults, vectorFaults } from "./sections.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

it("every section of vfio.md has files that hold it and tests that would see it broken", () => {
  expect(sectionFaults(root)).toEqual([]);
});

it("every vector of vfio.md has a test that says its number", () => {
  expect(vectorFaults(root)).toEqual([]);
});
