import { z } from "zod";
import { FLAVOURS } from "../conform/x86/vector.js";

const total = z.number().int().min(0);

const place = z.object({ path: z.string().describe("ret, errno, status, events, …, or a register of a chip"), model: z.string(), kernel: z.string() });

/** `virq conform --diff --json`. Published as schema/conform-diff.schema.json. */
export const conformDiffOutput = z.object({
  source: z.string().describe("the file, or random"),
  seed: total.nullable().describe("of generated sequences"),
  compat: z.string().nullable().describe("whose rules the model followed, as asked for; null: the newest"),
  sequences: total,
  leftOut: total.describe("vectors of the file that are no calls to /dev/kvm"),
  steps: total.describe("performed on both sides"),
  notCompared: total.describe("steps after a difference that ends its sequence"),
  calls: z.record(z.string(), total).describe("steps by operation, a guest's by its action; the most frequent first"),
  errnos: z.record(z.string(), total).describe("steps by the kernel's errno; none: it succeeded"),
  same: total.describe("sequences that agree to their end, but for known differences"),
  endedByKnown: total.describe("sequences that a known difference ends"),
  known: z
    .array(
      z.object({
        name: z.string(),
        flavour: z.enum(FLAVOURS).exclude(["any"]),
        where: z.string().describe("kernels and back ends that answer otherwise"),
        reason: z.string(),
        model: z.string().describe("what the model does"),
        told: z.string().describe("how it is met"),
        kernel: z
          .enum(["followed", "otherwise", "alike", "unclear"])
          .nullable()
          .describe("where the model has a switch and the kernel was asked: the model follows it from the first call; it stands on the other side, and the model follows where that shows; it stands where the model does; it answers as neither side would, so that the row explains nothing"),
        isHarmless: z.boolean().describe("the comparison goes on after it; else the sequence ends there"),
        kept: z.string().optional().describe("why it is declared though it was never met"),
        sequences: total.describe("that met it"),
        steps: total.describe("that it explained; of what the model follows from the first call, none is counted"),
      }),
    )
    .describe("every declared difference"),
  unsteady: z.array(z.object({ name: z.string(), at: z.array(place) })).describe("differed once and in neither of two runs after it; why is not known (an interrupt of the host between two steps of the kernel can do it)"),
  different: total,
  differences: z
    .array(
      z.object({
        name: z.string().describe("the vector's id, or the scene of a generated sequence with its number"),
        shrunkFrom: total.describe("steps before shrinking"),
        alike: z.array(z.string()).describe("names of further sequences that differ in the same way, not shrunk"),
        at: z.array(place).describe("where the last step differs"),
        steps: z.array(z.object({ call: z.string(), model: z.string(), kernel: z.string() })).describe("the fewest steps, answers side by side"),
        vector: z.unknown().describe("the same as a vector of a conformance file, with the kernel's answers expected"),
      }),
    )
    .describe("one of each kind"),
});

export type ConformDiffOutput = z.infer<typeof conformDiffOutput>;
