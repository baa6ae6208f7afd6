/** "1,234,567" */
export const grouped = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/** "up to 1 preemption" */
export const boundText = (preemptions: number): string => `up to ${preemptions} ${preemptions === 1 ? "preemption" : "preemptions"}`;

/** A paragraph in lines of at most `width` characters. */
export function wrapped(text: string, width = 100): string {
  const lines = [""];
  for (const word of text.trim().split(/\s+/)) {
    const last = lines[lines.length - 1];
    if (last !== "" && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.join("\n");
}

/** Names and what they mean, in two columns within `width`; a long meaning goes on below itself. */
export function definitions(rows: readonly (readonly [string, string])[], width = 100): string {
  const column = Math.max(0, ...rows.map(([name]) => name.length)) + 2;
  const lead = " ".repeat(2 + column);
  return rows.map(([name, text]) => `  ${name.padEnd(column)}${wrapped(text, width - lead.length).replaceAll("\n", `\n${lead}`)}`.trimEnd()).join("\n");
}
