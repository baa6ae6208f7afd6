import { z } from "zod";

// Vectors of QEMU's `pc`: its 8259 pair, IOAPIC and local APICs (qemu-pic.json, qemu-ioapic.json, qemu-lapic.json).

const hex = z.string().regex(/^0x[0-9a-f]{1,8}$/i, "a hexadecimal string of at most 32 bits");
const cpu = z.number().int().min(0).describe("vCPU that performs the access");
const reg = z.string().describe("the manual's name");
const answer = { expect: hex.describe("QEMU's answer"), expectKvm: hex.optional().describe("KVM's, where it is another") };
const size = z.union([z.literal(1), z.literal(2), z.literal(4)]);
const vectors = z.array(z.number().int().min(0).max(0xff));

export const pcStep = z.discriminatedUnion("op", [
  z.object({ op: z.literal("picRead"), reg, port: hex, ...answer }),
  z.object({ op: z.literal("picWrite"), reg, port: hex, value: hex }),
  z.object({ op: z.literal("ioapicRead"), reg, index: hex, ...answer }).describe("by IOREGSEL and IOWIN"),
  z.object({ op: z.literal("ioapicWrite"), reg, index: hex, value: hex }),
  z.object({ op: z.literal("lapicRead"), reg, cpu, off: hex, ...answer }).describe("xAPIC, from 0xfee00000"),
  z.object({ op: z.literal("lapicWrite"), reg, cpu, off: hex, value: hex }),
  z.object({ op: z.literal("mmioRead"), addr: hex, size, ...answer }),
  z.object({ op: z.literal("mmioWrite"), addr: hex, size, value: hex }),
  z.object({ op: z.literal("setIrq"), chip: z.enum(["pic", "ioapic"]), pin: z.number().int().min(0).max(23), level: z.number().int().min(0).max(1) }).describe("one chip's input, apart from the other's"),
  z.object({ op: z.literal("msi"), addr: hex, data: hex }),
  z.object({ op: z.literal("window"), cpu, expect: vectors, expectKvm: vectors.optional() }).describe("STI, a few instructions, CLI: the vectors taken; their handlers only IRET"),
]);

const pcVector = z.object({
  id: z.string(),
  title: z.string(),
  machine: z.string().describe("QEMU machine that it was recorded on"),
  cpus: z.number().int().min(1).max(8).describe("CPU n has APIC ID n"),
  oracle: z.array(z.string()).describe("who answered: qemu-7.2, linux-6.1-kvm"),
  flavour: z.literal("qemu").optional().describe("the two oracles differ in some step"),
  steps: z.array(pcStep),
});

export type PcStep = z.infer<typeof pcStep>;
export type PcVector = z.infer<typeof pcVector>;

/** What QEMU calls its x86 boards. */
export const isPc = (machine: unknown): boolean => typeof machine === "string" && machine.startsWith("pc");

const OPERATIONS: ReadonlySet<string> = new Set(pcStep.options.map((option) => option.shape.op.value));
const OF_PIC = 15;

/** Checks one vector. @returns the vector, or one sentence on what is wrong */
export function readPcVector(json: unknown): PcVector | string {
  const rough = pcVector.extend({ steps: z.array(z.looseObject({ op: z.string() })) }).safeParse(json);
  if (!rough.success) return sentence(rough.error);
  const steps: PcStep[] = [];
  for (const [i, each] of rough.data.steps.entries()) {
    if (!OPERATIONS.has(each.op)) return `step ${i}: unknown operation "${each.op}"; there are ${[...OPERATIONS].join(", ")}`;
    const parsed = pcStep.safeParse(each);
    if (!parsed.success) return `step ${i} (${each.op}): ${sentence(parsed.error)}`;
    const step = parsed.data;
    if ("cpu" in step && step.cpu >= rough.data.cpus) return `step ${i} (${each.op}): CPU ${step.cpu} of a machine with ${rough.data.cpus}; give the vector more cpus`;
    if (step.op === "setIrq" && step.chip === "pic" && step.pin > OF_PIC) return `step ${i} (setIrq): the PIC pair has lines 0 to ${OF_PIC}`;
    steps.push(step);
  }
  return { ...rough.data, steps };
}

function sentence(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue.path.map(String).join(".");
  return path === "" ? issue.message : `at ${path}: ${issue.message}`;
}

/** "cpu 0 reads TPR" */
export function describePcStep(step: PcStep): string {
  switch (step.op) {
    case "picRead":
    case "ioapicRead":
      return `reads ${step.reg}`;
    case "picWrite":
    case "ioapicWrite":
      return `writes ${step.value} to ${step.reg}`;
    case "lapicRead":
      return `cpu ${step.cpu} reads ${step.reg}`;
    case "lapicWrite":
      return `cpu ${step.cpu} writes ${step.value} to ${step.reg}`;
    case "mmioRead":
      return `reads ${step.size} bytes at ${step.addr}`;
    case "mmioWrite":
      return `writes ${step.value} (${step.size} bytes) at ${step.addr}`;
    case "setIrq":
      return `${step.chip === "pic" ? "PIC line" : "IOAPIC pin"} ${step.pin} ${step.level === 1 ? "high" : "low"}`;
    case "msi":
      return `message ${step.data} to ${step.addr}`;
    case "window":
      return `cpu ${step.cpu} opens its interrupt flag for a moment`;
  }
}
