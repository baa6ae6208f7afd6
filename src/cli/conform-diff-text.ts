import type { ConformDiffOutput } from "./conform-diff-schema.js";

const MOST_PLACES = 8;

/** The comparison for people: each kind of difference with its fewest steps and both sides' answers, then the counts. */
export function diffText(output: ConformDiffOutput): string {
  const lines: string[] = [];
  for (const found of output.differences) lines.push(...differenceLines(found, output.seed), "");
  for (const known of output.known) if (known.sequences > 0 || known.kernel === "unclear") lines.push(knownLine(known));
  for (const { name, at } of output.unsteady) lines.push(`unsteady ${name}: differed once (${at.map(({ path, model, kernel }) => `${path}: model ${model}, kernel ${kernel}`).join("; ")}) and not again in two more runs; nobody looked why, an interrupt of the host between two steps can do it`);
  if (output.leftOut > 0) lines.push(`left out ${output.leftOut} vectors of ${output.source}, which are no calls to /dev/kvm`);
  lines.push(`calls    ${shares(output.calls, output.steps)}`, `errnos   ${shares(output.errnos, output.steps)}`);
  if (output.notCompared > 0) lines.push(`${output.notCompared} steps not compared, after differences that end their sequence`);
  lines.push(`${output.sequences} sequences, ${output.steps} steps: ${output.same} same, ${output.endedByKnown} ended by a known difference, ${output.unsteady.length} unsteady, ${output.different} different`);
  return `${lines.join("\n")}\n`;
}

type Known = ConformDiffOutput["known"][number];

function knownLine(known: Known): string {
  return `known    ${metBy(known)}: ${known.name} (${known.flavour}; ${known.where}): ${known.reason}; the model: ${known.model}`;
}

function metBy({ kernel, steps, sequences, isHarmless }: Known): string {
  if (kernel === "unclear") return "answered by the kernel as by neither side of the model, so that it explains nothing";
  if (kernel === "followed") return `in ${sequences} sequences, where the model follows the kernel`;
  if (kernel === "otherwise") return `${steps} steps of ${sequences} sequences, from where on the model follows the kernel`;
  return `${steps} steps of ${sequences} sequences${isHarmless ? "" : ", which end there"}`;
}

/** "guest mmioWrite32 20.4%, irqLineStatus 8.1%" */
function shares(counts: Readonly<Record<string, number>>, of: number): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${((100 * count) / of).toFixed(1)}%`)
    .join(", ");
}

function differenceLines(found: ConformDiffOutput["differences"][number], seed: number | null): string[] {
  const alike = found.alike.length === 0 ? "" : `; like it: ${found.alike.join(", ")}`;
  const last = found.steps.length - 1;
  const rows = found.steps.flatMap(({ call, model, kernel }, i) => [`${i === last ? ">" : " "} ${i} ${call}`, ...(model === kernel ? [`      both    ${kernel}`] : [`      model   ${model}`, `      kernel  ${kernel}`])]);
  return [
    `DIFFERS  ${found.name}${seed === null ? "" : ` of seed ${seed}`}: ${found.steps.length} steps, shrunk from ${found.shrunkFrom}${alike}`,
    ...rows,
    ...found.at.slice(0, MOST_PLACES).map(({ path, model, kernel }) => `  ${path}: model ${model}, kernel ${kernel}`),
    ...(found.at.length > MOST_PLACES ? [`  and ${found.at.length - MOST_PLACES} more places; --json has them all`] : []),
  ];
}
