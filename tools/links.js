// Links of the project's pages to its own files.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PAGES = ["README.md", "CONTRIBUTING.md", "src/README.md", "docs/explore.md", "docs/hazards.md"];

/** Tables that say which test has which vector, the files in backticks, from the folder of the table, from src or from the root. */
const TABLES = ["irqchip/gic", "irqchip/mpic", "irqchip/x86", "irqchip/xics", "kvm", "vfio"].map((folder) => `src/${folder}/VECTORS.md`);

/** One sentence for each test that a table of vectors names and that is not there. */
export function tableFaults(root) {
  const faults = [];
  for (const table of TABLES)
    for (const [, test] of readFileSync(join(root, table), "utf8").matchAll(/`([\w./-]+\.ts)`/g))
      if (![dirname(table), "src", "."].some((from) => existsSync(join(root, from, test)))) faults.push(`${table} names ${test}, which does not exist`);
  return faults;
}

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
