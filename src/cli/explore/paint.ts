import type { Paint } from "../../explore/columns.js";

const LANES = [36, 33, 35, 32, 34, 31];

/** Colours on a terminal; nothing elsewhere and under NO_COLOR. */
export function paint(): Paint | undefined {
  if (!process.stdout.isTTY || (process.env["NO_COLOR"] ?? "") !== "") return undefined;
  const sgr = (on: number, off: number) => (text: string): string => `\u001b[${on}m${text}\u001b[${off}m`;
  return { heading: sgr(1, 22), faint: sgr(2, 22), fault: (text) => sgr(1, 22)(sgr(31, 39)(text)), lane: (index, text) => sgr(LANES[index % LANES.length], 39)(text) };
}

/** Characters of a line: those of the terminal up to 160, 100 elsewhere. */
export function lineWidth(): number {
  return process.stdout.isTTY ? Math.max(60, Math.min(160, process.stdout.columns || 100)) : 100;
}
