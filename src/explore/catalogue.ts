import { HAZARD_CASES } from "./hazards/index.js";
import { PROGRAM_PROPERTIES, type ProgramProperty, PROPERTIES, type PropertyMaker } from "./properties/index.js";
import type { Protocol } from "./protocol.js";
import { PROFILED, PROTOCOLS } from "./protocols/index.js";
import { HAZARD_NAMES, type HazardName } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import type { VfioProfileName } from "../vfio/profiles.js";

/** Every protocol that can be named without a file. */
export function builtinProtocols(): readonly Protocol[] {
  const all = [...PROTOCOLS, ...HAZARD_CASES.flatMap((hazard) => ("protocol" in hazard ? [hazard.protocol] : []))];
  return [...new Map(all.map((protocol) => [protocol.name, protocol])).values()];
}

/** Every property that can be named without a file. */
export function builtinProperties(): readonly PropertyMaker[] {
  return PROPERTIES;
}

/** Every property that only a program can ask, because it needs objects of it. */
export function programProperties(): readonly ProgramProperty[] {
  return PROGRAM_PROPERTIES;
}

/** Kernels whose VFIO a protocol can be asked of by `NAME@PROFILE`. The interface of draft2011 has protocols of its own. */
export const EXPLORED_PROFILES = ["modern", "v5", "fwd2014"] as const satisfies readonly VfioProfileName[];

function underProfile(protocol: Protocol, profile: VfioProfileName): Protocol {
  return { ...protocol, name: `${protocol.name}@${profile}`, title: `${protocol.title} (VFIO as in ${profile})`, program: (hazards) => protocol.program(hazards, profile) };
}

/** Every protocol of VFIO's under every profile (vfio.md 0.4). */
export function profiledProtocols(): readonly Protocol[] {
  return PROFILED.flatMap((protocol) => EXPLORED_PROFILES.map((profile) => underProfile(protocol, profile)));
}

/** @throws PersonError when there is none of this name */
export function protocolNamed(name: string, more: readonly Protocol[] = []): Protocol {
  const [own, profile] = name.split("@");
  if (profile !== undefined) return profiledNamed(name, protocolNamed(own, more));
  return named("protocol", name, [...more, ...builtinProtocols()], ", and a scenario's file name has a dot");
}

function profiledNamed(name: string, protocol: Protocol): Protocol {
  if (!PROFILED.includes(protocol)) throw new PersonError(`${name}: ${protocol.name} is no protocol of VFIO's groups, pins and lines, which alone have profiles: leave @ and what follows away`);
  const found = profiledProtocols().find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new PersonError(`${name}: the profiles of VFIO that ${protocol.name} can be explored under are ${EXPLORED_PROFILES.join(", ")}; draft2011 has protocols of its own, draft-...`);
}

/** @throws PersonError when there is none of this name, or it needs objects of a program */
export function propertyNamed(name: string, more: readonly PropertyMaker[] = []): PropertyMaker {
  const needy = more.some((each) => each.name === name) ? undefined : PROGRAM_PROPERTIES.find((each) => each.name === name);
  if (needy !== undefined) throw new PersonError(`the property ${name} needs of a program ${needy.needs}: a protocol of your own asks it by ${needy.by} among its program's properties`);
  return named("property", name, [...more, ...builtinProperties()], ", and a rule of your own is a sentence: never EVENT after EVENT");
}

/** @throws PersonError when there is none of this name */
export function ruleNamed(name: string): HazardName {
  return named("rule to switch off", name, HAZARD_NAMES.map((known) => ({ name: known })), "").name;
}

function named<T extends { readonly name: string }>(what: string, name: string, known: readonly T[], more: string): T {
  const found = known.find((each) => each.name === name);
  if (found !== undefined) return found;
  const near = nearest(name, known.map((each) => each.name));
  throw new PersonError(`there is no ${what} ${name}: ${near === null ? "" : `did you mean ${near}? `}virq explore --list names them${more}`);
}

/** The name that a slip of the fingers would have meant. */
function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, name.length / 3);
  for (const each of known) {
    const far = distance(name.toLowerCase(), each.toLowerCase());
    if (far <= least && (best === null || far < least)) [best, least] = [each, far];
  }
  return best;
}

/** Letters to add, drop or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
