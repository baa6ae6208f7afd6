/** Rows as aligned columns, two blanks apart, without blanks at the ends of lines. */
export function table(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) => `${indent}${row.map((cell, i) => cell.padEnd(widths[i])).join("  ")}`.trimEnd()).join("\n");
}

/** Bold on a terminal, plain elsewhere and under NO_COLOR. */
export function heading(text: string): string {
  const plain = !process.stdout.isTTY || (process.env["NO_COLOR"] ?? "") !== "";
  return plain ? text : `\u001b[1m${text}\u001b[22m`;
}
