import type { EventName } from "../sim/event.js";
import { PersonError } from "../sim/person-error.js";
import { type Bindings, EventPattern, eventText } from "./event-pattern.js";
import type { Heard, Property } from "./property.js";

/** The forms that {@link ruleProperty} takes, as a person reads them. */
export const RULE_FORMS = [
  "never EVENT",
  "never EVENT before EVENT",
  "never EVENT after EVENT [until EVENT]",
  "every EVENT is followed by EVENT",
  "at most N EVENT [between EVENT and EVENT]",
  "at least N EVENT",
] as const;

type Build = (text: string, events: readonly EventPattern[], count: number) => Omit<Property, "name" | "sentence" | "hears">;

const E = "(\\w+(?:\\s*\\([^()]*\\))?)";

const FORMS: readonly { readonly form: RegExp; readonly build: Build }[] = [
  { form: new RegExp(`^never ${E}$`), build: never },
  { form: new RegExp(`^never ${E} before ${E}$`), build: neverBefore },
  { form: new RegExp(`^never ${E} after ${E}(?: until ${E})?$`), build: neverAfter },
  { form: new RegExp(`^every ${E} is followed by ${E}$`), build: everyFollowed },
  { form: new RegExp(`^at most (\\d{1,9}) ${E}(?: between ${E} and ${E})?$`), build: atMost },
  { form: new RegExp(`^at least (\\d{1,9}) ${E}$`), build: atLeast },
];

/**
 * A property that a person writes as one sentence: one of {@link RULE_FORMS}, its events as {@link EventPattern} takes
 * them. "never kvm_set_irq(gsi=$g) after irqfd_free(gsi=$g) until irqfd_assign(gsi=$g)".
 *
 * @throws PersonError when it is none of these
 */
export function ruleProperty(text: string, name = text): Property {
  const sentence = text.trim().replace(/\s+/g, " ");
  for (const { form, build } of FORMS) {
    const found = form.exec(sentence)?.slice(1);
    if (found === undefined) continue;
    const isCounted = /^\d+$/.test(found[0]);
    const patterns = (isCounted ? found.slice(1) : found).filter((part) => part !== undefined).map((part) => EventPattern.parse(part));
    const hears = [...new Set<EventName>(patterns.map((pattern) => pattern.name))];
    return { name, sentence, hears, ...build(sentence, patterns, isCounted ? Number(found[0]) : 0) };
  }
  throw new PersonError(`"${sentence}" is not a rule: write ${RULE_FORMS.join("; or ")}`);
}

/** Is it meant as a sentence, rather than as a name? */
export const isRule = (text: string): boolean => /\s/.test(text.trim());

function never(text: string, [banned]: readonly EventPattern[]): ReturnType<Build> {
  return { hear: (event) => (banned.match(event) === null ? null : `${text}: ${eventText(event)}`) };
}

function neverBefore(text: string, [early, first]: readonly EventPattern[]): ReturnType<Build> {
  const begun: Bindings[] = [];
  return {
    hear(event) {
      const bindings = early.match(event);
      if (bindings !== null && !begun.some((each) => early.match(event, each) !== null)) return `${text}: ${eventText(event)}`;
      const start = first.match(event);
      if (start !== null) begun.push(start);
      return null;
    },
  };
}

function neverAfter(text: string, [late, begin, end]: readonly (EventPattern | undefined)[]): ReturnType<Build> {
  let begun: { readonly bindings: Bindings; readonly by: string }[] = [];
  return {
    hear(event) {
      const broken = begun.find(({ bindings }) => (late?.match(event, bindings) ?? null) !== null);
      if (broken !== undefined) return `${text}: ${eventText(event)} after ${broken.by}`;
      begun = begun.filter(({ bindings }) => (end?.match(event, bindings) ?? null) === null);
      const bindings = begin?.match(event) ?? null;
      if (bindings !== null) begun.push({ bindings, by: eventText(event) });
      return null;
    },
  };
}

function everyFollowed(text: string, [first, then]: readonly EventPattern[]): ReturnType<Build> {
  let open: { readonly bindings: Bindings; readonly by: string }[] = [];
  return {
    hear(event) {
      open = open.filter(({ bindings }) => then.match(event, bindings) === null);
      const bindings = first.match(event);
      if (bindings !== null) open.push({ bindings, by: eventText(event) });
      return null;
    },
    end: () => (open.length === 0 ? null : `${text}: nothing followed ${open[0].by}`),
  };
}

function atMost(text: string, [counted, begin, end]: readonly (EventPattern | undefined)[], most: number): ReturnType<Build> {
  let count = 0;
  let isCounting = begin === undefined;
  return {
    hear(event) {
      if ((end?.match(event) ?? null) !== null) isCounting = false;
      if (isCounting && (counted?.match(event) ?? null) !== null && ++count > most) return `${text}: ${eventText(event)} is number ${count}`;
      if ((begin?.match(event) ?? null) !== null) {
        isCounting = true;
        count = 0;
      }
      return null;
    },
  };
}

function atLeast(text: string, [counted]: readonly EventPattern[], least: number): ReturnType<Build> {
  let count = 0;
  return {
    hear(event: Heard) {
      if (counted.match(event) !== null) count++;
      return null;
    },
    end: () => (count >= least ? null : `${text}: there were ${count}`),
  };
}
