import type { Protocol } from "../../explore/protocol.js";
import { HAZARDS, type HazardName } from "../../sim/hazards.js";
import { heading } from "../table.js";
import { ruleNamed } from "../../explore/catalogue.js";
import type { ProtocolSource } from "../../node/explore/protocol-source.js";
import { wrapped } from "./words.js";

/** What was asked about, as `--json` shows it. */
export function subjectJson(source: ProtocolSource, protocol: Protocol, off: readonly HazardName[]): { subject: string; title: string; source: string; without: string[]; properties: string[] } {
  return { subject: source.subject, title: protocol.title, source: protocol.source, without: [...off], properties: [...source.properties] };
}

/** The same for a person. */
export function subjectText(source: ProtocolSource, protocol: Protocol, off: readonly HazardName[]): string {
  const lines = [wrapped(`${protocol.name}: ${protocol.title}`).replace(protocol.name, heading(protocol.name)), `(${protocol.source})`];
  for (const name of off) lines.push(wrapped(`without ${name}: ${HAZARDS[name]}`));
  for (const property of source.properties) lines.push(`asked too: ${property}`);
  return lines.join("\n");
}

/** The rules that a person switches off, each once, in the table's order. @throws PersonError for one that is not there */
export function switchesOf(...lists: readonly (readonly string[] | undefined)[]): HazardName[] {
  const asked = new Set(lists.flatMap((list) => list ?? []).map((name) => ruleNamed(name)));
  return (Object.keys(HAZARDS) as HazardName[]).filter((name) => asked.has(name));
}
