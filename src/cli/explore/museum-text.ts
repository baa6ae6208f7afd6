import type { Citation, Exhibit } from "../../museum/exhibit.js";
import type { Unreachable } from "../../museum/unreachable.js";
import type { Proof, Visit } from "../../museum/visit.js";
import { heading, table } from "../table.js";
import { executionOf, shownAgain, shownText } from "./shown.js";
import { boundText, grouped, wrapped } from "./words.js";

/** An exhibit, and what its searches brought; null where it is only listed. */
export interface Visited {
  readonly exhibit: Exhibit;
  readonly visit: Visit | null;
}

/** The same of a bug that cannot happen as it was told. */
export interface Proved {
  readonly told: Unreachable;
  readonly proof: Proof | null;
}

export function listText(exhibits: readonly Exhibit[], unreachable: readonly Unreachable[]): string {
  const rows = (list: readonly { name: string; year: number; title: string }[]): string[][] => list.map(({ name, year, title }) => [name, String(year), title]);
  const all = table([...rows(exhibits), ["", "", ""], ["Told, and cannot happen as told:", "", ""], ...rows(unreachable)].map((row) => [...row]));
  return `${all}\n\nvirq museum NAME explains one, finds it without its fix, and proves it absent with it; --all goes through all.\n`;
}

export function allText(visited: readonly { exhibit: Exhibit; visit: Visit }[], proved: readonly { told: Unreachable; proof: Proof }[]): string {
  const rows = visited.map(({ exhibit: { name, bound }, visit }) => [
    name,
    `${visit.foundWithoutFix ? "found" : "NOT FOUND"} in ${grouped(visit.executions.without)}`,
    `${visit.absentWithFix ? "absent in all" : "NOT ABSENT in"} ${grouped(visit.executions.with)}`,
    boundText(bound.preemptions),
  ]);
  const told = proved.map(({ told: { name, bound }, proof }) => [name, "cannot happen as told", `${proof.absent ? "absent in all" : "NOT ABSENT in"} ${grouped(proof.executions)}`, boundText(bound.preemptions)]);
  const held = visited.filter(({ visit }) => visit.foundWithoutFix && visit.absentWithFix).length + proved.filter(({ proof }) => proof.absent).length;
  return `${table([["exhibit", "without its fix", "with it", "bound"], ...rows, ...told])}\n\n${held} of ${visited.length + proved.length} hold\n`;
}

export function exhibitText(exhibit: Exhibit, visit: Visit, isWhole: boolean | undefined): string {
  const { story, rule, ours, cite, protocol, off, bound } = exhibit;
  const parts = [...head(exhibit), wrapped(story), "", wrapped(`The rule: ${rule}`), "", ...citeLines(cite)];
  if (ours !== undefined) parts.push("", wrapped(`Cited and constructed: ${ours}`));
  parts.push("", heading(`Without the fix (--without ${off})`));
  if (visit.schedule === null) parts.push(`NOT FOUND in ${grouped(visit.executions.without)} executions, of ${grouped(bound.budget)} allowed`);
  else {
    const found = shownAgain(protocol, [off], visit.schedule);
    const order = visit.isRace ? "" : ": it needs no race, the first execution shows it, in which nobody is interrupted";
    parts.push(`found in execution ${grouped(visit.executions.without)}, of ${grouped(bound.budget)} allowed${order}`, "", shownText(executionOf(found), isWhole), "", `virq replay ${visit.schedule}`);
  }
  parts.push("", heading("With it"), absenceText({ isAbsent: visit.absentWithFix, executions: visit.executions.with, cut: visit.cut, message: visit.fault }, bound.preemptions));
  return `${parts.join("\n")}\n`;
}

export function unreachableText(told: Unreachable, proof: Proof): string {
  const { story, why, cite, instead, bound } = told;
  const parts = [...head(told), wrapped(story), "", wrapped(`It cannot happen so: ${why}`), "", ...citeLines(cite), "", `In its place: virq museum ${instead}`, "", heading("With every rule in force"), absenceText({ isAbsent: proof.absent, ...proof }, bound.preemptions)];
  return `${parts.join("\n")}\n`;
}

const head = ({ name, year, title }: Pick<Exhibit, "name" | "year" | "title">): string[] => [wrapped(`${name} (${year}): ${title}`).replace(name, heading(name)), ""];

const citeLines = (cite: readonly Citation[]): string[] => cite.map(({ text, url }) => (url === null ? `  ${text}` : `  ${text}\n  ${url}`));

/** How the search with the fix went. */
interface Absence {
  readonly isAbsent: boolean;
  readonly executions: number;
  readonly cut: number;
  readonly message: string | null;
}

function absenceText({ isAbsent, executions, cut, message }: Absence, preemptions: number): string {
  if (isAbsent) return `no violation in all ${grouped(executions)} interleavings with ${boundText(preemptions)}`;
  if (cut > 0 && message === null) return `NOT ABSENT: of ${grouped(executions + cut)} executions ${grouped(cut)} were cut short after their steps`;
  return `NOT ABSENT: ${message ?? `the search gave up after ${grouped(executions)} executions`}`;
}
