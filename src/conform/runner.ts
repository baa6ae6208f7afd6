import { run } from "../sim/step.js";
import { reasonToSkip } from "./left-out.js";
import { isPc, type PcVector } from "./pc-vector.js";
import { runPcVector } from "./pc-runner.js";
import { type Compat, shown, type TargetName } from "./target.js";
import { TARGETS } from "./targets.js";
import { type AnyVector, type ArmStep, type ArmVector, isArm } from "./vector.js";
import { runX86Vector } from "./x86-runner.js";
import { X86_MODEL, type X86TargetName } from "./x86-targets.js";
import { isKvmVector, type X86Vector } from "./x86-vector.js";
import { X86Calls } from "./x86-calls.js";

/** The first step that shows something else than was recorded. */
export interface Difference {
  /** From 0. */
  readonly step: number;
  /** The step in words. */
  readonly text: string;
  readonly expected: string;
  readonly got: string;
}

export interface VectorResult {
  readonly id: string;
  readonly title: string;
  readonly target: TargetName | X86TargetName;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, else null. */
  readonly reason: string | null;
  readonly difference: Difference | null;
}

export interface ConformOptions {
  /** Default: of an x86 vector model, of an Arm vector what its oracle says. */
  readonly target?: TargetName | "model";
  /** Default: linux-6.1 where that kernel answered, else newest. */
  readonly compat?: Compat;
}

const KERNEL_ORACLE = "linux-6.1-kvm";

/** Runs one vector on a fresh machine. */
export function runVector(vector: AnyVector, options: ConformOptions = {}): VectorResult {
  if (isKvmVector(vector)) return runOnX86Model(vector as X86Vector, options.target ?? "model");
  if (isPc(vector.machine)) return runOnPcModel(vector as PcVector, options);
  if (options.target === "model" && isArm(vector.machine)) return skipped(vector, "model", "model is x86's target");
  const byKernel = vector.oracle?.includes(KERNEL_ORACLE) ?? vector.oracle === undefined;
  const target = options.target === undefined || options.target === "model" ? (byKernel ? "virtual" : "physical") : options.target;
  const of = { id: vector.id, title: vector.title, target, reason: null, difference: null };
  const reason = reasonToSkip(vector, target);
  if (reason !== null) return { ...of, outcome: "skipped", reason };
  const difference = firstDifference(vector as ArmVector, target, options.compat ?? (byKernel ? "linux-6.1" : "newest"));
  return { ...of, outcome: difference === null ? "passed" : "failed", difference };
}

const skipped = ({ id, title }: AnyVector, target: VectorResult["target"], reason: string): VectorResult => ({ id, title, target, outcome: "skipped", reason, difference: null });

function runOnX86Model(vector: X86Vector, target: TargetName | "model"): VectorResult {
  if (target !== "model") return skipped(vector, target, `${target} is Arm's target`);
  const reason = reasonToSkip(vector, target);
  if (reason !== null) return skipped(vector, target, reason);
  return runX86Vector(vector, new X86Calls(X86_MODEL({ endsAtAcceptance: false })), target);
}

/** The recording kernel's machine was an AMD one, where CR8 carries the TPR (x86-irqchip.md 7.3). */
function runOnPcModel(vector: PcVector, { target = "model", compat = "linux-6.1" }: ConformOptions): VectorResult {
  if (target !== "model") return skipped(vector, target, `${target} is Arm's target`);
  if (!vector.oracle.includes(KERNEL_ORACLE)) return skipped(vector, target, "no kernel answered, and the model is one");
  return runPcVector(vector, new X86Calls(X86_MODEL({ endsAtAcceptance: false, compat, losesTprLowNibble: true })), target);
}

function firstDifference(vector: ArmVector, name: TargetName, compat: Compat): Difference | null {
  const maker = TARGETS[name];
  const target = maker.make(vector, compat);
  for (const [i, step] of vector.steps.entries()) {
    const got = run(target.perform(step));
    const expected = maker.expectation(step, vector);
    if (expected === undefined || shown(expected) === shown(got)) continue;
    return { step: i, text: describeStep(step), expected: shown(expected), got: shown(got) };
  }
  return null;
}

/** "cpu 0 reads GICD_CTLR (4 bytes)" */
export function describeStep(step: ArmStep): string {
  const who = "cpu" in step ? `cpu ${step.cpu} ` : "";
  switch (step.op) {
    case "read":
      return `${who}reads ${step.reg}${frameOf(step)} (${step.size} bytes)`;
    case "write":
      return `${who}writes ${step.value} to ${step.reg}${frameOf(step)} (${step.size} bytes)`;
    case "sysRead":
    case "vSysRead":
      return `${who}reads ${step.reg}`;
    case "sysWrite":
    case "vSysWrite":
      return `${who}writes ${step.value} to ${step.reg}`;
    case "setIrq":
    case "setPpi":
      return `line of INTID ${step.intid} ${who === "" ? "" : `(${who.trim()}) `}${step.level === 1 ? "high" : "low"}`;
    case "drain":
    case "vDrain":
      return `${who}acknowledges and ends until nothing is left`;
    case "memRead":
      return `reads ${step.size} bytes at ${step.addr}`;
    case "memWrite":
      return `writes ${step.data} at ${step.addr}`;
    case "itsCmd":
      return `ITS command ${step.name}`;
    case "msi":
      return `device ${step.deviceId} writes event ${step.eventId}`;
  }
}

const frameOf = (step: { rd?: number | undefined }): string => (step.rd === undefined ? "" : ` of redistributor ${step.rd}`);

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function count(results: readonly VectorResult[]): Counts {
  const of = (outcome: VectorResult["outcome"]): number => results.filter((result) => result.outcome === outcome).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}

/** "167 passed, 0 failed, 0 skipped": the last line of `virq conform`. */
export const countsLine = (counts: Counts): string => `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
