import { z } from "zod";
import { HAZARD_NAMES } from "../sim/hazards.js";
import { readDocument } from "./document.js";

/** How interleavings can be searched (virq explore --list says what each does). */
export const SEARCH_STRATEGIES = ["preemption", "dfs", "dpor", "pct", "random"] as const;
export type SearchStrategy = (typeof SEARCH_STRATEGIES)[number];

const whole = (least: number, most: number) => z.int().min(least).max(most);

const property = z.union([
  z.string().min(1).describe("a property's name, or a rule in one sentence: never EVENT after EVENT"),
  z.strictObject({ name: z.string().min(1), rule: z.string().min(1).describe("a rule in one sentence: at most N EVENT between EVENT and EVENT") }),
]);

const searchFields = {
  without: z
    .array(z.string().refine((word) => HAZARD_NAMES.some((known) => known === word), "not a rule that can be switched off: virq explore --list names them"))
    .default([])
    .describe("rules switched off, by the names of virq explore --list"),
  properties: z.array(property).default([]).describe("asked besides what the program itself asks"),
  strategy: z.enum(SEARCH_STRATEGIES).optional(),
  preemptions: whole(0, 1000).optional().describe("preemption: how often a context may be interrupted in one interleaving"),
  depth: whole(1, 100).optional().describe("pct: how many ordering constraints the bug needs"),
  limit: whole(1, 1_000_000_000).optional().describe("executions after which the search gives up"),
  steps: whole(1, 10_000_000).optional().describe("accesses after which one execution counts as endless"),
  seed: whole(0, 0xffff_ffff).optional().describe("pct, random"),
};

/** What is switched off, what is asked, and how the search goes. */
export const searchSchema = z.strictObject(searchFields);
export type SearchSettings = z.infer<typeof searchSchema>;

const name = z.string().regex(/^[a-z][a-z0-9-]*$/, "not a name: lower-case letters, digits and hyphens");

const irqfd = z.strictObject({
  gsi: whole(0, 7),
  resample: z.boolean().default(false),
  count: whole(0, 1000).default(0).describe("what its eventfd counts before anything begins"),
  assigned: z.boolean().default(true).describe("assigned before anything begins"),
  raised: z.boolean().default(false).describe("signalled before anything begins: a resampling one has asserted its line"),
  asks: z.boolean().default(false).describe("its device triggers again whenever its resamplefd tells it: it never stops asking for service"),
});

/** Something that can be explored and is no whole machine: a built-in protocol, or threads around a few irqfds. */
export const explorationSchema = z
  .strictObject({
    title: z.string().min(1).optional(),
    protocol: z.string().optional().describe("a built-in protocol (virq explore --list)"),
    irqfds: z.record(name, irqfd).default({}).describe("irqfds of one VM whose GSIs are routed one to one to lines, by name"),
    contexts: z
      .record(name, z.array(z.string()).min(1).max(16))
      .optional()
      .describe("what runs at once: for each context what it does, in order: assign NAME, deassign NAME, signal NAME, close NAME, acknowledge GSI, reroute GSI DATA"),
    ...searchFields,
  })
  .refine((each) => (each.protocol === undefined) !== (each.contexts === undefined), "name either a protocol, or contexts")
  .refine((each) => each.contexts === undefined || Object.keys(each.contexts).length > 0, "contexts is empty: nothing would run")
  .refine((each) => each.protocol === undefined || Object.keys(each.irqfds).length === 0, "a protocol brings its own irqfds: leave irqfds out")
  .describe("A virq exploration: a protocol or a few threads, what must hold, and how to search");
/** What an exploration file says, defaults filled in. */
export type ExplorationFile = z.infer<typeof explorationSchema>;

/** @throws PersonError with file, line and path */
export function readExploration(text: string, file: string): ExplorationFile {
  return readDocument(explorationSchema, text, file);
}
