import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { EXHIBITS, HAZARD_CASES, UNREACHABLE } from "../dist/stepped/index.js";
import { hazardCells, missingHazards, rowsOf } from "./hazard-page.js";

const page = readFileSync(new URL("../docs/hazards.md", import.meta.url), "utf8");

it("the page has a row for each case of the catalogue, in its order, and no other", () => {
  const expected = HAZARD_CASES.map((hazard) => [hazard.id.split(" ")[0], ...hazardCells(hazard).map((text) => text.replaceAll("|", "\\|"))]);
  const order = [...new Set(expected.map(([name]) => name))];
  expect(rowsOf(page).map((row) => row.slice(0, 5))).toEqual(order.flatMap((name) => expected.filter(([own]) => own === name)));
});

it("every verdict on the page is the one that its class promises", () => {
  expect(page).not.toMatch(/\bNOT\b|FAILS/);
  expect(rowsOf(page).every((row) => row.length === 8)).toBe(true);
});

it("every numbered hazard of the core, the host, x86, the GIC, VFIO, the XICS and the MPIC is a case", () => {
  expect(missingHazards(HAZARD_CASES)).toEqual([]);
});

it("each exhibit has its row", () => {
  const museum = page.slice(page.indexOf("## The museum"));
  expect([...museum.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name)).toEqual([...EXHIBITS, ...UNREACHABLE].map(({ name }) => name));
});
