import { z } from "zod";
import type { Step } from "../../sim/step.js";
import { X86_ARGS, type X86Args, type X86OpName } from "./op.js";
import { chips, guestEvent, integer, ioapicState, lapicState, picState, vcpuEvents, type X86Chips } from "./state.js";

/** What a call gave: `ret` or `errno`, and what it wrote back. */
const answer = z.object({
  ret: z.union([z.number().int(), z.literal("fd")]).optional().describe('"fd": a new descriptor'),
  errno: z.string().optional(),
  status: z.number().int().optional().describe("irqLineStatus: above 0 deliveries, 0 coalesced, -1 ignored"),
  value: integer.optional(),
  state: z.union([ioapicState, picState, lapicState, vcpuEvents, z.string()]).optional(),
  events: z.array(guestEvent).optional().describe("missing when there was none"),
  deviceFd: z.union([z.literal(0), z.literal("fd")]).optional(),
  ecx: z.number().int().optional(),
  edx: z.number().int().optional(),
});

const steps = (Object.keys(X86_ARGS) as X86OpName[]).map((op) =>
  z.strictObject({ op: z.literal(op), args: X86_ARGS[op], expect: answer.extend({ after: chips.strict().optional() }).strict().describe("what the kernel answered") }),
);

export const FLAVOURS = ["any", "version", "build", "quirk", "pvm"] as const;
export type Flavour = (typeof FLAVOURS)[number];

const vector = z.object({
  id: z.string(),
  title: z.string(),
  kind: z.string(),
  flavour: z.enum(FLAVOURS).describe("how far the answers carry: any KVM; a recent kernel; a configuration; an accident; this back end"),
  note: z.string().optional(),
  lapics: z.array(z.string()).optional().describe("vCPUs whose local APICs `after` shows"),
});

/** kvm-x86-irq.json: independent vectors, each on fresh descriptors. Published as schema/kvm-conformance-file.schema.json. */
export const kvmConformanceFile = z.array(vector.extend({ steps: z.array(z.union(steps)) }));

type StepOf<T extends X86OpName> = { readonly op: T; readonly args: X86Args<T>; readonly expect?: RecordedAnswer };
/** A step before anybody has answered it. */
export type X86Call = { readonly [T in X86OpName]: Omit<StepOf<T>, "expect"> }[X86OpName];
/** One call; `expect` is missing in generated sequences. */
export type X86Step = { readonly [T in X86OpName]: StepOf<T> }[X86OpName];
/** What a call gave: `ret` or `errno`, and what the operation returns beside. */
export type X86Answer = z.infer<typeof answer>;
export type RecordedAnswer = X86Answer & { readonly after?: X86Chips | undefined };
/** A sequence of calls to /dev/kvm with the recorded answers (shape: schema/kvm-conformance-file.schema.json). */
export type X86Vector = z.infer<typeof vector> & { readonly steps: readonly X86Step[]; readonly machine?: undefined; readonly oracle?: undefined };

/**
 * A machine that the calls are made on, fresh: descriptors have the names of the README, `kvm` is open. The model and the
 * running kernel each are one. It never looks at `expect`.
 */
export interface X86Target {
  perform(step: X86Step): Step<X86Answer>;
  /** What is readable of the VM named vm: the PICs and the IOAPIC, and the local APICs of the vCPUs named. */
  chips(lapics: readonly string[]): Step<X86Chips>;
  /** Gives everything back. */
  close(): Step<void>;
}

/** Is this a vector of calls to /dev/kvm? The files of QEMU's machines name a machine. */
export const isKvmVector = (each: { readonly machine?: unknown; readonly flavour?: unknown }): boolean =>
  each.machine === undefined && FLAVOURS.some((flavour) => flavour === each.flavour);

const OPERATIONS: ReadonlySet<string> = new Set(Object.keys(X86_ARGS));

/** Checks one vector. @returns the vector, or one sentence on what is wrong */
export function readX86Vector(json: unknown): X86Vector | string {
  const rough = vector.extend({ steps: z.array(z.looseObject({ op: z.string() })) }).safeParse(json);
  if (!rough.success) return sentence(rough.error);
  for (const [i, step] of rough.data.steps.entries()) {
    if (!OPERATIONS.has(step.op)) return `step ${i}: unknown operation "${step.op}"; there are ${[...OPERATIONS].join(", ")}`;
    const parsed = steps.find((each) => each.shape.op.value === step.op)?.safeParse(step);
    if (parsed?.success === false) return `step ${i} (${step.op}): ${sentence(parsed.error)}`;
  }
  return json as X86Vector;
}

function sentence(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue.path.map(String).join(".");
  return path === "" ? issue.message : `at ${path}: ${issue.message}`;
}
