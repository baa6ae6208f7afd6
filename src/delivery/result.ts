import { z } from "zod";
import { MECHANISMS } from "../board/assign.js";
import { workloadSchema } from "../scenario/scenario.js";

export const perInterrupt = (what: string) => z.number().nullable().describe(`${what}, per delivered interrupt; null where nothing was delivered or the mechanism does not fit`);
const whole = (what: string) => z.int().nullable().describe(`${what}; null where the mechanism does not fit`);

export const distributionSchema = z
  .strictObject({ min: z.number(), p50: z.number(), p99: z.number(), max: z.number() })
  .nullable()
  .describe("nanoseconds, to the tenth, of virtual time under the cost profile; null where there was no sample, or no published figure for any step of the way");

export const dmaFaultsSchema = z
  .strictObject({
    count: z.int(),
    first: z.strictObject({ iova: z.int(), write: z.boolean(), reason: z.string().describe("as the IOMMU records it") }),
  })
  .nullable()
  .describe("DMA of the device's that its IOMMU ended; null where there was none");
export type DmaFaultCount = z.infer<typeof dmaFaultsSchema>;

const metSchema = z.strictObject({ interrupts: z.int(), latencyNs: distributionSchema });

/** One mechanism's run. Counts are exact, times are modelled (design, section 4b). */
export const mechanismResultSchema = z.strictObject({
  mechanism: z.enum(MECHANISMS),
  applicable: z.boolean(),
  why: z.string().nullable().describe("why it does not fit; null when it does"),
  apicv: z.boolean().nullable().describe("x86: the processor delivers virtual interrupts (APIC virtualisation); null on other boards and where the mechanism does not fit"),
  realMode: z.boolean().nullable().describe("Power: KVM serves hypercalls of the interrupt controller in real mode where it can; null on other boards and where the mechanism does not fit"),
  irqs: z.array(z.int()).describe("the device's interrupts that it served in this run"),
  raised: whole("conditions set in the device"),
  delivered: whole("handler runs of the guest that found a condition"),
  coalesced: whole("conditions that shared another one's handler run"),
  lost: whole("conditions not serviced when everything was quiet"),
  spurious: whole("acknowledges that returned the special id, and handler runs that found nothing to do"),
  hostInterrupts: whole("acknowledges of the device's interrupt on the physical controller"),
  ipisPerInterrupt: perInterrupt("acknowledges of inter-processor interrupts on the physical controller"),
  exitsPerInterrupt: perInterrupt("returns from guest mode to the host, of the vCPUs that take the interrupts"),
  exitsByReason: z.record(z.string(), z.number()).nullable().describe("the same by reason, as KVM's tracepoint names it, per delivered interrupt"),
  userExitsPerInterrupt: perInterrupt("exits that return from KVM_RUN"),
  hostMasksPerInterrupt: perInterrupt("times the device's line was masked at the physical controller"),
  hostUnmasksPerInterrupt: perInterrupt("times it was unmasked there"),
  eventfdSignalsPerInterrupt: perInterrupt("signals of the trigger eventfd"),
  resamplefdSignalsPerInterrupt: perInterrupt("signals of the resamplefd, by KVM or by a write of the VMM's"),
  ioctlsPerInterrupt: perInterrupt("ioctls of the VMM"),
  wakeupsPerInterrupt: perInterrupt("blocked user-space threads made runnable"),
  contextSwitchesPerInterrupt: perInterrupt("changes of thread on a physical CPU"),
  doorbellsPerInterrupt: perInterrupt("GICv4: doorbells that the host took"),
  vpeMovesPerInterrupt: perInterrupt("GICv4: changes of the redistributor that a vPE is mapped to"),
  itsCommandsPerInterrupt: perInterrupt("commands that the host's ITSs executed, SYNC and VSYNC among them"),
  preemptionsPerInterrupt: perInterrupt("times that a vCPU that takes them had to leave its CPU to another thread"),
  byState: z
    .strictObject({ resident: metSchema, runnable: metSchema, blocked: metSchema })
    .nullable()
    .describe("by where its vCPU was when an interrupt came: on a CPU, where GICv4's vPE is resident; waiting for one; asleep"),
  notificationsPerInterrupt: perInterrupt("posted-interrupt notifications by the remapping hardware (x86)"),
  hypercallsPerInterrupt: perInterrupt("hypercalls of the guest (Power)"),
  realModeHypercallsPerInterrupt: perInterrupt("those of them that KVM finished in real mode, without an exit"),
  dmaFaults: dmaFaultsSchema,
  latencyNs: distributionSchema,
  eoiToUnmaskNs: distributionSchema,
});
/** One mechanism: counts by interrupt, latencies in nanoseconds; null where it does not fit, which `why` explains. */
export type MechanismResult = z.infer<typeof mechanismResultSchema>;

/** What `virq compare --json` prints. */
export const comparisonSchema = z
  .strictObject({
    board: z.string(),
    device: z.string(),
    interrupts: z.array(
      z.strictObject({ index: z.int(), controller: z.string(), number: z.int().nullable(), intid: z.int().nullable(), trigger: z.string() }),
    ),
    assumedIommu: z.boolean().describe("the tree names no IOMMU for the device, and the person asked to assume one"),
    workload: workloadSchema,
    profile: z.string().describe("the cost profile under which the times are modelled"),
    mechanisms: z.array(mechanismResultSchema),
  })
  .describe("virq compare: every delivery mechanism of one device side by side");
/** What `virq compare` found, a row for each mechanism (schema/compare.schema.json). */
export type Comparison = z.infer<typeof comparisonSchema>;

/** A row for a mechanism that does not fit. */
export function notApplicable(mechanism: MechanismResult["mechanism"], why: string): MechanismResult {
  const nothing = Object.fromEntries(Object.keys(mechanismResultSchema.shape).map((key) => [key, null]));
  return mechanismResultSchema.parse({ ...nothing, mechanism, applicable: false, why, irqs: [] });
}
