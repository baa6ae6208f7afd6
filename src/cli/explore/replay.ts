import { programHash, scheduleHash } from "../../explore/schedule.js";
import type { Protocol } from "../../explore/protocol.js";
import { HAZARD_NAMES, type HazardName } from "../../sim/hazards.js";
import { PersonError } from "../../sim/person-error.js";
import { version } from "../version.js";
import { builtinProtocols, profiledProtocols } from "../../explore/catalogue.js";
import type { ReplayCommandOptions } from "./options.js";
import { loadSubject } from "../../node/explore/protocol-source.js";
import type { ReplayOutput } from "./schema.js";
import { executionOf, shownAgain, shownJson, shownText } from "./shown.js";
import { subjectJson, subjectText, switchesOf } from "./subject.js";

/** `virq replay`. True: no rule broke. */
export async function replay(schedule: string, subject: string | undefined, options: ReplayCommandOptions): Promise<boolean> {
  const hash = scheduleHash(schedule);
  const named = await candidates(subject, options);
  const found = named.find(({ protocol, off }) => programHash(protocol, off) === hash);
  if (found === undefined) throw new PersonError(unknown(schedule, subject, named.length === 1 ? named[0] : undefined));
  const { protocol, off } = found;
  const source = { subject: subject ?? protocol.name, module: options.module ?? null, properties: options.property ?? [] };
  const replayed = shownAgain((await loadSubject(source)).protocol, off, schedule, options.steps);
  const execution = executionOf(replayed);
  const output: ReplayOutput = { virq: version(), ...subjectJson(source, protocol, off), schedule: replayed.schedule, message: replayed.message, ...shownJson(execution) };
  if (options.json) process.stdout.write(`${JSON.stringify(output, null, 2)}\n`);
  else {
    const end = replayed.message === null ? ["", "  Nothing is wrong with this execution."] : [];
    process.stdout.write(`${[subjectText(source, protocol, off), "", shownText(execution, options.whole), ...end].join("\n")}\n`);
  }
  return replayed.message === null;
}

interface Candidate {
  readonly protocol: Protocol;
  readonly off: readonly HazardName[];
}

/** What a schedule may belong to: the program named, or any that is built in; every rule in force, or one switched off. */
async function candidates(subject: string | undefined, options: ReplayCommandOptions): Promise<readonly Candidate[]> {
  if (subject === undefined && options.module !== undefined) throw new PersonError(`--module ${options.module}: name the protocol of it that the schedule belongs to`);
  const loaded = subject === undefined ? null : await loadSubject({ subject, module: options.module ?? null, properties: [] });
  const protocols = loaded === null ? [...builtinProtocols(), ...profiledProtocols()] : [loaded.protocol];
  if (options.without !== undefined) {
    const off = switchesOf(loaded?.settings.without, options.without);
    return protocols.map((protocol) => ({ protocol, off }));
  }
  const fromFile = switchesOf(loaded?.settings.without);
  return protocols.flatMap((protocol) => [{ protocol, off: fromFile }, ...[[], ...HAZARD_NAMES.map((name) => [name])].map((off) => ({ protocol, off: switchesOf(off, fromFile) }))]);
}

function unknown(schedule: string, subject: string | undefined, asked: Candidate | undefined): string {
  if (asked !== undefined) return `the schedule ${schedule} was not made for ${asked.protocol.name} with these rules: say virq replay with what virq explore was asked for`;
  if (subject !== undefined) return `the schedule ${schedule} was not made for ${subject}: was the file changed since, or were several rules off (--without)?`;
  return `the schedule ${schedule} belongs to no built-in protocol of virq ${version()}: name the scenario file it was made for, say which rules were off (--without) where there were several, or use the version that printed it`;
}
