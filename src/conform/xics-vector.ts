import { z } from "zod";

// Vectors of QEMU's POWER boards: pseries by hypercalls and RTAS (qemu-xics-papr.json), powernv8 by the registers of its
// presentation controllers and of the service interface (qemu-xics-pnv.json).

const hex = z.string().regex(/^0x[0-9a-f]{1,13}$/i, "a hexadecimal string of at most 52 bits");
const cpu = z.number().int().min(0).describe("vCPU that performs the access");
const level = z.number().int().min(0).max(1);
const server = z.number().int().min(0).describe("thread whose page is meant");
const byte = z.number().int().min(0).max(0xff);
/** First source of the service interface of the recorded machine. */
export const PSI_FIRST = 0x1000;
const PSI_LINES = 6;
const source = z.number().int().min(0).max(PSI_LINES - 1).describe("of the service interface");

const hypercallAnswer = z.strictObject({ rc: z.number().int().describe("r3, signed"), ret: z.array(hex).max(2).optional().describe("r4 and r5, as far as the call gives them") });
const rtasAnswer = z.array(z.union([hex, z.number().int()])).min(1).describe("the status, then the other outputs");
const xivr = z.strictObject({ server, priority: byte, pending: level });
const size = z.union([z.literal(1), z.literal(4)]);
const reg = z.enum(["XIRR_POLL", "XIRR", "CPPR", "MFRR"]);

export const xicsStep = z.discriminatedUnion("op", [
  z.object({ op: z.literal("hcall"), cpu, name: z.enum(["H_XIRR", "H_XIRR_X", "H_CPPR", "H_EOI", "H_IPI", "H_IPOLL"]), args: z.array(hex).max(2), expect: hypercallAnswer, expectKvm: hypercallAnswer.optional() }),
  z.object({ op: z.literal("rtas"), name: z.enum(["ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on"]), args: z.array(hex).max(3), expect: rtasAnswer, expectKvm: rtasAnswer.optional() }),
  z.object({ op: z.literal("extint"), cpu, expect: level, expectKvm: level.optional() }).describe("is the external interrupt requested?"),
  z.object({ op: z.literal("msi"), irq: hex }),
  z.object({ op: z.literal("setIrq"), irq: hex.describe("of an LSI; on powernv8 of one of the service interface, from 0x1000 on"), level }),
  z.object({ op: z.literal("icpRead"), server, reg, size, expect: hex }),
  z.object({ op: z.literal("icpWrite"), server, reg, size, value: hex }),
  z.object({ op: z.literal("xivrRead"), source, expect: xivr }),
  z.object({ op: z.literal("xivrWrite"), source, server, priority: byte }),
]);

const xicsVector = z.object({
  id: z.string(),
  title: z.string(),
  machine: z.string().describe("QEMU machine that it was recorded on"),
  cpus: z.number().int().min(1).max(8).describe("CPU n is server n"),
  oracle: z.array(z.string()).describe("who answered: qemu-7.2, linux-6.1-kvm"),
  flavour: z.literal("qemu").optional().describe("the two oracles differ in some step"),
  steps: z.array(xicsStep),
});

export type XicsStep = z.infer<typeof xicsStep>;
export type XicsVector = z.infer<typeof xicsVector>;

/** What QEMU calls its POWER boards: with a hypervisor's interface, and without. */
export const isPseries = (machine: unknown): boolean => typeof machine === "string" && machine.startsWith("pseries");
export const isPowernv = (machine: unknown): boolean => typeof machine === "string" && machine.startsWith("powernv");

const PAPR: ReadonlySet<string> = new Set(["hcall", "rtas", "extint", "msi", "setIrq"]);
const NATIVE: ReadonlySet<string> = new Set(["icpRead", "icpWrite", "xivrRead", "xivrWrite", "setIrq"]);

/** Checks one vector. @returns the vector, or one sentence on what is wrong */
export function readXicsVector(json: unknown): XicsVector | string {
  const rough = xicsVector.extend({ steps: z.array(z.looseObject({ op: z.string() })) }).safeParse(json);
  if (!rough.success) return sentence(rough.error);
  const known = isPseries(rough.data.machine) ? PAPR : NATIVE;
  const steps: XicsStep[] = [];
  for (const [i, each] of rough.data.steps.entries()) {
    if (!known.has(each.op)) return `step ${i}: unknown operation "${each.op}"; on ${rough.data.machine} there are ${[...known].join(", ")}`;
    const parsed = xicsStep.safeParse(each);
    if (!parsed.success) return `step ${i} (${each.op}): ${sentence(parsed.error)}`;
    const wrong = wrongWith(parsed.data, rough.data.cpus, known);
    if (wrong !== null) return `step ${i} (${each.op}): ${wrong}`;
    steps.push(parsed.data);
  }
  return { ...rough.data, steps };
}

function wrongWith(step: XicsStep, cpus: number, known: ReadonlySet<string>): string | null {
  const highest = "cpu" in step ? step.cpu : step.op === "icpRead" || step.op === "icpWrite" ? step.server : 0;
  if (highest >= cpus) return `CPU ${highest} of a machine with ${cpus}; give the vector more cpus`;
  const isForeign = step.op === "setIrq" && known === NATIVE && (Number(step.irq) < PSI_FIRST || Number(step.irq) >= PSI_FIRST + PSI_LINES);
  return isForeign ? `the service interface has lines 0x${PSI_FIRST.toString(16)} to 0x${(PSI_FIRST + PSI_LINES - 1).toString(16)}` : null;
}

function sentence(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue.path.map(String).join(".");
  return path === "" ? issue.message : `at ${path}: ${issue.message}`;
}

/** "cpu 0 calls H_EOI(0xff001001)" */
export function describeXicsStep(step: XicsStep): string {
  switch (step.op) {
    case "hcall":
      return `cpu ${step.cpu} calls ${step.name}(${step.args.join(", ")})`;
    case "rtas":
      return `${step.name}(${step.args.join(", ")})`;
    case "extint":
      return `external interrupt of cpu ${step.cpu}`;
    case "msi":
      return `message of source ${step.irq}`;
    case "setIrq":
      return `line of source ${step.irq} ${step.level === 1 ? "high" : "low"}`;
    case "icpRead":
      return `reads ${step.reg} of server ${step.server} (${step.size} bytes)`;
    case "icpWrite":
      return `writes ${step.value} to ${step.reg} of server ${step.server} (${step.size} bytes)`;
    case "xivrRead":
      return `reads XIVR ${step.source}`;
    case "xivrWrite":
      return `writes server ${step.server}, priority ${step.priority} to XIVR ${step.source}`;
  }
}
