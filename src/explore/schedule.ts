import type { HazardName } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import type { Protocol } from "./protocol.js";
import { VERSION } from "./version.js";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** In place of a last choice: from here on every context has its turn, step by step. */
export const IN_TURN = -1;

/** Who moved, step by step, as one word: "a12bc3" is twelve steps of context 0, one of 1, three of 2; "~" is {@link IN_TURN}. */
export function printSchedule(choices: readonly number[]): string {
  let text = "";
  for (let i = 0; i < choices.length; ) {
    let end = i + 1;
    while (end < choices.length && choices[end] === choices[i]) end++;
    text += (choices[i] === IN_TURN ? "~" : LETTERS[choices[i]]) + (end - i > 1 ? String(end - i) : "");
    i = end;
  }
  return text;
}

/** The choices that a printed schedule stands for. Throws a PersonError where it stands for none. */
export function parseSchedule(text: string): number[] {
  if (!/^([a-zA-Z]([1-9]\d{0,4})?)*~?$/.test(text))
    throw new PersonError(`"${text}" is not a schedule: it is made of letters, each with a count behind it if that is not 1, as in a12bc3, and may end in ~`);
  const choices: number[] = [];
  for (const [, letter, count] of text.matchAll(/([a-zA-Z])(\d*)/g))
    for (let i = Number(count || 1); i > 0; i--) choices.push(LETTERS.indexOf(letter));
  if (text.endsWith("~")) choices.push(IN_TURN);
  return choices;
}

/** What a program is built from, as a short word: the protocol's name, what a file adds to it, and the rules that are off. */
export function programHash(protocol: Protocol, off: readonly HazardName[] = []): string {
  return wordHash([protocol.name, protocol.identity ?? "", ...off.toSorted()].join("\n"));
}

/** FNV-1a of a text, as a short word. */
export function wordHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return (hash >>> 0).toString(36);
}

const FORM = "v1";
const version = VERSION.replaceAll(".", "-");

/** "v1.0-1-0.1k3jf9a.a12bc3.g": form, virq's version, program, moves, and their number, by which a string cut short shows. */
export function printString(protocol: Protocol, off: readonly HazardName[], choices: readonly number[]): string {
  return [FORM, version, programHash(protocol, off), printSchedule(choices), choices.length.toString(36)].join(".");
}

interface Parsed {
  readonly hash: string;
  readonly choices: readonly number[];
}

/** Throws a PersonError where the string is none, is cut short, or comes from another version. */
export function parseString(text: string): Parsed {
  const parts = text.trim().split(".");
  if (parts[0] !== FORM || !/^\d+-\d+-\d+/.test(parts[1] ?? FORM)) throw new PersonError(`"${text}" is no schedule of virq: such a string begins with ${FORM}.${version}.`);
  if (parts[1] !== undefined && parts[1] !== version && parts.length > 2)
    throw new PersonError(`the schedule ${text} was printed by virq ${parts[1].replaceAll("-", ".")}, and this is ${VERSION}: replay it there, or explore again`);
  const [, , hash, moves, length] = parts;
  const choices = parts.length === 5 ? parseSchedule(moves) : [];
  if (parts.length !== 5 || length !== choices.length.toString(36)) throw new PersonError(`the schedule ${text} is cut short or changed: copy all of it, up to the number behind the last dot`);
  return { hash, choices };
}

/** Which program a schedule string belongs to: compare with {@link programHash}. Throws a PersonError where it is none. */
export function scheduleHash(text: string): string {
  return parseString(text).hash;
}

/** The moves of a string that belongs to this program. Throws a PersonError where it does not. */
export function movesOf(text: string, protocol: Protocol, off: readonly HazardName[]): readonly number[] {
  const { hash, choices } = parseString(text);
  if (hash === programHash(protocol, off)) return choices;
  const rules = off.length === 0 ? "all rules in force" : `${off.join(", ")} off`;
  throw new PersonError(`the schedule ${text} was printed for another program than ${protocol.name} with ${rules}: replay it with the options that printed it`);
}
