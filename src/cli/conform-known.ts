import { z } from "zod";
import type { VectorResult } from "../conform/runner.js";
import { isSwitch, KNOWN_DIFFERENCES, type KnownDifference, told } from "../conform/x86/known.js";
import { FLAVOURS } from "../conform/x86/vector.js";
import type { ConformOutput } from "./conform-schema.js";

/** `virq conform --known --json`. Published as schema/conform-known.schema.json. */
export const conformKnownOutput = z.array(
  z.object({
    name: z.string(),
    flavour: z.enum(FLAVOURS).exclude(["any"]),
    where: z.string().describe("kernels and back ends that answer otherwise"),
    reason: z.string(),
    model: z.string().describe("what the model does"),
    told: z.string().describe("how a comparison tells that it is this difference"),
    kept: z.string().optional().describe("why it is declared though the machine that was compared never showed it"),
    probe: z.array(z.object({ op: z.string(), args: z.unknown() })).optional().describe("the calls by which a kernel is asked"),
  }),
);

type Row = z.infer<typeof conformKnownOutput>[number];

function rowOf(known: KnownDifference): Row {
  const { name, flavour, where, reason, model, kept } = known;
  const probe = isSwitch(known) && known.probe !== undefined ? { probe: known.probe.map(({ op, args }) => ({ op, args })) } : {};
  return { name, flavour, where, reason, model, told: told(known), ...(kept === undefined ? {} : { kept }), ...probe };
}

export const knownJson = (): string => `${JSON.stringify(KNOWN_DIFFERENCES.map(rowOf), null, 2)}\n`;

/** The table for people. */
export function knownText(): string {
  const lines = KNOWN_DIFFERENCES.map(rowOf).flatMap(({ name, flavour, where, reason, model, told: how, kept }) => [
    `${name} (${flavour})`,
    `  where   ${where}`,
    `  reason  ${reason}`,
    `  model   ${model}`,
    `  told    ${how.replace("told ", "")}`,
    ...(kept === undefined ? [] : [`  kept    ${kept}`]),
    "",
  ]);
  return [...lines, `${KNOWN_DIFFERENCES.length} known differences between kernels or back ends and the model`, ""].join("\n");
}

/** The rows that vectors met, in the table's order. */
export function knownTotals(results: readonly VectorResult[]): ConformOutput["known"] {
  return KNOWN_DIFFERENCES.flatMap(({ name, flavour }) => {
    const met = results.map(({ known = [] }) => known.filter((each) => each.name === name).length).filter((steps) => steps > 0);
    return met.length === 0 ? [] : [{ name, flavour, vectors: met.length, steps: met.reduce((sum, steps) => sum + steps, 0) }];
  });
}
