import { z } from "zod";
import { checksumOf, type OpenSearch } from "../../explore/open-search.js";
import type { SearchOptions } from "../../explore/search.js";
import { readText } from "../../node/read-text.js";
import { SEARCH_STRATEGIES } from "../../scenario/exploration.js";
import type { HazardName } from "../../sim/hazards.js";
import { PersonError } from "../../sim/person-error.js";
import { version } from "../version.js";
import type { ProtocolSource } from "../../node/explore/protocol-source.js";

const whole = z.int().min(0);

/** A search that was cut short: what was searched, how, and what is still open. */
const savedSchema = z.strictObject({
  virq: z.string(),
  subject: z.string(),
  module: z.string().nullable(),
  properties: z.array(z.string()),
  without: z.array(z.string()),
  search: z.strictObject({
    strategy: z.enum(SEARCH_STRATEGIES),
    preemptions: whole.optional(),
    depth: whole.optional(),
    executions: whole.optional(),
    steps: whole.optional(),
    seed: whole.optional(),
  }),
  open: z.looseObject({}),
  /** Of all of the above: what is asked beside the program's own properties is in no unit. */
  checksum: z.string(),
});
type Saved = z.infer<typeof savedSchema>;

/** @throws PersonError when the file is none that {@link savedText} wrote, or another version's */
export function readSaved(file: string): Saved {
  const text = readText(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new PersonError(`--resume ${file}: it is no JSON: it was cut short, or is not what virq explore --save wrote`);
  }
  const result = savedSchema.safeParse(value);
  if (!result.success) throw new PersonError(`--resume ${file}: ${result.error.issues[0].path.join(".") || "the file"}: ${result.error.issues[0].message}; it is not what virq explore --save wrote`);
  if (result.data.virq !== version()) throw new PersonError(`--resume ${file}: virq ${result.data.virq} wrote it and this is ${version()}: its choices may mean something else; begin anew`);
  if (result.data.checksum !== checksumOf(value as object))
    throw new PersonError(`--resume ${file}: it was changed since virq explore --save wrote it, so that some of the search would be left out: begin anew`);
  return result.data;
}

export function savedText(searched: ProtocolSource & { without: readonly HazardName[]; search: SearchOptions }, open: OpenSearch): string {
  const { off: _off, resume: _resume, shrink: _shrink, ...search } = searched.search;
  const { subject, module, properties, without } = searched;
  const saved = { virq: version(), subject, module, properties, without, search, open };
  return `${JSON.stringify({ ...saved, checksum: checksumOf(saved) })}\n`;
}
