// src/vfio/SECTIONS.md and VECTORS.md: every section of vfio.md has files and tests, every vector its test.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Subsections of each section of the specification. */
const SUBSECTIONS = [6, 3, 7, 3, 6, 6, 0, 6, 9, 0, 7, 0, 6, 7, 0, 4, 0, 8, 0, 0, 2, 6, 3, 0, 0];
const VECTORS = 110;
const FOLDER = "src/vfio";
const IS_TEST = /\.(test|soak)\.ts$/;

const wanted = SUBSECTIONS.flatMap((count, section) => (count === 0 ? [`${section}`] : Array.from({ length: count }, (_, i) => `${section}.${i + 1}`)));

/** "8.3–8.5" and "12.4, 12.5", as far as a row begins with them. */
function sectionsOf(cell) {
  const [numbers] = /^[\d., –]*\d/.exec(cell) ?? [""];
  return numbers.split(", ").flatMap((part) => {
    const [first, last = first] = part.split("–");
    const [section, from] = first.split(".").map(Number);
    const to = Number(last.split(".")[1]);
    return from === undefined ? [first] : Array.from({ length: to - from + 1 }, (_, i) => `${section}.${from + i}`);
  });
}

const rowsOf = (text) => text.split("\n").filter((line) => /^\| \d/.test(line)).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
const filesIn = (cell) => [...cell.matchAll(/`([\w./-]+)`/g)].map(([, file]) => file);
const isThere = (root, file) => [FOLDER, "src"].some((from) => existsSync(join(root, from, file)));

/** One sentence for each section that has no row, or whose row names no file or no test. */
export function sectionFaults(root) {
  const rows = rowsOf(readFileSync(join(root, FOLDER, "SECTIONS.md"), "utf8"));
  const told = rows.flatMap(([section]) => sectionsOf(section));
  const faults = wanted.filter((section) => !told.includes(section)).map((section) => `vfio.md ${section} has no row`);
  for (const [section, files, tests] of rows) {
    for (const file of filesIn(files).filter((file) => !isThere(root, file))) faults.push(`${section}: there is no ${file}`);
    if (files.startsWith("nothing to hold:")) continue;
    if (!filesIn(files).some((file) => !IS_TEST.test(file))) faults.push(`${section}: no file holds it`);
    if (!filesIn(tests).some((file) => IS_TEST.test(file))) faults.push(`${section}: no test would see it broken`);
  }
  return faults;
}

/** Numbers of vectors in "1–15, 19–23" or in a test's title "vectors 12, 13, 14: ...". */
function numbersOf(text) {
  return text.split(/, | and /).flatMap((part) => {
    const [first, last = first] = part.split("–").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** One sentence for each vector of section 24 that no test of the files of its row names in a title. */
export function vectorFaults(root) {
  const tested = new Map();
  const [table] = readFileSync(join(root, FOLDER, "VECTORS.md"), "utf8").split("All 110 are there.");
  for (const [numbers, files] of rowsOf(table)) {
    const titles = filesIn(files).map((file) => readFileSync([FOLDER, "."].map((from) => join(root, from, file)).find(existsSync), "utf8")).join("\n");
    const named = [...titles.matchAll(/(?<!host-irq )\bvectors? (\d+(?:(?:, | and |–)\d+)*)/g)].flatMap(([, list]) => numbersOf(list));
    for (const vector of numbersOf(numbers)) tested.set(vector, tested.get(vector) || named.includes(vector));
  }
  return Array.from({ length: VECTORS }, (_, i) => i + 1)
    .filter((vector) => !tested.get(vector))
    .map((vector) => (tested.has(vector) ? `vector ${vector}: no test of its files has it in a title` : `vector ${vector} has no row`));
}
