// docs/hazards.md: what each numbered hazard and each exhibit of the museum showed.
import { BEYOND_DPOR, DPOR_EXECUTIONS } from "../dist/stepped/index.js";

const HEAD = `# Hazards

Every numbered hazard of the specifications that virq covers, and what a whole search shows of it. \`npm run explore:all\`
makes this page; \`virq explore SCENARIO --without RULE\` shows any of the races.

| class | what it means |
|---|---|
| race | its rule removed, the search finds it, and not in the first execution, in which nobody is interrupted; with the rule, no interleaving up to the bound shows it |
| trap | its rule removed, a vector of the specification fails, or a scenario's first execution: no race is needed; with the rule, the vector holds, and no interleaving of the scenario up to the bound shows it |
| reproduced | the kernel really behaves so: the search finds the kernel's outcome |
| impossible | it cannot happen here: an assertion, with the argument |

A scenario names the events and accesses that it is about, and a row holds only when they happen with the rule in force.
The strategy of a race, and of a trap in a scenario, is the preemption-bounded search: all interleavings in which contexts are interrupted at most so
often in the middle of their work, first without the rule until it is found, then with it to the end. Interleavings
explored are those of both.
`;

/** The numbered hazards that have a case each, by specification. */
const NUMBERED = {
  "kvm-irq-core.md": ["H", [[1, 40]]],
  "host-irq.md": ["K", [[1, 30]]],
  "gic.md": ["R", [[1, 57]]],
  "x86-irqchip.md": ["X", [[1, 28]]],
  "vfio.md": ["23.", [[1, 30]]],
  "xics.md": ["R", [[1, 27]]],
  "mpic.md": ["M", [[1, 20]]],
};

/** "x86-irqchip.md X5" for each numbered hazard without a case. */
export function missingHazards(hazards) {
  const known = new Set(hazards.map(({ id }) => id));
  return Object.entries(NUMBERED).flatMap(([name, [letter, ranges]]) =>
    ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => `${name} ${letter}${first + i}`)).filter((id) => !known.has(id)),
  );
}

const NONE = "–";
const cell = (text) => String(text).replaceAll("|", "\\|").replaceAll("\n", " ");
const row = (cells) => `| ${cells.map(cell).join(" | ")} |`;
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const bound = (n) => `${n} ${n === 1 ? "preemption" : "preemptions"}`;

const VERDICTS = {
  race: (report) => (report.found ? "found without its rule" : "NOT FOUND without its rule") + (report.absent ? ", absent with it" : ", NOT ABSENT with it"),
  program: (report) => (report.found ? "the first execution fails without its rule" : "NOT FOUND without its rule") + (report.absent ? ", none does with it" : ", NOT ABSENT with it"),
  trap: (report) => (report.found ? "the vector fails without its rule" : "the vector DOES NOT FAIL without its rule") + (report.absent ? ", holds with it" : ", FAILS with it"),
  reproduced: (report) => (report.found ? "the kernel's outcome is found" : "the kernel's outcome is NOT FOUND"),
  impossible: (report) => (report.holds ? "the assertion holds" : "the assertion DOES NOT HOLD"),
};

/** A race and a trap in a scenario are searched; a trap in a vector is run. */
const verdictOf = (hazard) => (hazard.kind === "trap" && "protocol" in hazard ? "program" : hazard.kind);

/** The cells of a hazard that do not depend on a search: hazard, title, class, scenario. */
export function hazardCells(hazard) {
  const scenarios = {
    race: () => `\`${hazard.protocol.name}\`, \`${hazard.off}\``,
    trap: () => `${"protocol" in hazard ? `\`${hazard.protocol.name}\`` : hazard.vector}, \`${hazard.off}\``,
    reproduced: () => `\`${hazard.protocol.name}\``,
    impossible: () => NONE,
  };
  return [hazard.id.replace(/^\S+\s+/, ""), hazard.title, hazard.kind, scenarios[hazard.kind]()];
}

function hazardRow(hazard, report) {
  const isSearched = "protocol" in hazard;
  const strategy = isSearched ? `up to ${bound(hazard.preemptions)}` : NONE;
  return row([...hazardCells(hazard), strategy, isSearched ? grouped(report.executions) : NONE, VERDICTS[verdictOf(hazard)](report)]);
}

const specification = (hazard) => hazard.id.split(" ")[0];

/** The page's text. `hazards` and `exhibits` are pairs of a catalogue's entry and what it showed. */
export function hazardPage(hazards, exhibits, unreachable) {
  const lines = [HEAD];
  for (const name of new Set(hazards.map(([hazard]) => specification(hazard)))) {
    const own = hazards.filter(([hazard]) => specification(hazard) === name);
    lines.push(`## ${name}`, "", row(["hazard", "", "class", "scenario, and the rule switched off", "strategy", "interleavings explored", "verdict"]), "|---|---|---|---|---|---:|---|");
    lines.push(...own.map(([hazard, report]) => hazardRow(hazard, report)), "");
    const argued = own.filter(([hazard]) => "argument" in hazard);
    if (argued.length > 0) lines.push("Why the kernel may do so, or why it cannot happen:", "", ...argued.map(([hazard]) => `- ${hazardCells(hazard)[0]} (${hazard.kind}): ${hazard.argument}`), "");
  }
  const missing = missingHazards(hazards.map(([hazard]) => hazard));
  if (missing.length > 0) lines.push("## Without a case so far", "", ...missing.map((id) => `- ${id}`), "");
  lines.push("## By partial-order reduction", "", `\`--strategy dpor\` finds every race, and every outcome that is reproduced, within ${grouped(DPOR_EXECUTIONS)} executions too, but for:`, "");
  lines.push(row(["hazard", "scenario", "why not"]), "|---|---|---|", ...BEYOND_DPOR.map(({ id, protocol, reason }) => row([id, `\`${protocol}\``, reason])), "");
  lines.push("## The museum", "", row(["exhibit", "year", "scenario, and the fix taken out", "strategy", "found without it in", "absent with it in", "verdict"]), "|---|---|---|---|---:|---:|---|");
  for (const [{ name, year, protocol, off, bound: at }, visit] of exhibits) {
    const verdict = (visit.foundWithoutFix ? "found without its fix" : "NOT FOUND without its fix") + (visit.absentWithFix ? ", absent with it" : ", NOT ABSENT with it");
    lines.push(row([`\`${name}\``, year, `\`${protocol.name}\`, \`${off}\``, `up to ${bound(at.preemptions)}`, grouped(visit.executions.without), grouped(visit.executions.with), verdict]));
  }
  lines.push("", "Told, and not reachable as told (`virq museum NAME` says why):", "", row(["told", "year", "scenario", "strategy", "interleavings explored", "verdict"]), "|---|---|---|---|---:|---|");
  for (const [{ name, year, protocol, bound: at }, proof] of unreachable) lines.push(row([`\`${name}\``, year, `\`${protocol.name}\``, `up to ${bound(at.preemptions)}`, grouped(proof.executions), proof.absent ? "no interleaving shows it" : "NOT ABSENT"]));
  return `${lines.join("\n")}\n`;
}

/** The first four cells of every row of the hazards' tables, under its specification: what a test holds against the catalogue. */
export function rowsOf(page) {
  const rows = [];
  let name = "";
  for (const line of page.split("\n")) {
    const title = /^## (\S+\.md)$/.exec(line);
    if (title) name = title[1];
    else if (line.startsWith("## ")) name = "";
    else if (name !== "" && line.startsWith("| ") && !line.startsWith("| hazard |")) rows.push([name, ...line.slice(2, -2).split(/ \| /)]);
  }
  return rows;
}
