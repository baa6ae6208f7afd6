import { dirname, relative, resolve } from "node:path";
import { columns } from "../../explore/columns.js";
import type { Replay } from "../../explore/search.js";
import { PersonError } from "../../sim/person-error.js";
import { version } from "../version.js";
import type { Task } from "./explore.js";
import { isFile, isWholeMachine, type ProtocolSource } from "./protocol-source.js";
import { executionOf } from "./shown.js";

/**
 * A vitest file for an installed virq that fails with this violation: it searches the program with no more preemptions than
 * the violation needs. It passes when the program is mended, or when the list of rules switched off is emptied.
 *
 * @param file where it will stand
 */
export function testText(task: Task, violation: Replay, file: string): string {
  const { source, protocol, off } = task;
  const { steps } = task.search;
  const message = violation.message ?? "";
  const { imports, lines, subject } = subjectLines(source, file);
  const asked = source.properties.map((property) => `() => ruleProperty(${JSON.stringify(property)})`);
  const names = ["search", ...imports, ...(asked.length > 0 ? ["asking", "ruleProperty"] : [])].sort();
  const limits = `preemptions: ${violation.preemptions}${steps === undefined ? "" : `, steps: ${steps}`}`;
  return `// Written by virq ${version()}: ${message.replaceAll("\n", " ")}
//
${commented(columns(executionOf(violation)))}
//
// The same, hop by hop: virq replay ${violation.schedule}
import { expect, it } from "vitest";
import { ${names.join(", ")} } from "virq/stepped";
${lines.join("\n")}

/** Rules of the kernel that are switched off. */
const off = ${JSON.stringify(off)};

it(${JSON.stringify(`${protocol.name}: ${message}`)}, () => {
  const protocol = ${asked.length > 0 ? `asking(${subject}, [${asked.join(", ")}])` : subject};
  const { violation } = search(protocol, { off, strategy: "preemption", ${limits} });
  expect(violation?.message, violation && \`virq replay \${violation.schedule}\`).toBe(undefined);
}, 600_000);
`;
}

/** How a file without virq's command line comes by the program. */
function subjectLines({ subject, module }: ProtocolSource, file: string): { imports: string[]; lines: string[]; subject: string } {
  const from = (path: string): string => {
    const way = relative(dirname(resolve(file)), resolve(path)).replaceAll("\\", "/");
    return way.startsWith(".") ? way : `./${way}`;
  };
  if (isFile(subject)) {
    if (isWholeMachine(subject)) throw new PersonError(`--write-test ${file}: ${subject} is a whole machine, which needs the command line to be built; replay its schedule instead`);
    const read = `const scenario = new URL(${JSON.stringify(from(subject))}, import.meta.url);`;
    return { imports: ["readExploration", "threadsProtocol"], lines: ['import { readFileSync } from "node:fs";', "", read], subject: `threadsProtocol(readExploration(readFileSync(scenario, "utf8"), ${JSON.stringify(subject)}), ${JSON.stringify(subject)})` };
  }
  if (module !== null) return { imports: [], lines: [`import { protocols } from ${JSON.stringify(from(module))};`], subject: `protocols.find(({ name }) => name === ${JSON.stringify(subject)})` };
  return { imports: ["protocolNamed"], lines: [], subject: `protocolNamed(${JSON.stringify(subject)})` };
}

const commented = (text: string): string => text.split("\n").map((line) => `// ${line}`.trimEnd()).join("\n");
