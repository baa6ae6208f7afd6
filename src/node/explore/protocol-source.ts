import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { deliveryProtocol } from "../../explore/delivery-protocol.js";
import { asking, carefully } from "../../explore/asking.js";
import type { Property } from "../../explore/property.js";
import type { Protocol } from "../../explore/protocol.js";
import { isRule, ruleProperty } from "../../explore/rule.js";
import { threadsProtocol } from "../../explore/threads-protocol.js";
import { readText } from "../read-text.js";
import { type ExplorationFile, readExploration, type SearchSettings } from "../../scenario/exploration.js";
import { readScenario } from "../../scenario/scenario.js";
import { PersonError } from "../../sim/person-error.js";
import { requestOf } from "../delivery-request.js";
import { propertyNamed, protocolNamed } from "../../explore/catalogue.js";
import type { PropertyMaker } from "../../explore/properties/index.js";

/** What is to be explored, in words that can be sent to another thread and built there again. */
export interface ProtocolSource {
  /** A protocol's name, or the path of a scenario file. */
  readonly subject: string;
  /** Path of a JavaScript module with protocols and properties of the person's own. */
  readonly module: string | null;
  /** Names, or rules in one sentence; asked besides the program's own. */
  readonly properties: readonly string[];
}

/** A protocol, and how its file says that it be searched. */
export interface Subject {
  readonly protocol: Protocol;
  readonly settings: Partial<SearchSettings>;
}

interface Extras {
  readonly protocols: readonly Protocol[];
  readonly properties: readonly PropertyMaker[];
}

/** Scenario files are told from protocols by their ending. */
export const isFile = (subject: string): boolean => /\.ya?ml$/i.test(subject) || /[/\\]/.test(subject);

/** Does a scenario file describe a board and its device, rather than a protocol? */
const hasBoard = (text: string): boolean => /^board\s*:/m.test(text);

/**
 * The same protocol as {@link loadSubject}'s: a built-in one by its name, a person's own by its module, or that of a scenario file.
 * Paths are absolute, or from the working directory.
 *
 * @throws PersonError when a file, a protocol, a property or a rule is not there or is wrong
 */
export async function loadProtocol(source: ProtocolSource): Promise<Protocol> {
  return (await loadSubject(source)).protocol;
}

/** @throws PersonError when a file, a protocol, a property or a rule is not there or is wrong */
export async function loadSubject(source: ProtocolSource): Promise<Subject> {
  const extras = source.module === null ? { protocols: [], properties: [] } : await loadModule(source.module);
  const { protocol, settings } = isFile(source.subject) ? subjectOfFile(source.subject, extras) : { protocol: protocolNamed(source.subject, extras.protocols), settings: {} };
  const asked = [...(settings.properties ?? []), ...source.properties];
  return { protocol: asking(protocol, asked.map((each) => makerOf(each, extras))), settings };
}

function makerOf(asked: SearchSettings["properties"][number], extras: Extras): () => Property {
  if (typeof asked !== "string") {
    ruleProperty(asked.rule, asked.name);
    return () => ruleProperty(asked.rule, asked.name);
  }
  if (!isRule(asked)) {
    const maker = propertyNamed(asked, extras.properties);
    return extras.properties.includes(maker) ? () => made(maker) : () => maker.make();
  }
  ruleProperty(asked);
  return () => ruleProperty(asked);
}

/** A property of the person's own. */
function made(maker: PropertyMaker): Property {
  try {
    const property: unknown = maker.make();
    if (typeof property === "object" && property !== null) return property as Property;
  } catch (error) {
    throw new PersonError(`property ${maker.name}: its make() threw ${error instanceof Error ? `${error.name}: ${error.message.replaceAll(/\s+/g, " ")}` : String(error)}`);
  }
  throw new PersonError(`property ${maker.name}: its make() gives no property`);
}

function subjectOfFile(file: string, extras: Extras): Subject {
  const text = readText(file);
  if (hasBoard(text)) {
    const scenario = readScenario(text, file);
    const { raises = 1, sliceEnds = 1, ...settings } = scenario.explore ?? {};
    return { protocol: deliveryProtocol(requestOf(scenario, dirname(file)), { raises, sliceEnds }, file), settings };
  }
  const exploration = readExploration(text, file);
  return { protocol: protocolOf(exploration, file, extras), settings: exploration };
}

function protocolOf(exploration: ExplorationFile, file: string, extras: Extras): Protocol {
  if (exploration.protocol === undefined) return threadsProtocol(exploration, file);
  const protocol = protocolNamed(exploration.protocol, extras.protocols);
  return exploration.title === undefined ? protocol : { ...protocol, title: exploration.title, program: (hazards) => protocol.program(hazards) };
}

async function loadModule(file: string): Promise<Extras> {
  const path = resolve(file);
  if (!existsSync(path)) throw new PersonError(`--module ${file}: there is no such file`);
  let found: { readonly protocols?: unknown; readonly properties?: unknown };
  try {
    found = (await import(pathToFileURL(path).href)) as typeof found;
  } catch (error) {
    throw new PersonError(`--module ${file}: it cannot be loaded (${error instanceof Error ? error.message.split("\n")[0] : String(error)})`);
  }
  const { protocols = [], properties = [] } = found;
  if (!isListOf(protocols, "program")) throw new PersonError(`--module ${file}: its export "protocols" is no list of { name, title, source, program(hazards) }`);
  if (!isListOf(properties, "make")) throw new PersonError(`--module ${file}: its export "properties" is no list of { name, sentence, make() }`);
  if (protocols.length + properties.length === 0) throw new PersonError(`--module ${file}: it exports neither "protocols" nor "properties"`);
  return { protocols: (protocols as Protocol[]).map((protocol) => carefully(protocol)), properties: properties as PropertyMaker[] };
}

function isListOf(list: unknown, method: string): list is readonly object[] {
  return Array.isArray(list) && list.every((each: unknown) => typeof each === "object" && each !== null && "name" in each && typeof each.name === "string" && method in each && typeof (each as Record<string, unknown>)[method] === "function");
}
