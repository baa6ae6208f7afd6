// `npm run explore:all`: every hazard case and every exhibit of the museum, searched whole, into docs/hazards.md. Exit status 1
// when one does not show what its class says.
import { mkdirSync, writeFileSync } from "node:fs";
import { checkHazard, EXHIBITS, HAZARD_CASES, prove, RuledSearches, UNREACHABLE, visit } from "../dist/stepped/index.js";
import { hazardPage } from "./hazard-page.js";

const only = process.argv.slice(2);
const isAsked = (name) => only.length === 0 || only.some((part) => name.includes(part));
let faults = 0;

function told(name, check, isFine) {
  const began = performance.now();
  const result = check();
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (!isFine(result)) faults++;
  console.log(`${isFine(result) ? "holds" : "FAILS"}  ${name}  ${seconds} s${result.fault ? `: ${result.fault}` : ""}`);
  return result;
}

const ruled = new RuledSearches(1_000_000);
const hazards = HAZARD_CASES.filter(({ id }) => isAsked(id)).map((hazard) => [hazard, told(`${hazard.id} (${hazard.kind})`, () => checkHazard(hazard, { ruled }), ({ holds }) => holds)]);
const exhibits = EXHIBITS.filter(({ name }) => isAsked(name)).map((exhibit) => [exhibit, told(exhibit.name, () => visit(exhibit), (result) => result.foundWithoutFix && result.absentWithFix)]);
const unreachable = UNREACHABLE.filter(({ name }) => isAsked(name)).map((each) => [each, told(each.name, () => prove(each), ({ absent }) => absent)]);
console.log(`${hazards.length} hazards and ${exhibits.length + unreachable.length} exhibits, ${faults} do not hold`);
if (only.length === 0) {
  mkdirSync(new URL("../docs/", import.meta.url), { recursive: true });
  writeFileSync(new URL("../docs/hazards.md", import.meta.url), hazardPage(hazards, exhibits, unreachable));
}
process.exitCode = faults === 0 ? 0 : 1;
