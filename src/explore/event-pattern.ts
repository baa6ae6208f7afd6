import { EVENT_ARGUMENTS, EVENT_NAMES, type EventArgument, type EventName } from "../sim/event.js";
import { PersonError } from "../sim/person-error.js";
import type { Heard } from "./property.js";

/** What a pattern's variables stand for. */
export type Bindings = ReadonlyMap<string, EventArgument>;

interface Wanted {
  /** Place among the event's arguments. */
  readonly at: number;
  readonly value: EventArgument;
  readonly isVariable: boolean;
}

/**
 * Which events a person means: "kvm_set_irq", "kvm_set_irq(gsi=5, level=1)", "resampler_free(gsi=$g)". A name that begins
 * with $ stands for any value, the same one wherever the rule says it.
 */
export class EventPattern {
  private constructor(
    readonly name: EventName,
    private readonly wanted: readonly Wanted[],
  ) {}

  /** @throws PersonError for an event, or an argument of it, that is not in the vocabulary */
  static parse(text: string): EventPattern {
    const parts = /^\s*(\w+)\s*(?:\(([^()]*)\))?\s*$/.exec(text);
    if (parts === null) throw new PersonError(`"${text}" names no event: write a name, or a name and arguments, as in kvm_set_irq(gsi=5, level=1)`);
    const [, word, list = ""] = parts;
    const kind = EVENT_NAMES.findIndex((name) => name === word);
    if (kind < 0) throw new PersonError(`there is no event ${word}: virq explore --list names them`);
    const wanted = list.trim() === "" ? [] : list.split(",").map((argument) => wantedOf(EVENT_NAMES[kind], EVENT_ARGUMENTS[kind], argument));
    return new EventPattern(EVENT_NAMES[kind], wanted);
  }

  /** The bindings together with what this event adds to them; null when it does not fit. */
  match(event: Heard, bindings: Bindings = new Map()): Bindings | null {
    if (event.name !== this.name) return null;
    const all = new Map(bindings);
    for (const { at, value, isVariable } of this.wanted) {
      const found = event.args[at];
      if (found === undefined) return null;
      const expected = isVariable ? (all.get(String(value)) ?? found) : value;
      if (String(expected) !== String(found)) return null;
      if (isVariable) all.set(String(value), found);
    }
    return all;
  }
}

function wantedOf(name: EventName, known: readonly string[], text: string): Wanted {
  const parts = /^\s*(\w+)\s*=\s*(\$?[\w./-]+)\s*$/.exec(text);
  if (parts === null) throw new PersonError(`"${text.trim()}" is no argument of ${name}: write one as in ${known[0]}=1`);
  const [, argument, word] = parts;
  const at = known.indexOf(argument);
  if (at < 0) throw new PersonError(`${name} has no argument ${argument}: it has ${known.join(", ")}`);
  return { at, value: word, isVariable: word.startsWith("$") };
}

/** "kvm_set_irq(5,1,0)" */
export function eventText(event: Heard): string {
  return `${event.name}(${event.args.join(",")})`;
}
