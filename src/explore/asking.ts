import { PersonError } from "../sim/person-error.js";
import { type Heard, type Property, tell } from "./property.js";
import type { Protocol } from "./protocol.js";
import type { Program } from "./trial.js";

/** The same protocol with more asked of it: a new object of each property for each execution. */
export function asking(protocol: Protocol, makers: readonly (() => Property)[]): Protocol {
  if (makers.length === 0) return protocol;
  return {
    ...protocol,
    program(hazards) {
      const program = protocol.program(hazards);
      const more = makers.map((make) => careful(make()));
      const { sim, contexts, before = [] } = program;
      const broken = tell(more, before);
      if (broken !== null) throw new PersonError(`before the program begins: ${broken}`);
      return { sim, contexts, before, properties: [...(program.properties ?? []), ...more], check: () => program.check(), end: () => program.end?.() ?? null };
    },
  };
}

/** A protocol of a person's own, whose methods may throw: that is said of it, and is no finding. */
export function carefully(protocol: Protocol): Protocol {
  const whose = `protocol ${protocol.name}`;
  const ask = <T>(what: string, answer: () => T): T => asked(whose, what, answer);
  const judged = (what: string, answer: () => string | null): string | null => verdict(whose, what, answer);
  return {
    ...protocol,
    program(hazards) {
      const program = ask("program()", () => protocol.program(hazards));
      if (isProgram(program) && program.contexts.length === 0) throw new PersonError(`protocol ${protocol.name}: its program() has no contexts: nothing would run`);
      if (!isProgram(program)) throw new PersonError(`protocol ${protocol.name}: its program() gives no { sim, contexts, check() }`);
      const { sim, contexts, properties = [], before = [] } = program;
      return {
        sim,
        contexts,
        properties: properties.map((property) => careful(property)),
        before,
        check: () => judged("check()", () => program.check()),
        end: () => judged("end()", () => program.end?.() ?? null),
        outcome: () => ask("outcome()", () => program.outcome?.() ?? ""),
      };
    },
  };
}

function isProgram(program: unknown): program is Program {
  const { sim, contexts, check } = (program ?? {}) as { readonly [name in keyof Program]?: unknown };
  return typeof sim === "object" && sim !== null && Array.isArray(contexts) && typeof check === "function";
}

/** @throws PersonError where the answer throws: whose it is, what of it, and what was thrown */
function asked<T>(whose: string, what: string, answer: () => T): T {
  try {
    return answer();
  } catch (error) {
    if (error instanceof PersonError) throw error;
    throw new PersonError(`${whose}: its ${what} threw ${(error instanceof Error ? `${error.name}: ${error.message}` : String(error)).replaceAll(/\s+/g, " ")}`);
  }
}

/** @throws PersonError where it is neither null nor a sentence */
function verdict(whose: string, what: string, answer: () => string | null): string | null {
  const said: unknown = asked(whose, what, answer);
  if (said === null || typeof said === "string") return said;
  throw new PersonError(`${whose}: its ${what} answered ${String(said)}: null where all is well, else a sentence`);
}

/** A property of a person's own may throw: that is said of it, and is no finding. */
function careful(property: Property): Property {
  const ask = (what: string, answer: () => string | null): string | null => verdict(`property ${property.name}`, what, answer);
  const { name, sentence, hears, anyOrder } = property;
  return {
    name,
    sentence,
    ...(hears === undefined ? {} : { hears }),
    ...(anyOrder === undefined ? {} : { anyOrder }),
    hear: (event: Heard) => ask("hear()", () => property.hear?.(event) ?? null),
    check: () => ask("check()", () => property.check?.() ?? null),
    end: () => ask("end()", () => property.end?.() ?? null),
  };
}
