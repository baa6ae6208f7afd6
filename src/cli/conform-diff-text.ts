import type { ConformDiffOutput } from "./conform-diff-schema.js";

const MOST_PLACES = 8;
const WIDEST_CALL = 70;

/** The comparison for people: each kind of difference with its fewest steps side by side, then the counts. */
export function diffText(output: ConformDiffOutput): string {
  const lines: string[] = [];
  for (const found of output.differences) lines.push(...differenceLines(found, output.seed), "");
  for (const known of output.known) if (known.steps > 0) lines.push(knownLine(known));
  for (const { name, at } of output.unsteady) lines.push(`unsteady ${name}: differed once (${at.map(({ path, model, kernel }) => `${path}: model ${model}, kernel ${kernel}`).join("; ")}) and not again in two more runs; nobody looked why, an interrupt of the host between two steps can do it`);
  if (output.backend.endsAtAcceptance) lines.push("back end ends a local APIC's interrupt as the guest takes it (kvm-pvm); the model was told to");
  if (output.leftOut > 0) lines.push(`left out ${output.leftOut} vectors of ${output.source}, which are no calls to /dev/kvm`);
  const known = output.sequences - output.same - output.different - output.unsteady.length;
  lines.push(`calls    ${shares(output.calls, output.steps)}`, `errnos   ${shares(output.errnos, output.steps)}`);
  if (output.notCompared > 0) lines.push(`${output.notCompared} steps not compared, after differences that end their sequence`);
  lines.push(`${output.sequences} sequences, ${output.steps} steps: ${output.same} same, ${known} known, ${output.unsteady.length} unsteady, ${output.different} different`);
  return `${lines.join("\n")}\n`;
}

function knownLine({ name, flavour, where, reason, model, sequences, steps, isHarmless }: ConformDiffOutput["known"][number]): string {
  return `known    ${steps} steps of ${sequences} sequences${isHarmless ? "" : ", which end there"}: ${name} (${flavour}; ${where}): ${reason}; the model: ${model}`;
}

/** "guest mmioWrite32 20.4%, irqLineStatus 8.1%" */
function shares(counts: Readonly<Record<string, number>>, of: number): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${((100 * count) / of).toFixed(1)}%`)
    .join(", ");
}

function differenceLines(found: ConformDiffOutput["differences"][number], seed: number | null): string[] {
  const alike = found.alike === 0 ? "" : `; ${found.alike} more like it`;
  const rows = found.steps.map(({ call, model, kernel }, i) => ({
    mark: i === found.steps.length - 1 ? ">" : " ",
    call: `${i} ${call}`.length > WIDEST_CALL ? `${`${i} ${call}`.slice(0, WIDEST_CALL - 1)}…` : `${i} ${call}`,
    model: model === kernel ? "same" : model,
    kernel,
  }));
  const width = Math.max(4, ...rows.map((row) => row.call.length));
  const modelWidth = Math.max(5, ...rows.map((row) => row.model.length));
  return [
    `DIFFERS  ${found.name}${seed === null ? "" : ` of seed ${seed}`}: ${found.steps.length} steps, shrunk from ${found.shrunkFrom}${alike}`,
    `  ${"call".padEnd(width)}  ${"model".padEnd(modelWidth)}  kernel`,
    ...rows.map((row) => `${row.mark} ${row.call.padEnd(width)}  ${row.model.padEnd(modelWidth)}  ${row.kernel}`),
    ...found.at.slice(0, MOST_PLACES).map(({ path, model, kernel }) => `  ${path}: model ${model}, kernel ${kernel}`),
  ];
}
