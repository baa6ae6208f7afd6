import { z } from "zod";
import { TARGET_NAMES } from "../conform/target.js";
import { X86_TARGET_NAMES } from "../conform/x86/targets.js";
import { FLAVOURS } from "../conform/x86/vector.js";

const total = z.number().int().min(0);

/** `virq conform --json`. Published as schema/conform.schema.json. */
export const conformOutput = z.object({
  file: z.string(),
  compat: z.string().nullable().describe("as asked for; null: each vector's own"),
  passed: total,
  failed: total,
  skipped: total,
  answers: total.describe("held against recorded ones"),
  kvmAnswers: total.describe("of them against an expectKvm: the kernel's own, other than QEMU's"),
  known: z.array(z.object({ name: z.string(), flavour: z.enum(FLAVOURS), vectors: total, steps: total })).describe("known differences that were met (virq conform --known has their reasons)"),
  vectors: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      target: z.enum([...TARGET_NAMES, ...X86_TARGET_NAMES]),
      outcome: z.enum(["passed", "failed", "skipped"]),
      reason: z.string().nullable().describe("why it was skipped"),
      difference: z
        .object({ step: total.describe("from 0"), text: z.string(), expected: z.string(), got: z.string() })
        .nullable()
        .describe("the first step that showed something else"),
      known: z.array(z.object({ name: z.string(), flavour: z.enum(FLAVOURS), step: total.describe("from 0"), paths: z.array(z.string()).describe("value, state.irr, …") })).describe("known differences that it met"),
      compared: z.object({ answers: total, kvmAnswers: total }).describe("as above, in this vector"),
    }),
  ),
});

export type ConformOutput = z.infer<typeof conformOutput>;
