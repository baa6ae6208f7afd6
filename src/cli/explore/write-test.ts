import { dirname, relative, resolve } from "node:path";
import { columns } from "../../explore/columns.js";
import type { Replay, SearchOptions } from "../../explore/search.js";
import { isFile, type ProtocolSource } from "../../node/explore/protocol-source.js";
import { version } from "../version.js";
import type { Task } from "./explore.js";
import { LIMIT } from "./options.js";
import { replayTail } from "./replay-tail.js";
import { executionOf } from "./shown.js";

/** No end but that of the search. */
const UNLIMITED = 1_000_000_000;

/**
 * A vitest file for an installed virq that fails with this violation: it makes the search that found it, so that it passes when
 * `virq explore` finds nothing any more, and not before; when the program is mended, or the rules switched off are in force.
 *
 * @param file where it will stand
 */
export function testText(task: Task, violation: Replay, file: string): string {
  const { source, protocol } = task;
  const message = violation.message ?? "";
  const tail = replayTail(task);
  const { imports, subject } = subjectOf(source, file);
  return `// Written by virq ${version()}: ${message.replaceAll("\n", " ")}
//
${commented(columns(executionOf(violation)))}
//
// The same, hop by hop: virq replay ${violation.schedule}${tail}
${imports}import { expect, it } from "vitest";
import { loadProtocol, search } from "virq/stepped/node";

it(${JSON.stringify(`${protocol.name}: ${message}`)}, async () => {
  const protocol = await loadProtocol(${subject});
  const { violation } = search(protocol, ${literal(askedOf(task.search))});
  expect(violation?.message, violation && "virq replay " + violation.schedule + ${JSON.stringify(tail)}).toBe(undefined);
}, 3_600_000);
`;
}

/** What the command asked, whatever a later version asks when nobody says. One that went on with another's search began with it. */
function askedOf({ off = [], strategy = "preemption", preemptions = 2, executions = LIMIT, steps, seed = 1, depth = 3, resume }: SearchOptions): object {
  const own = { preemption: { preemptions }, dfs: {}, dpor: {}, pct: { depth, seed }, random: { seed } };
  return { off, strategy, ...own[strategy], executions: resume === undefined ? executions : UNLIMITED, ...(steps === undefined ? {} : { steps }) };
}

const literal = (options: object): string =>
  `{ ${Object.entries(options)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join(", ")} }`;

/** What {@link loadProtocol} takes, with paths from where the file will stand. */
function subjectOf({ subject, module, properties }: ProtocolSource, file: string): { imports: string; subject: string } {
  const from = (path: string): string => {
    const url = relative(dirname(resolve(file)), resolve(path)).split(/[/\\]/).map(encodeURIComponent).join("/");
    return `fileURLToPath(new URL(${JSON.stringify(url)}, import.meta.url))`;
  };
  const parts = [`subject: ${isFile(subject) ? from(subject) : JSON.stringify(subject)}`, `module: ${module === null ? "null" : from(module)}`, `properties: ${JSON.stringify(properties)}`];
  return { imports: isFile(subject) || module !== null ? 'import { fileURLToPath } from "node:url";\n' : "", subject: `{ ${parts.join(", ")} }` };
}

const commented = (text: string): string => text.split("\n").map((line) => `// ${line}`.trimEnd()).join("\n");
