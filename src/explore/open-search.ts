import { z } from "zod";
import type { HazardName } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import type { Coordinator } from "./coordinator.js";
import type { Protocol } from "./protocol.js";
import { programHash, wordHash } from "./schedule.js";
import type { StrategyOptions } from "./strategies/make-strategy.js";
import type { Outcome } from "./strategy.js";
import { VERSION } from "./version.js";

const count = z.number().int().nonnegative();

/** What a search left open, as a file keeps it. */
export const openSearchSchema = z.object({
  virq: z.string(),
  /** The program, as {@link programHash} tells it. */
  program: z.string(),
  protocol: z.string(),
  strategy: z.string(),
  /** Infinity is null. */
  preemptions: z.number().nullable(),
  executions: count,
  seed: z.number(),
  depth: count,
  steps: count,
  totals: z.object({ executions: count, blocked: count, cut: count, steps: count, inPhase: count, phase: count }),
  units: z.array(z.unknown()),
  /** "dpor": nodes that several units share. */
  shared: z.unknown().optional(),
  /** Of all of the above: units are choices in programs that nobody reads, and one that was changed would be searched in silence. */
  checksum: z.string(),
});
export type OpenSearch = z.infer<typeof openSearchSchema>;

type Settings = StrategyOptions & { readonly steps: number };
type Queue = Coordinator<unknown, Outcome<unknown>>;

export function writeOpen(protocol: Protocol, off: readonly HazardName[], settings: Settings, { queue, totals, strategy }: Queue): OpenSearch {
  const preemptions = Number.isFinite(settings.preemptions) ? settings.preemptions : null;
  const base = { virq: VERSION, program: programHash(protocol, off), protocol: protocol.name, ...settings, preemptions, totals: { ...totals }, units: [...queue] };
  const shared: unknown = strategy.save?.(queue);
  const open = shared === undefined ? base : { ...base, shared };
  return { ...open, checksum: checksumOf(open) };
}

/** Of the text that the fields have as JSON, in whatever order they come, but for a checksum among them. */
export function checksumOf(fields: object): string {
  const others = Object.entries(fields).filter(([name, value]) => name !== "checksum" && value !== undefined);
  return wordHash(JSON.stringify(others.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

/** Fills the queue of a search from what one left open. A PersonError where it is another search's. */
export function readOpen(file: OpenSearch, protocol: Protocol, off: readonly HazardName[], settings: Settings, coordinator: Queue): void {
  const parsed = openSearchSchema.safeParse(file);
  if (!parsed.success) throw new PersonError(`what is to be resumed is no open search: ${z.prettifyError(parsed.error).replace(/\s+/g, " ")}`);
  const open = parsed.data;
  if (file.checksum !== checksumOf(file)) throw new PersonError("the open search is damaged: it is not what was left open; begin anew");
  if (open.virq !== VERSION) throw new PersonError(`the open search was left by virq ${open.virq}, and this is ${VERSION}: begin anew`);
  if (open.program !== programHash(protocol, off)) throw new PersonError(`the open search is one of ${open.protocol} with other options: resume it with the options that it was begun with`);
  for (const name of ["strategy", "seed", "depth", "steps"] as const)
    if (open[name] !== settings[name]) throw new PersonError(`the open search was begun with ${name} ${open[name]}, not ${settings[name]}: resume it with the options that it was begun with`);
  if ((open.preemptions ?? Infinity) !== settings.preemptions) throw new PersonError(`the open search was begun with ${open.preemptions ?? "any number of"} preemptions, not ${settings.preemptions}`);
  const { strategy } = coordinator;
  const units = z.array(strategy.schema).safeParse(open.units);
  if (!units.success) throw new PersonError("the units of the open search are damaged: begin anew");
  strategy.load?.(open.shared);
  coordinator.queue.push(...units.data);
  Object.assign(coordinator.totals, open.totals);
}
