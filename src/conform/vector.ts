import { z } from "zod";
import { PersonError } from "../sim/person-error.js";
import { isPc, pcStep, type PcVector, readPcVector } from "./pc-vector.js";
import { isPowernv, isPseries, readXicsVector, xicsStep, type XicsVector } from "./xics-vector.js";
import { FLAVOURS, isKvmVector, readX86Vector, type X86Vector } from "./x86/vector.js";

const hex = z.string().regex(/^0x[0-9a-f]{1,16}$/i, "a hexadecimal string of at most 64 bits").describe("hexadecimal, up to 64 bits");
const cpu = z.number().int().min(0).describe("vCPU that performs the access");
const register = { reg: z.string().describe("the manual's name, or FRAME@0xOFFSET"), cpu };
const mmio = { ...register, off: hex.describe("from the start of the frame"), size: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8)]), rd: z.number().int().min(0).optional().describe("PE whose redistributor is meant") };
const value = { expect: hex.describe("QEMU's answer"), expectKvm: hex.optional().describe("KVM's, where it is another") };
const intids = z.array(z.number().int());
const drained = { cpu, expect: intids, expectKvm: intids.optional() };
const bytes = z.string().regex(/^([0-9a-f]{2})*$/i, "bytes in hexadecimal");
const level = z.number().int().min(0).max(1);
const number = z.union([hex, z.number().int()]);

/** Steps on an Arm machine. */
const armStep = z.discriminatedUnion("op", [
  z.object({ op: z.literal("read"), ...mmio, ...value }),
  z.object({ op: z.literal("write"), ...mmio, value: hex }),
  z.object({ op: z.literal("sysRead"), ...register, ...value }),
  z.object({ op: z.literal("sysWrite"), ...register, value: hex }),
  z.object({ op: z.literal("vSysRead"), ...register, ...value }).describe("at EL1 under HCR_EL2.IMO: the virtual CPU interface"),
  z.object({ op: z.literal("vSysWrite"), ...register, value: hex }),
  z.object({ op: z.literal("setIrq"), intid: z.number().int().min(32).max(1019), level }).describe("the input line of an SPI"),
  z.object({ op: z.literal("setPpi"), cpu, intid: z.number().int().min(16).max(31), level }),
  z.object({ op: z.literal("drain"), ...drained }).describe("IAR1 and EOIR1 until a special INTID, at most 64 times"),
  z.object({ op: z.literal("vDrain"), ...drained }),
  z.object({ op: z.literal("memWrite"), addr: hex, data: bytes }),
  z.object({ op: z.literal("memRead"), addr: hex, size: z.number().int(), expect: bytes, expectKvm: bytes.optional() }),
  z.object({ op: z.literal("itsCmd"), name: z.string(), dw: z.array(hex).length(4), slot: hex, cwriter: hex, fields: z.record(z.string(), z.unknown()).optional(), ...value }),
  z.object({ op: z.literal("msi"), deviceId: number, eventId: number }),
]);

/** Steps of the machines that no target models yet: their operations are known, so that a rule can leave them out. */
const otherStep = z.looseObject({ op: z.string() });

const vector = z.object({
  id: z.string(),
  title: z.string(),
  machine: z.string().optional().describe("QEMU machine that it was recorded on"),
  cpus: z.number().int().min(1).max(512).optional().describe("default 1"),
  oracle: z.array(z.string()).optional().describe("who answered: qemu-7.2, linux-6.1-kvm"),
  flavour: z.string().optional().describe("qemu: the two oracles differ in some step"),
  kind: z.string().optional(),
  note: z.string().optional(),
  lapics: z.array(z.unknown()).optional(),
  steps: z.array(otherStep),
});

/** A conformance file: independent vectors, each on a fresh machine. Published as schema/conformance-file.schema.json. */
export const conformanceFile = z.array(vector.extend({ steps: z.array(z.union([armStep, pcStep, xicsStep, otherStep])) }));

export type ArmStep = z.infer<typeof armStep>;
type Vector = z.infer<typeof vector>;
export type ArmVector = Omit<Vector, "steps"> & { readonly steps: readonly ArmStep[] };
/** Of a machine that no target models. */
export type OtherVector = Vector;
export type AnyVector = ArmVector | X86Vector | PcVector | XicsVector | OtherVector;

const ARM_OPERATIONS: ReadonlySet<string> = new Set(armStep.options.map((option) => option.shape.op.value));

/** What QEMU calls its Arm boards; the other files' machines share names of operations with them. */
export const isArm = (machine: unknown): boolean => typeof machine === "string" && machine.startsWith("virt");

/** Reads the text of a conformance file; `file` names it in messages. */
export function parseConformanceFile(text: string, file: string): AnyVector[] {
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new PersonError(`${file}: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const rough = z.array(vector).safeParse(json);
  if (!rough.success) throw new PersonError(`${file}: ${place(rough.error.issues[0], json)}; a conformance file is an array of vectors (schema/conformance-file.schema.json, schema/kvm-conformance-file.schema.json)`);
  refuseTwins(rough.data, file);
  return rough.data.map((each, i): AnyVector => {
    const where = `${file}: vector ${i} (${each.id})`;
    if (each.steps.length === 0) throw new PersonError(`${where}: it has no steps, and would pass whatever happens; give it some, or take it out`);
    if (isArm(each.machine)) return armVector(each, where);
    if (isPc(each.machine)) return checked(readPcVector(each), where);
    if (isPseries(each.machine) || isPowernv(each.machine)) return checked(readXicsVector(each), where);
    if (isKvmVector(each)) return checked(readX86Vector(each), where);
    if (each.machine === undefined && each.flavour !== undefined) throw new PersonError(`${where}: unknown flavour "${each.flavour}"; there are ${FLAVOURS.join(", ")}`);
    return each;
  });
}

function refuseTwins(vectors: readonly Vector[], file: string): void {
  const places = new Map<string, number>();
  for (const [i, { id }] of vectors.entries()) {
    const first = places.get(id);
    if (first !== undefined) throw new PersonError(`${file}: vectors ${first} and ${i} have one id, ${id}; give each its own`);
    places.set(id, i);
  }
}

function checked<T extends AnyVector>(read: T | string, where: string): T {
  if (typeof read === "string") throw new PersonError(`${where}, ${read}`);
  return read;
}

function armVector(each: Vector, where: string): ArmVector {
  const steps = each.steps.map((step, i): ArmStep => {
    if (!ARM_OPERATIONS.has(step.op)) throw new PersonError(`${where}, step ${i}: unknown operation "${step.op}"; there are ${[...ARM_OPERATIONS].join(", ")}`);
    const parsed = armStep.safeParse(step);
    if (!parsed.success) throw new PersonError(`${where}, step ${i} (${step.op}): ${place(parsed.error.issues[0], step)}`);
    const highest = Math.max("cpu" in parsed.data ? parsed.data.cpu : 0, "rd" in parsed.data ? (parsed.data.rd ?? 0) : 0);
    if (highest >= (each.cpus ?? 1)) throw new PersonError(`${where}, step ${i} (${step.op}): CPU ${highest} of a machine with ${each.cpus ?? 1}; give the vector more cpus`);
    return parsed.data;
  });
  return { ...each, steps };
}

function place(issue: z.core.$ZodIssue, json: unknown): string {
  const id = Array.isArray(json) && typeof issue.path[0] === "number" ? (json as readonly { id?: unknown }[])[issue.path[0]]?.id : undefined;
  const path = issue.path.map(String).join(".");
  return `${path === "" ? "" : `at ${path}${typeof id === "string" ? ` (${id})` : ""}: `}${issue.message}`;
}
