import { z } from "zod";

/** `virq vfio --json`. */
export const vfioOutput = z.object({
  board: z.string(),
  device: z.string().describe("its name in /sys"),
  group: z.number().int(),
  assumedIommu: z.boolean().describe("--assume-iommu: the tree names no IOMMU for the device"),
  lines: z.array(
    z.object({
      line: z.string(),
      result: z.union([z.number(), z.string()]).nullable().describe("a number, text, or -ERRNO; null: the line waits for ever"),
      fields: z.record(z.string(), z.string()).describe("what the structure says that the line did not give it"),
      passedBy: z.number().int().describe("lines that began while this one waited"),
    }),
  ),
});

export type VfioOutput = z.infer<typeof vfioOutput>;
