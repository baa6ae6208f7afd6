import { z } from "zod";
import { MECHANISMS } from "../board/assign.js";
import { VGIC_COMPATS } from "../irqchip/gic/vgic-dist.js";
import { readDocument } from "./document.js";
import { searchSchema } from "./exploration.js";

const count = (least: number, most: number) => z.int().min(least).max(most);

/** What the device does and what the guest does about it. */
export const workloadSchema = z
  .strictObject({
    interrupts: count(1, 100_000_000).default(1000).describe("conditions that the device raises"),
    ratePerSecond: z.number().min(0.001).max(1e9).default(10_000).describe("bursts per second of virtual time"),
    burst: count(1, 10_000).default(1).describe("conditions raised together"),
    durationMs: z.number().positive().optional().describe("ends the run earlier, in virtual time"),
    seed: z.int().min(0).max(0xffff_ffff).default(1),
    vcpus: count(1, 512).default(1),
    targets: count(1, 8).default(1).describe("vCPUs that take the interrupts: the first of them the first, and so on"),
    cpus: count(1, 512).optional().describe("physical CPUs that the vCPUs share by turns; without it vCPU 0 has one for itself and the others the rest of the board"),
    sliceNs: count(10_000, 1_000_000_000).default(3_000_000).describe("how long a thread keeps a shared CPU while others wait, nanoseconds"),
    others: z.enum(["halt", "spin"]).default("halt").describe("what the other vCPUs do: halt, or keep their CPUs busy"),
    wait: z.enum(["spin", "wfi", "hlt", "cede"]).default("spin").describe("what a vCPU that takes interrupts does between them: spins, or halts, which is WFI on Arm, HLT on x86 and H_CEDE on Power"),
    accessesPerService: count(1, 1000).default(1).describe("device register accesses in the guest's handler"),
    dmaAddress: count(0, 2 ** 52).optional().describe("the device writes 64 bytes by DMA to this guest-physical address before each condition; what its IOMMU ends is counted. Times leave the DMA out"),
    handlerNs: z.number().min(0).max(1e9).default(500).describe("the handler's own work, nanoseconds"),
    eoi: z
      .enum(["xapic", "x2apic", "pv", "pic"])
      .default("xapic")
      .describe("x86: how the guest ends an interrupt: the local APIC's register by MMIO or by MSR, KVM's paravirtual way where it is offered, or the PIC's port"),
    apicv: z.boolean().default(false).describe("x86: the processor delivers virtual interrupts, in every mechanism; posted needs it and has it anyway"),
    realMode: z.boolean().default(false).describe("Power: KVM HV on the metal: hypercalls of the interrupt controller are served in real mode, without an exit where that is possible; else every one leaves the guest, as under KVM PR"),
    compat: z.enum(VGIC_COMPATS).default("newest").describe("Arm: whose rules KVM's virtual GIC follows: those of today, of Linux 6.1, or of the GICv4 series of October 2017 (v5)"),
    eoiMode: z.union([z.literal(0), z.literal(1)]).default(0).describe("1: the guest drops priority and deactivates separately"),
  })
  .describe("What the device does and what the guest does about it");
/** What the device and the guest do; times in nanoseconds. */
export type Workload = z.infer<typeof workloadSchema>;

const pciFunctionSchema = z.strictObject({
  bdf: z.string().regex(/^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/, "not a bus:device.function such as 01:00.0"),
  vendor: count(0, 0xffff).optional(),
  device: count(0, 0xffff).optional(),
  pin: count(0, 4).default(0).describe("INTx pin: 1 is A, 0 is none"),
  msiVectors: count(0, 2048).default(0).describe("message vectors: MSI for one, MSI-X for several"),
  host: z.string().optional().describe("path of the host bridge, where several take the bus"),
  under: z.string().optional().describe("the root port that it is plugged into, where the interrupt-map tells ports apart"),
  isolated: z.boolean().default(false).describe("access control services separate it from the other functions of its device"),
});

/** A scenario file: one device of one board under one workload. */
export const scenarioSchema = z
  .strictObject({
    board: z.string().describe("a device tree blob's path (relative to this file), or the name of a built-in board"),
    assumeIommu: z.boolean().default(false).describe("assign a device that the tree gives no IOMMU"),
    gicv4: z.enum(["4.0", "4.1"]).optional().describe("take the board's GICv3 with ITSs for a GICv4, which no tree says"),
    pciFunctions: z.array(pciFunctionSchema).default([]).describe("functions that the tree does not list"),
    device: z.string().describe("the device's path in the tree"),
    irqs: z.array(count(0, 4095)).min(1).default([0]).describe("indexes of its interrupts"),
    workload: workloadSchema.default(workloadSchema.parse({})),
    profile: z.string().optional().describe("a cost profile's name, or a file's path"),
    mechanisms: z
      .array(z.enum(MECHANISMS))
      .min(1)
      .refine((names) => new Set(names).size === names.length, "a mechanism is named twice: name each once")
      .optional()
      .describe("only these, in this order"),
    explore: searchSchema
      .extend({
        raises: count(1, 100).default(1).describe("how often each interrupt is raised, at any moment"),
        sliceEnds: count(0, 100).default(1).describe("where threads have a CPU by turns: how often a turn ends in the middle of what its thread does, at any moment"),
      })
      .optional()
      .describe("how virq explore searches this delivery; the first of the mechanisms that fits"),
  })
  .describe("A virq scenario: one device of one board under one workload");
/** What a scenario file says, defaults filled in (schema/scenario.schema.json). */
export type Scenario = z.infer<typeof scenarioSchema>;

/** @throws PersonError with file, line and path */
export function readScenario(text: string, file: string): Scenario {
  return readDocument(scenarioSchema, text, file);
}
