import { existsSync } from "node:fs";
import type { Protocol } from "../../explore/protocol.js";
import { writeText } from "../../node/write-text.js";
import type { HazardName } from "../../sim/hazards.js";
import type { SearchStrategy } from "../../scenario/exploration.js";
import { PersonError } from "../../sim/person-error.js";
import { given } from "../../node/given.js";
import type { OpenSearch } from "../../explore/open-search.js";
import type { Report, SearchOptions } from "../../explore/search.js";
import { listJson, listText } from "./list.js";
import { type ExploreCommandOptions, LIMIT } from "./options.js";
import { loadSubject, type ProtocolSource } from "../../node/explore/protocol-source.js";
import { readSaved, savedText } from "./saved.js";
import { answerJson, answerText } from "./answer.js";
import { searched } from "./searching.js";
import { shownAgain } from "./shown.js";
import { switchesOf } from "./subject.js";
import { testText } from "./write-test.js";

/** Where Ctrl-C leaves a search when nobody said where. */
const SAVED = "virq-explore.json";

/** What is searched, and how. */
export interface Task {
  readonly source: ProtocolSource;
  readonly protocol: Protocol;
  readonly off: readonly HazardName[];
  readonly search: SearchOptions;
}

/** `virq explore`. True: no violation; "interrupted": none so far, and Ctrl-C was pressed. */
export async function explore(subject: string | undefined, options: ExploreCommandOptions): Promise<boolean | "interrupted"> {
  if (options.list) {
    process.stdout.write(options.json ? `${JSON.stringify(listJson(), null, 2)}\n` : listText());
    return true;
  }
  checkTestFile(options.writeTest);
  const task = options.resume === undefined ? await asked(subject, options) : await resumed(subject, options, options.resume);
  const { report, isStopped } = await searched(task.source, task.search, options.workers ?? 1);
  const saved = leave(task, report, options, isStopped);
  const { violation } = report;
  const found = violation === undefined ? null : shownAgain(task.protocol, task.off, violation.schedule, task.search.steps);
  if (options.writeTest !== undefined && found !== null) writeText(options.writeTest, testText(task, found, options.writeTest));
  const answer = { task, report, found, isStopped, saved };
  process.stdout.write(options.json ? `${JSON.stringify(answerJson(answer), null, 2)}\n` : answerText(answer, options));
  if (found === null && isStopped) return "interrupted";
  return found === null;
}

async function asked(subject: string | undefined, options: ExploreCommandOptions): Promise<Task> {
  if (subject === undefined) throw new PersonError("explore: which protocol or scenario file? virq explore --list names the protocols");
  const source = { subject, module: options.module ?? null, properties: options.property ?? [] };
  const { protocol, settings } = await loadSubject(source);
  const off = switchesOf(settings.without, options.without);
  const said: ExploreCommandOptions = { ...given(settings), ...given(options) };
  const { strategy = "preemption" } = said;
  refuseIdle(strategy, options);
  if (options.strategy === undefined) refuseIdle(strategy, given(settings));
  const { preemptions, depth, limit, steps, seed } = said;
  return { source, protocol, off, search: { strategy, off, ...given({ preemptions, depth, executions: limit, steps, seed }) } };
}

/** A bound that the strategy does not know would be left out in silence. */
function refuseIdle(strategy: SearchStrategy, { preemptions, depth, seed }: ExploreCommandOptions): void {
  const refuse = (option: string, of: string): never => {
    throw new PersonError(`--${option}: the strategy ${strategy} has none; it belongs to ${of}`);
  };
  if (preemptions !== undefined && strategy !== "preemption") refuse("preemptions", "preemption");
  if (depth !== undefined && strategy !== "pct") refuse("depth", "pct");
  if (seed !== undefined && strategy !== "pct" && strategy !== "random") refuse("seed", "pct and random");
}

async function resumed(subject: string | undefined, options: ExploreCommandOptions, file: string): Promise<Task> {
  const saved = readSaved(file);
  if (subject !== undefined && subject !== saved.subject) throw new PersonError(`--resume ${file}: it is a search of ${saved.subject}, not of ${subject}`);
  for (const name of ["strategy", "preemptions", "depth", "steps", "seed", "without", "property", "module"] as const)
    if (options[name] !== undefined) throw new PersonError(`--resume ${file}: a search goes on as it began: leave --${name} out`);
  const { protocol } = await loadSubject(saved);
  const off = switchesOf(saved.without);
  const open = saved.open as OpenSearch & typeof saved.open;
  const executions = options.limit ?? open.totals.executions + open.totals.blocked + (saved.search.executions ?? LIMIT);
  return { source: saved, protocol, off, search: { ...given(saved.search), off, resume: open, executions } };
}

/** Keeps what is still open, where that was asked for or Ctrl-C was pressed; the file's name. */
function leave({ source, search, off }: Task, report: Report, { save, resume }: ExploreCommandOptions, isStopped: boolean): string | null {
  const file = save ?? (isStopped ? (resume ?? SAVED) : undefined);
  if (file === undefined || report.open === undefined) return null;
  writeText(file, savedText({ ...source, without: off, search }, report.open));
  return file;
}

function checkTestFile(file: string | undefined): void {
  if (file === undefined) return;
  if (!/\.test\.(m?js|m?ts)$/.test(file)) throw new PersonError(`--write-test ${file}: name a file that ends in .test.js or .test.ts, so that vitest finds it`);
  if (existsSync(file)) throw new PersonError(`--write-test ${file}: it exists: name another file, or remove it`);
}
