import { z } from "zod";
import { type CostTable, PRIMITIVES } from "../sim/cost.js";
import { readDocument } from "./document.js";

const figureSchema = z.strictObject({
  ns: z.number().min(0).max(1e9),
  source: z.string().min(1).describe("where the figure was published, or how it follows from one that was"),
});

/** A cost profile: what each primitive takes on one machine, each figure with its source. */
export const profileSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, "not a name of small letters, digits, dots and dashes"),
    machine: z.string(),
    primitives: z.strictObject(Object.fromEntries(PRIMITIVES.map((name) => [name, figureSchema]))),
  })
  .describe("Nanoseconds per primitive on one machine, each with its published source");
/** A machine's nanoseconds by primitive, each with its published source. */
export type CostProfile = z.infer<typeof profileSchema>;

/** @throws PersonError with file, line and path */
export function readProfile(text: string, file: string): CostProfile {
  return readDocument(profileSchema, text, file);
}

export function costTable(profile: CostProfile): CostTable {
  return Float64Array.from(PRIMITIVES, (name) => profile.primitives[name].ns);
}
