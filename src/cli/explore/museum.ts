import type { Citation } from "../../museum/exhibit.js";
import { EXHIBITS } from "../../museum/exhibits.js";
import { UNREACHABLE } from "../../museum/unreachable.js";
import { prove, visit } from "../../museum/visit.js";
import { PersonError } from "../../sim/person-error.js";
import { Progress } from "../progress.js";
import { allText, exhibitText, listText, type Proved, unreachableText, type Visited } from "./museum-text.js";
import type { MuseumCommandOptions } from "./options.js";
import type { MuseumOutput } from "./schema.js";
import { boundText } from "./words.js";

/** `virq museum`. True: every exhibit visited holds. */
export async function museum(name: string | undefined, options: MuseumCommandOptions): Promise<boolean> {
  if (name !== undefined && options.all) throw new PersonError(`museum: ${name}, or --all? Leave one of the two out`);
  if (name === undefined && !options.all) {
    const listed = EXHIBITS.map((exhibit) => ({ exhibit, visit: null }));
    print(options.json ? json(listed, UNREACHABLE.map((told) => ({ told, proof: null }))) : listText(EXHIBITS, UNREACHABLE));
    return true;
  }
  const exhibits = EXHIBITS.filter((exhibit) => name === undefined || exhibit.name === name);
  const unreachable = UNREACHABLE.filter((told) => name === undefined || told.name === name);
  if (exhibits.length + unreachable.length === 0) throw new PersonError(`there is no exhibit ${name}: virq museum lists them`);
  const progress = new Progress();
  const count = exhibits.length + unreachable.length;
  const visited = exhibits.map((exhibit, i) => {
    progress.show(`${i} of ${count} exhibits; ${exhibit.name}`);
    return { exhibit, visit: visit(exhibit) };
  });
  const proved = unreachable.map((told, i) => {
    progress.show(`${exhibits.length + i} of ${count} exhibits; ${told.name}`);
    return { told, proof: prove(told) };
  });
  progress.clear();
  if (options.json) print(name === undefined ? allJson(visited, proved) : json(visited, proved));
  else if (name === undefined) print(allText(visited, proved));
  else print([...visited.map((one) => exhibitText(one.exhibit, one.visit, options.whole)), ...proved.map(({ told, proof }) => unreachableText(told, proof))].join("\n"));
  return visited.every((one) => one.visit.foundWithoutFix && one.visit.absentWithFix) && proved.every(({ proof }) => proof.absent);
}

const print = (text: string): void => void process.stdout.write(text);

const cited = (cite: readonly Citation[]): string => cite.map(({ text, url }) => (url === null ? text : `${text} <${url}>`)).join("; ");

const citations = (cite: readonly Citation[]): { text: string; url: string | null }[] => cite.map(({ text, url }) => ({ text, url }));

const text = (output: MuseumOutput): string => `${JSON.stringify(output, null, 2)}\n`;

/** Of all, the exhibits; a proof that fails is a sentence beside it. */
export function allJson(visited: readonly Visited[], proved: readonly Proved[]): string {
  for (const { told, proof } of proved) if (proof?.absent === false) process.stderr.write(`virq: ${told.name}: NOT ABSENT${proof.message === null ? "" : `: ${proof.message}`}\n`);
  return text({ exhibits: visited.map((one) => exhibitJson(one)) });
}

function json(visited: readonly Visited[], proved: readonly Proved[]): string {
  const unreachable = proved.map(({ told: { name, title, year, cite, why, instead, bound }, proof }) => ({
    name,
    cite: cited(cite),
    absent: proof?.absent ?? null,
    executions: proof?.executions ?? null,
    cut: proof?.cut ?? null,
    bound: boundText(bound.preemptions),
    title,
    year,
    citations: citations(cite),
    why,
    instead,
    message: proof?.message ?? null,
  }));
  return text({ exhibits: visited.map((one) => exhibitJson(one)), details: visited.map((one) => detailsJson(one)), unreachable });
}

function exhibitJson({ exhibit: { name, cite, bound }, visit: seen }: Visited): MuseumOutput["exhibits"][number] {
  return {
    name,
    cite: cited(cite),
    foundWithoutFix: seen?.foundWithoutFix ?? null,
    absentWithFix: seen?.absentWithFix ?? null,
    executions: seen === null ? null : seen.executions.without + seen.executions.with,
    bound: boundText(bound.preemptions),
    schedule: seen?.schedule ?? null,
  };
}

function detailsJson({ exhibit, visit: seen }: Visited): NonNullable<MuseumOutput["details"]>[number] {
  const { name, title, year, cite, rule, ours = null, off, bound } = exhibit;
  return {
    name,
    title,
    year,
    citations: citations(cite),
    rule,
    ours,
    without: off,
    preemptions: bound.preemptions,
    budget: bound.budget,
    executionsWithout: seen?.executions.without ?? null,
    executionsWith: seen?.executions.with ?? null,
    cut: seen?.cut ?? null,
    isRace: seen?.isRace ?? null,
    message: seen?.fault ?? seen?.message ?? null,
  };
}
