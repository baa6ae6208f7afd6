import { type Command, InvalidArgumentError, Option } from "commander";
import { SEARCH_STRATEGIES } from "../scenario/exploration.js";
import type { ExploreCommandOptions, MuseumCommandOptions, ReplayCommandOptions } from "./explore/options.js";
import { inStepped } from "./stepped.js";

const whole = (least: number, most: number) => (text: string): number => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < least || value > most) throw new InvalidArgumentError(`a whole number from ${least} to ${most} is wanted.`);
  return value;
};
const each = (text: string, before: string[] = []): string[] => [...before, text];
const names = (text: string, before: string[] = []): string[] => [...before, ...text.split(",")];

const WITHOUT = ["--without <rule>", "switch a rule off; several with commas or by repeating"] as const;
const PROPERTY = ["--property <name|rule>", 'ask this too: a name, or a sentence such as "never kvm_set_irq after irqfd_free"; may be repeated'] as const;
const MODULE = ["--module <file.js>", "a JavaScript module that exports protocols and properties of your own (docs/explore.md)"] as const;
const WHOLE = ["--whole", "show every access, not only those by which the contexts meet"] as const;

/** `virq explore`: every interleaving of a small program of the real protocol code, up to a bound. */
export function addExploreCommand(program: Command): void {
  program
    .command("explore")
    .description("tries the interleavings of a protocol: none breaks a rule up to the bound, or here is the shortest schedule found that does")
    .argument("[subject]", "a protocol's name (--list), with @v5 behind it under another profile of VFIO, or a scenario file (YAML)")
    .addOption(new Option("--strategy <name>", "how to search; default preemption").choices(SEARCH_STRATEGIES))
    .option("--preemptions <n>", "preemption: how often a context may be interrupted in one interleaving; default 2", whole(0, 1000))
    .option("--depth <n>", "pct: how many ordering constraints the bug needs; default 3", whole(1, 100))
    .option("--limit <n>", "give up after so many executions; default 100000", whole(1, 1_000_000_000))
    .option("--steps <n>", "accesses after which one execution counts as endless; default 5000", whole(1, 10_000_000))
    .option("--seed <n>", "pct, random: seed; default 1", whole(0, 0xffff_ffff))
    .option("--workers <n>", "threads that search; the answer does not depend on it; default 1", whole(1, 256))
    .option(...WITHOUT, names)
    .option(...PROPERTY, each)
    .option(...MODULE)
    .option("--save <file>", "where a search that is cut short (Ctrl-C, --limit) leaves what is still open; Ctrl-C without it: virq-explore.json")
    .option("--resume <file>", "go on with such a search, repeating nothing")
    .option("--write-test <file>", "where a violation is found: a vitest file that fails with it")
    .option(...WHOLE)
    .option("--list", "name protocols, properties, strategies, events and the rules that can be switched off")
    .option("--json", "print JSON (schema/explore.schema.json)")
    .action(async (subject: string | undefined, options: ExploreCommandOptions) => inStepped((commands) => commands.explore(subject, options)));
}

/** `virq replay`: one schedule again. */
export function addReplayCommand(program: Command): void {
  program
    .command("replay")
    .description("runs one schedule again and shows it hop by hop")
    .argument("<schedule>", "as virq explore printed it")
    .argument("[subject]", "the protocol or scenario file that it belongs to, where it is not built in")
    .option("--steps <n>", "accesses after which it counts as endless; default 5000", whole(1, 10_000_000))
    .option(...WITHOUT, names)
    .option(...PROPERTY, each)
    .option(...MODULE)
    .option(...WHOLE)
    .option("--json", "print JSON (schema/replay.schema.json)")
    .action(async (schedule: string, subject: string | undefined, options: ReplayCommandOptions) => inStepped((commands) => commands.replay(schedule, subject, options)));
}

/** `virq museum`: real bugs, each found without its fix and not found with it. */
export function addMuseumCommand(program: Command): void {
  program
    .command("museum")
    .description("real bugs: each is found without its fix, and is not there with it")
    .argument("[name]", "one exhibit: explained, found, and proved absent to its bound")
    .option("--all", "every exhibit")
    .option(...WHOLE)
    .option("--json", "print JSON (schema/museum.schema.json): with --all the exhibits' results alone, else what is told of each, too")
    .action(async (name: string | undefined, options: MuseumCommandOptions) => inStepped((commands) => commands.museum(name, options)));
}
