import { z } from "zod";
import { workloadSchema } from "../../scenario/scenario.js";
import { distributionSchema, dmaFaultsSchema, perInterrupt } from "../result.js";

/** The device backends of VFIO that a comparison knows, by their names on the command line. */
export const BACKENDS = ["platform", "pci", "xen"] as const;
/** The name of a device backend, as {@link BACKENDS} lists them. */
export type BackendName = (typeof BACKENDS)[number];

/** What of a device interrupts. */
export const SIGNALS = ["level line", "edge line", "message"] as const;
export type SignalKind = (typeof SIGNALS)[number];

/** Whom the backend tells: an eventfd that KVM listens to, an event channel of the guest's, or a vector of the guest's. */
export const NOTIFICATIONS = ["eventfd", "event channel", "guest vector"] as const;
export type Notification = (typeof NOTIFICATIONS)[number];

const whole = (what: string) => z.int().nullable().describe(`${what}; null where the backend does not fit`);

/** One device backend with one kind of interrupt: what it says of it, and what became of each condition. */
export const backendResultSchema = z.strictObject({
  backend: z.enum(BACKENDS),
  signal: z.enum(SIGNALS),
  notification: z.enum(NOTIFICATIONS),
  device: z.string().nullable().describe("path of the device that was assigned"),
  irq: z.int().nullable().describe("its interrupt"),
  applicable: z.boolean(),
  why: z.string().nullable().describe("why it does not fit; null when it does"),
  irqInfo: z.array(z.string()).describe("flags that VFIO_DEVICE_GET_IRQ_INFO reports"),
  raised: whole("conditions set in the device"),
  delivered: whole("handler runs of the guest that found a condition"),
  coalesced: whole("conditions that shared another one's handler run"),
  lost: whole("conditions not serviced when everything was quiet"),
  spurious: whole("acknowledges and handler runs of the guest that found nothing"),
  hostHandlers: whole("runs of a handler of the host's kernel"),
  lineMasks: whole("times the line was masked at the host's controller"),
  pinMasks: whole("times the function's pin was masked by DisINTx"),
  eventfdSignalsPerInterrupt: perInterrupt("signals of the trigger eventfd"),
  resamplefdSignalsPerInterrupt: perInterrupt("signals of the resamplefd"),
  upcalls: whole("deliveries by an event channel or to a vector of the guest's, without the host"),
  guestEnds: whole("ends of interrupt that the guest itself sent to the physical controller"),
  maskedBy: z.enum(["host's controller", "DisINTx", "nobody"]).nullable().describe("what keeps the interrupt from coming again until it is served"),
  endedBy: z.enum(["resamplefd", "the guest", "nobody has to"]).nullable().describe("what opens it again"),
  dmaFaults: dmaFaultsSchema,
  latencyNs: distributionSchema.describe("from the condition in the device to the guest's acknowledge, nanoseconds of virtual time under the cost profile; null where nothing of the way has a published figure"),
  eoiToUnmaskNs: distributionSchema.describe("from the guest's end of interrupt to the unmask; null where nobody masks"),
  mask: z.string().nullable().describe("what SET_IRQS MASK answers: 0 or an errno's name"),
  heldByMask: z.boolean().nullable().describe("a condition behind that mask waits for UNMASK; null where the call failed"),
  unmaskEventfd: z.string().nullable().describe("what SET_IRQS UNMASK answers for an eventfd (of -1, which takes it away)"),
});
export type BackendResult = z.infer<typeof backendResultSchema>;

/** What `virq compare --backend … --json` prints. */
export const backendComparisonSchema = z
  .strictObject({ board: z.string(), workload: workloadSchema, profile: z.string(), backends: z.array(backendResultSchema) })
  .describe("virq compare --backend: the same guest over each device backend of VFIO");
export type BackendComparison = z.infer<typeof backendComparisonSchema>;

/** One column of the comparison before it has run. */
export interface BackendColumn {
  readonly backend: BackendName;
  readonly signal: SignalKind;
  readonly notification: Notification;
}

export function notFitting(column: BackendColumn, why: string): BackendResult {
  const nothing = Object.fromEntries(Object.keys(backendResultSchema.shape).map((key) => [key, null]));
  return backendResultSchema.parse({ ...nothing, ...column, applicable: false, why, irqInfo: [] });
}
