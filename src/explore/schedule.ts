import { PersonError } from "../sim/person-error.js";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Who moved, access by access, as one word: "a12bc3" is twelve accesses of actor 0, one of 1, three of 2. */
export function printSchedule(choices: readonly number[]): string {
  let text = "";
  for (let i = 0; i < choices.length; ) {
    let end = i + 1;
    while (end < choices.length && choices[end] === choices[i]) end++;
    text += LETTERS[choices[i]] + (end - i > 1 ? String(end - i) : "");
    i = end;
  }
  return text;
}

/** The choices that a printed schedule stands for. Throws a PersonError where it stands for none. */
export function parseSchedule(text: string): number[] {
  if (!/^([a-zA-Z]([1-9]\d{0,4})?)*$/.test(text))
    throw new PersonError(`"${text}" is not a schedule: it is made of letters, each with a count behind it if that is not 1, as in a12bc3`);
  const choices: number[] = [];
  for (const [, letter, count] of text.matchAll(/([a-zA-Z])(\d*)/g))
    for (let i = Number(count || 1); i > 0; i--) choices.push(LETTERS.indexOf(letter));
  return choices;
}
