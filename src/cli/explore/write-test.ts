import { dirname, relative, resolve } from "node:path";
import { columns } from "../../explore/columns.js";
import { type Replay, search } from "../../explore/search.js";
import { isFile, type ProtocolSource } from "../../node/explore/protocol-source.js";
import { version } from "../version.js";
import type { Task } from "./explore.js";
import { executionOf } from "./shown.js";

/** Executions that a written test may make before it finds what it is about. */
const PATIENCE = 100_000;

/**
 * A vitest file for an installed virq that fails with this violation. It passes when the program is mended, or when the list of
 * rules switched off is emptied.
 *
 * @param file where it will stand
 */
export function testText(task: Task, violation: Replay, file: string): string {
  const { source, protocol, off } = task;
  const { steps } = task.search;
  const message = violation.message ?? "";
  const { name, lines } = isFoundAnew(task, violation) ? searching(violation, steps) : replaying(violation, steps);
  const { head, here, subject } = subjectOf(source, file);
  return `// Written by virq ${version()}: ${message.replaceAll("\n", " ")}
//
${commented(columns(executionOf(violation)))}
//
// The same, hop by hop: virq replay ${violation.schedule}
${head}import { expect, it } from "vitest";
import { loadProtocol, ${name} } from "virq/stepped/node";
${here}
/** Rules of the kernel that are switched off. */
const off = ${JSON.stringify(off)};

it(${JSON.stringify(`${protocol.name}: ${message}`)}, async () => {
  const protocol = await loadProtocol(${subject});
${lines.map((line) => `  ${line}`).join("\n")}
}, 600_000);
`;
}

/** Does the bounded search come to it, with no more preemptions than it has? */
function isFoundAnew({ protocol, off, search: { strategy, steps } }: Task, { preemptions }: Replay): boolean {
  if (strategy === undefined || strategy === "preemption") return true;
  return search(protocol, { off, preemptions, executions: PATIENCE, shrink: false, ...(steps === undefined ? {} : { steps }) }).verdict === "violation";
}

interface Asking {
  /** What it imports. */
  readonly name: string;
  readonly lines: readonly string[];
}

const stepsOf = (steps: number | undefined, before: string): string => (steps === undefined ? "" : `, ${before}${steps}`);

function searching({ preemptions }: Replay, steps: number | undefined): Asking {
  return {
    name: "search",
    lines: [
      `const { violation } = search(protocol, { off, strategy: "preemption", preemptions: ${preemptions}, executions: 1_000_000${stepsOf(steps, "steps: ")} });`,
      "expect(violation?.message, violation && `virq replay ${violation.schedule}`).toBe(undefined);",
    ],
  };
}

function replaying({ schedule }: Replay, steps: number | undefined): Asking {
  return {
    name: "replaySchedule",
    lines: [
      "// This order alone: a search comes to it too late. Where the program has other steps it does not fit, and says so: explore again.",
      `const { message } = replaySchedule(protocol, off, ${JSON.stringify(schedule)}${stepsOf(steps, "")});`,
      "expect(message).toBe(null);",
    ],
  };
}

/** What {@link loadProtocol} takes, with paths from where the file will stand. */
function subjectOf({ subject, module, properties }: ProtocolSource, file: string): { head: string; here: string; subject: string } {
  const paths = [isFile(subject) ? subject : null, module].filter((path) => path !== null);
  const from = (path: string): string => `here(${JSON.stringify(relative(dirname(resolve(file)), resolve(path)).replaceAll("\\", "/"))})`;
  const parts = [`subject: ${isFile(subject) ? from(subject) : JSON.stringify(subject)}`, `module: ${module === null ? "null" : from(module)}`, `properties: ${JSON.stringify(properties)}`];
  if (paths.length === 0) return { head: "", here: "", subject: `{ ${parts.join(", ")} }` };
  const head = 'import { fileURLToPath } from "node:url";\n';
  const here = "\nconst here = (path) => fileURLToPath(new URL(path, import.meta.url));\n";
  return { head, here, subject: `{ ${parts.join(", ")} }` };
}

const commented = (text: string): string => text.split("\n").map((line) => `// ${line}`.trimEnd()).join("\n");
