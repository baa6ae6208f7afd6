import type { Replay, Report } from "../../explore/search.js";
import { version } from "../version.js";
import type { Task } from "./explore.js";
import type { ExploreCommandOptions } from "./options.js";
import { replayTail } from "./replay-tail.js";
import type { ExploreOutput } from "./schema.js";
import { executionOf, shownJson, shownText } from "./shown.js";
import { subjectJson, subjectText } from "./subject.js";
import { grouped } from "./words.js";

/** What a search brought. */
interface Answer {
  readonly task: Task;
  readonly report: Report;
  /** The shortest schedule that breaks a rule. */
  readonly found: Replay | null;
  readonly isStopped: boolean;
  /** The file that has what is still open. */
  readonly saved: string | null;
}

export function answerJson({ task: { source, protocol, off }, report, found, isStopped, saved }: Answer): ExploreOutput {
  const { strategy, bound, guarantee = null, exhausted, executions, blocked, cut, steps } = report;
  const violation = found === null ? null : { message: found.message ?? "", schedule: found.schedule, preemptions: found.preemptions, ...shownJson(executionOf(found)) };
  const verdict = found !== null ? "violation" : isStopped ? "stopped" : "none";
  return { virq: version(), ...subjectJson(source, protocol, off), strategy, bound, guarantee, verdict, exhausted, executions, blocked, cut, steps, violation, resume: saved };
}

export function answerText(answer: Answer, { whole, writeTest }: ExploreCommandOptions): string {
  const { task, report, found } = answer;
  const parts = [subjectText(task.source, task.protocol, task.off), ""];
  if (found === null) parts.push(cleanText(answer));
  else {
    const switches = found.preemptions === 1 ? "1 preemption" : `${found.preemptions} preemptions`;
    parts.push(`VIOLATION: ${found.message}`, `found in execution ${grouped(report.executions)}; the shortest schedule found has ${switches} and ${found.steps.length} accesses:`, "");
    parts.push(shownText(executionOf(found), whole), "", `virq replay ${found.schedule}${replayTail(task)}`);
    if (writeTest !== undefined) parts.push(`${writeTest} fails with it`);
  }
  return `${parts.join("\n")}\n`;
}

function cleanText({ report: { bound, guarantee, executions, blocked, exhausted }, isStopped, saved }: Answer): string {
  const cut = blocked === 0 ? "" : ` (and ${grouped(blocked)} cut short, which others stand for)`;
  if (exhausted) return `No violation in all ${grouped(executions)} interleavings${cut}: ${bound}.`;
  const head = isStopped ? "Stopped." : "Not everything was searched.";
  const lines = [`${head} No violation in ${grouped(executions)} executions${cut}: ${bound}.`];
  if (guarantee !== undefined) lines.push(`${guarantee}.`);
  if (saved !== null) lines.push(`virq explore --resume ${saved} goes on without repeating any.`);
  return lines.join("\n");
}
