import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { LAYERS, layeringFaults } from "./layers.js";
import { linkFaults, linksOf, tableFaults } from "./links.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

it("every link of the project's pages leads somewhere", () => {
  expect(linkFaults(root)).toEqual([]);
});

it("every test that a table of vectors names is there", () => {
  expect(tableFaults(root)).toEqual([]);
});

it("the walk of src/README.md passes through the layers in both directions", () => {
  const folders = linksOf(root, "src/README.md").map((link) => link.split("/")[0]);
  for (const folder of ["device", "host", "vfio", "kvm", "irqchip", "guest"]) expect(folders).toContain(folder);
});

it("imports only point down", () => {
  expect(LAYERS.indexOf("sim")).toBeLessThan(LAYERS.indexOf("kvm"));
  expect(layeringFaults(root)).toEqual([]);
});
