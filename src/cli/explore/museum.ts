import type { Exhibit } from "../../museum/exhibit.js";
import { EXHIBITS } from "../../museum/exhibits.js";
import { visit, type Visit } from "../../museum/visit.js";
import { PersonError } from "../../sim/person-error.js";
import { Progress } from "../progress.js";
import { heading, table } from "../table.js";
import type { MuseumCommandOptions } from "./options.js";
import type { MuseumOutput } from "./schema.js";
import { executionOf, shownAgain, shownText } from "./shown.js";
import { grouped, wrapped } from "./words.js";

/** `virq museum`. True: every exhibit visited holds. */
export async function museum(name: string | undefined, options: MuseumCommandOptions): Promise<boolean> {
  if (name !== undefined && options.all) throw new PersonError(`museum: ${name}, or --all? Leave one of the two out`);
  if (name === undefined && !options.all) {
    process.stdout.write(options.json ? json(EXHIBITS.map((exhibit) => ({ exhibit, visit: null }))) : listText());
    return true;
  }
  const progress = new Progress();
  const asked = name === undefined ? EXHIBITS : [exhibitNamed(name)];
  const visits = asked.map((exhibit, i) => {
    progress.show(`${i} of ${asked.length} exhibits; ${exhibit.name}`);
    return { exhibit, visit: visit(exhibit) };
  });
  progress.clear();
  if (options.json) process.stdout.write(json(visits));
  else process.stdout.write(name === undefined ? tableText(visits) : exhibitText(visits[0], options.whole));
  return visits.every(({ visit }) => holds(visit));
}

interface Visited {
  readonly exhibit: Exhibit;
  readonly visit: Visit;
}

const holds = ({ foundWithoutFix, absentWithFix }: Visit): boolean => foundWithoutFix && absentWithFix;

function exhibitNamed(name: string): Exhibit {
  const found = EXHIBITS.find((exhibit) => exhibit.name === name);
  if (found === undefined) throw new PersonError(`there is no exhibit ${name}: virq museum lists them`);
  return found;
}

function json(visits: readonly { readonly exhibit: Exhibit; readonly visit: Visit | null }[]): string {
  const output: MuseumOutput = {
    exhibits: visits.map(({ exhibit: { name, title, year, cite, rule, bound }, visit }) => ({
      name,
      title,
      year,
      cite: cite.map(({ text, url }) => ({ text, url })),
      rule,
      foundWithoutFix: visit?.foundWithoutFix ?? null,
      absentWithFix: visit?.absentWithFix ?? null,
      executions: visit?.executions ?? null,
      bound: { ...bound },
      schedule: visit?.schedule ?? null,
      message: visit?.message ?? null,
    })),
  };
  return `${JSON.stringify(output, null, 2)}\n`;
}

function listText(): string {
  const rows = EXHIBITS.map(({ name, year, title }) => [name, String(year), title]);
  return `${table(rows)}\n\nvirq museum NAME explains one, finds it without its fix, and proves it absent with it; --all goes through all.\n`;
}

function tableText(visits: readonly Visited[]): string {
  const rows = visits.map(({ exhibit: { name, bound }, visit }) => [
    name,
    visit.foundWithoutFix ? `found in ${grouped(visit.executions.without)}` : `NOT FOUND in ${grouped(visit.executions.without)}`,
    visit.absentWithFix ? `absent in all ${grouped(visit.executions.with)}` : `NOT ABSENT in ${grouped(visit.executions.with)}`,
    `up to ${bound.preemptions} ${bound.preemptions === 1 ? "preemption" : "preemptions"}`,
  ]);
  const held = visits.filter(({ visit }) => holds(visit)).length;
  return `${table([["exhibit", "without its fix", "with it", "bound"], ...rows])}\n\n${held} of ${visits.length} hold\n`;
}

/** A bug that shows without an interruption needs no race: the rule is missed whenever the program runs so far. */
function foundText({ executions: { without }, bound: { budget } }: Visit, preemptions: number): string {
  const found = `found in execution ${grouped(without)}, of ${grouped(budget)} allowed`;
  return preemptions === 0 ? `${found}: no context has to be interrupted for it` : found;
}

function exhibitText({ exhibit, visit }: Visited, isWhole: boolean | undefined): string {
  const { name, year, title, story, rule, cite, protocol, off, bound } = exhibit;
  const parts = [wrapped(`${name} (${year}): ${title}`).replace(name, heading(name)), "", wrapped(story), "", wrapped(`The rule: ${rule}`), ""];
  parts.push(...cite.map(({ text, url }) => (url === null ? `  ${text}` : `  ${text}\n  ${url}`)), "", heading(`Without the fix (--without ${off})`));
  if (visit.schedule === null) parts.push(`NOT FOUND in ${grouped(visit.executions.without)} executions, of ${grouped(bound.budget)} allowed`);
  else {
    const found = shownAgain(protocol, [off], visit.schedule);
    parts.push(foundText(visit, found.preemptions), "", shownText(executionOf(found), isWhole), "", `virq replay ${visit.schedule}`);
  }
  parts.push("", heading("With it"));
  if (visit.absentWithFix) parts.push(`no violation in all ${grouped(visit.executions.with)} interleavings with up to ${bound.preemptions} ${bound.preemptions === 1 ? "preemption" : "preemptions"}`);
  else parts.push(`NOT ABSENT: ${visit.message ?? `the search gave up after ${grouped(visit.executions.with)} executions`}`);
  return `${parts.join("\n")}\n`;
}
