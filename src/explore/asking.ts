import { PersonError } from "../sim/person-error.js";
import { type Heard, type Property, tell } from "./property.js";
import type { Protocol } from "./protocol.js";

/** The same protocol with more asked of it: a new object of each property for each execution. */
export function asking(protocol: Protocol, makers: readonly (() => Property)[]): Protocol {
  if (makers.length === 0) return protocol;
  return {
    ...protocol,
    program(hazards) {
      const program = protocol.program(hazards);
      const asked = makers.map((make) => careful(make()));
      const { sim, contexts, before = [] } = program;
      const broken = tell(asked, before);
      if (broken !== null) throw new PersonError(`before the program begins: ${broken}`);
      return { sim, contexts, before, properties: [...(program.properties ?? []), ...asked], check: () => program.check(), end: () => program.end?.() ?? null };
    },
  };
}

/** A property of a person's own may throw: that is said of it, and is no finding. */
function careful(property: Property): Property {
  const ask = (what: string, answer: () => string | null): string | null => {
    try {
      return answer();
    } catch (error) {
      throw new PersonError(`property ${property.name}: its ${what} threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
    }
  };
  const { name, sentence, hears } = property;
  return {
    name,
    sentence,
    ...(hears === undefined ? {} : { hears }),
    hear: (event: Heard) => ask("hear()", () => property.hear?.(event) ?? null),
    check: () => ask("check()", () => property.check?.() ?? null),
    end: () => ask("end()", () => property.end?.() ?? null),
  };
}
