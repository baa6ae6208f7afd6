import { z } from "zod";
import { SEARCH_STRATEGIES } from "../../scenario/exploration.js";

const count = z.number().int().min(0);
const name = z.string();

const lane = z.object({ name, kind: z.string().describe("user, vcpu, worker, hardirq, hardware or timer") });
const hop = z.object({
  actor: count.describe("index into contexts"),
  verb: z.string().describe("reads, counts, writes, acquires, releases, waits for, enters"),
  object: z.string(),
  field: z.string(),
  site: z.string().describe("file and line in virq's source; empty where nothing was numbered"),
  caller: z.string().describe("where a point of the ground (a list, a lock) was reached from; empty elsewhere"),
  events: z.array(z.string()).describe("what it led to, as a trace tells"),
  meets: z.boolean().describe("another context touches the same object, one of them changing it"),
});
const shown = { contexts: z.array(lane), steps: z.array(hop) };

const subject = {
  subject: z.string().describe("a protocol's name, or a scenario file"),
  title: z.string(),
  source: z.string(),
  without: z.array(z.string()).describe("rules switched off"),
  properties: z.array(z.string()).describe("asked besides the program's own"),
};

/** What `virq explore --json` prints. Published as schema/explore.schema.json. */
export const exploreOutput = z.object({
  virq: z.string().describe("version"),
  ...subject,
  strategy: z.enum(SEARCH_STRATEGIES),
  bound: z.string().describe("up to what the answer holds, a sentence"),
  guarantee: z.string().nullable().describe("what a strategy that draws lots promises, a sentence"),
  verdict: z.enum(["none", "violation", "stopped"]).describe("none: no violation within what was searched; stopped: by Ctrl-C"),
  exhausted: z.boolean().describe("was everything within the bound searched?"),
  executions: count,
  blocked: count.describe("cut short by the reduction, because another execution stands for them"),
  cut: count.describe("cut short by --steps, where giving every context its turn would have ended them: such a search is not exhausted"),
  steps: count.describe("accesses in all executions"),
  violation: z.object({ message: z.string(), schedule: z.string(), preemptions: count, ...shown }).nullable(),
  resume: z.string().nullable().describe("the file that --resume takes"),
});
export type ExploreOutput = z.infer<typeof exploreOutput>;

/** What `virq explore --list --json` prints. Published as schema/explore-list.schema.json. */
export const exploreListOutput = z.object({
  protocols: z.array(z.object({ name, title: z.string(), source: z.string() })),
  profiles: z.array(z.string()).describe("kernels whose VFIO NAME@PROFILE has (vfio.md 0.4)"),
  profiled: z.array(name).describe("protocols that take one"),
  scenarios: z.array(z.object({ name, title: z.string(), source: z.string() })).describe("whole machines, named like protocols"),
  properties: z.array(z.object({ name, sentence: z.string(), needs: z.string().nullable().describe("what it needs of a program, so that only programs ask it; null: --property takes it") })),
  rules: z.array(z.string()).describe("forms of a property in one sentence"),
  strategies: z.array(z.object({ name, sentence: z.string() })),
  switches: z.array(z.object({ name, hazard: z.string() })).describe("rules that --without switches off, and what that lets in"),
  events: z.array(z.object({ name, arguments: z.array(z.string()) })),
});
export type ExploreListOutput = z.infer<typeof exploreListOutput>;

/** What `virq replay --json` prints. Published as schema/replay.schema.json. */
export const replayOutput = z.object({
  virq: z.string().describe("version"),
  ...subject,
  schedule: z.string().describe("the whole one: what was asked for, and how it went on"),
  message: z.string().nullable().describe("the rule that broke; null when none did"),
  ...shown,
});
export type ReplayOutput = z.infer<typeof replayOutput>;

const citations = z.array(z.object({ text: z.string(), url: z.string().nullable().describe("null where no public copy was found: the text says by whom it is told") }));

/** What `virq museum --json` prints; with --all, exhibits alone. Published as schema/museum.schema.json. */
export const museumOutput = z.object({
  exhibits: z.array(
    z.object({
      name,
      cite: z.string().describe("what is cited, each with its address where there is a public one, separated by semicolons"),
      foundWithoutFix: z.boolean().nullable().describe("within the budget; null: not visited, only listed"),
      absentWithFix: z.boolean().nullable().describe("searched whole to the bound, and what the program is about happens; null: not visited"),
      executions: count.nullable().describe("of both searches; null: not visited"),
      bound: z.string().describe("up to what absentWithFix holds, in words"),
      schedule: z.string().nullable().describe("shows the bug in virq replay"),
    }),
  ),
  details: z
    .array(
      z.object({
        name,
        title: z.string(),
        year: z.number().int(),
        citations,
        rule: z.string(),
        ours: z.string().nullable().describe("where the citation is no report of this very bug: what is cited, and what is our own construction"),
        without: z.string().describe("the rule that --without switches off"),
        preemptions: count.describe("the bound in numbers"),
        budget: count.describe("executions within which the bug has to be found"),
        executionsWithout: count.nullable().describe("until it was found without the fix"),
        executionsWith: count.nullable().describe("the whole search with the fix"),
        cut: count.nullable().describe("executions with the fix that were cut short after their steps: absentWithFix is false then"),
        isRace: z.boolean().nullable().describe("false: the first execution shows it, in which nobody is interrupted"),
        message: z.string().nullable().describe("the rule that broke without the fix; or what stands against absentWithFix"),
      }),
    )
    .optional()
    .describe("more of each exhibit, in the same order; not with --all"),
  unreachable: z
    .array(
      z.object({
        name,
        cite: z.string(),
        absent: z.boolean().nullable().describe("searched whole to the bound with every rule in force, and nothing is lost; null: not visited"),
        executions: count.nullable(),
        cut: count.nullable().describe("executions cut short after their steps: absent is false then"),
        bound: z.string(),
        title: z.string(),
        year: z.number().int(),
        citations,
        why: z.string(),
        instead: z.string().describe("the exhibit in its place"),
        message: z.string().nullable().describe("what stands against it"),
      }),
    )
    .optional()
    .describe("bugs that were told and cannot happen as told, with the proof; not with --all"),
});
export type MuseumOutput = z.infer<typeof museumOutput>;
