// Links of the project's pages to its own files.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PAGES = ["README.md", "CONTRIBUTING.md", "src/README.md", "docs/explore.md", "docs/hazards.md"];

/** Tables that say which test has which vector, the files in backticks, from the folder of the table, from src or from the root. */
const TABLES = [...["irqchip/gic", "irqchip/mpic", "irqchip/x86", "irqchip/xics", "kvm", "vfio"].map((folder) => `src/${folder}/VECTORS.md`), "src/vfio/SECTIONS.md"];

/** One sentence for each test that a table of vectors names and that is not there: `file.ts`, or `file.ts` "beginning of a title" "another". */
export function tableFaults(root) {
  const faults = [];
  for (const table of TABLES)
    for (const [, test, titles] of readFileSync(join(root, table), "utf8").matchAll(/`([\w./-]+\.ts)`((?: "[^"]+")*)/g)) {
      const from = [dirname(table), "src", "."].find((folder) => existsSync(join(root, folder, test)));
      if (from === undefined) faults.push(`${table} names ${test}, which does not exist`);
      else faults.push(...titleFaults(table, test, readFileSync(join(root, from, test), "utf8"), titles));
    }
  return faults;
}

const titleFaults = (table, test, text, titles) =>
  [...titles.matchAll(/"([^"]+)"/g)].filter(([quoted]) => !text.includes(quoted.slice(0, -1))).map(([quoted]) => `${table} names ${test} ${quoted}, and no title there begins so`);

/** One sentence for each link that leads nowhere. */
export function linkFaults(root) {
  const faults = [];
  for (const page of PAGES) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, target] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      if (!/^https?:/.test(target) && !existsSync(join(root, dirname(page), target))) faults.push(`${page} links to ${target}, which does not exist`);
  }
  return faults;
}

/** The files that a page links to, in its order. */
export function linksOf(root, page) {
  return [...readFileSync(join(root, page), "utf8").matchAll(/\]\(([^)#]+)\)/g)].map((m) => m[1]);
}
