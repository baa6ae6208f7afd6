/** Member -> offset of a declared structure; arrays and unions nested. */
export function offsets(tree: object): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [member, value] of Object.entries(tree) as [string, unknown][]) {
    if (typeof value !== "object" || value === null) continue;
    if ("offset" in value) out[member] = value.offset;
    else if (Array.isArray(value)) out[member] = value.map((field: { offset: number }) => field.offset);
    else out[member] = offsets(value);
  }
  return out;
}
