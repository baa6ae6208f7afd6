import { RULE_FORMS } from "../../explore/rule.js";
import { STRATEGIES } from "../../explore/strategy.js";
import { EVENT_ARGUMENTS, EVENT_NAMES } from "../../sim/event.js";
import { HAZARD_NAMES, HAZARDS } from "../../sim/hazards.js";
import { heading } from "../table.js";
import { builtinProperties, builtinProtocols, EXPLORED_PROFILES, programProperties } from "../../explore/catalogue.js";
import type { Protocol } from "../../explore/protocol.js";
import { PROFILED, SCENARIOS } from "../../explore/protocols/index.js";
import type { ExploreListOutput } from "./schema.js";
import { definitions } from "./words.js";

/** Everything that can be named. */
export function listJson(): ExploreListOutput {
  const told = (list: readonly Protocol[]): ExploreListOutput["protocols"] => list.map(({ name, title, source }) => ({ name, title, source }));
  return {
    protocols: told(builtinProtocols().filter((protocol) => !SCENARIOS.includes(protocol))),
    profiles: [...EXPLORED_PROFILES],
    profiled: PROFILED.map(({ name }) => name),
    scenarios: told(SCENARIOS),
    properties: [...builtinProperties().map(({ name, sentence }) => ({ name, sentence, needs: null })), ...programProperties().map(({ name, sentence, needs }) => ({ name, sentence, needs }))],
    rules: [...RULE_FORMS],
    strategies: STRATEGIES.map(({ name, sentence }) => ({ name, sentence })),
    switches: HAZARD_NAMES.map((name) => ({ name, hazard: HAZARDS[name] })),
    events: EVENT_NAMES.map((name, i) => ({ name, arguments: [...EVENT_ARGUMENTS[i]] })),
  };
}

export function listText(): string {
  const { protocols, profiles, profiled, scenarios, properties, rules, strategies, switches, events } = listJson();
  const parts = [
    heading("PROTOCOLS (virq explore NAME)"),
    definitions(protocols.map(({ name, title }) => [name, title])),
    "",
    heading("VFIO OF ANOTHER KERNEL (virq explore NAME@PROFILE; vfio.md 0.4)"),
    definitions([[profiles.map((profile) => `@${profile}`).join(" "), profiled.join(", ")]]),
    "",
    heading("SCENARIOS, whole machines (virq explore NAME; virq explore FILE.yaml for one of your own)"),
    definitions(scenarios.map(({ name, title }) => [name, title])),
    "",
    heading("STRATEGIES (--strategy NAME)"),
    definitions(strategies.map(({ name, sentence }) => [name, sentence])),
    "",
    heading("PROPERTIES (--property NAME; every program has its own besides)"),
    definitions(properties.map(({ name, sentence, needs }) => [name, needs === null ? sentence : `${sentence} (needs of a program ${needs}: not by --property)`])),
    "",
    heading('RULES (--property "...", a property of your own in one sentence)'),
    ...rules.map((form) => `  ${form}`),
    "  EVENT is a name with the arguments that matter, kvm_set_irq(gsi=5, level=1); $x is any value, the same throughout",
    "",
    heading("RULES OF THE KERNEL THAT CAN BE SWITCHED OFF (--without NAME)"),
    definitions(switches.map(({ name, hazard }) => [name, hazard])),
    "",
    heading("EVENTS"),
    ...events.map((event) => `  ${event.name}(${event.arguments.join(", ")})`),
  ];
  return `${parts.join("\n")}\n`;
}
