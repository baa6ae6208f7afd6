import { isX86Compat, type X86Compat } from "../irqchip/x86/chip-rules.js";
import { run } from "../sim/step.js";
import { reasonToSkip } from "./left-out.js";
import { isPc, type PcVector } from "./pc-vector.js";
import { runPcVector } from "./pc-runner.js";
import { type Compared, type AnyCompat, type Compat, expectationOf, isArmCompat, shown, type TargetName } from "./target.js";
import { TARGETS } from "./targets.js";
import { type AnyVector, type ArmStep, type ArmVector, isArm } from "./vector.js";
import { runX86Vector } from "./x86/runner.js";
import { X86Calls } from "./x86/calls.js";
import type { ModelMaker } from "./x86/explain.js";
import { movedBy } from "./x86/sides.js";
import { type Backend, X86_MODEL, type X86TargetName } from "./x86/targets.js";
import { type Flavour, isKvmVector, type X86Vector } from "./x86/vector.js";
import { runXicsVector } from "./xics-runner.js";
import { isPowernv, isPseries, type XicsVector } from "./xics-vector.js";

/** The first step that shows something else than was recorded. */
export interface Difference {
  /** From 0. */
  readonly step: number;
  /** The step in words. */
  readonly text: string;
  readonly expected: string;
  readonly got: string;
}

/** A difference that the table declares (x86/known.ts), and the step and fields that met it. */
export interface KnownMet {
  readonly name: string;
  readonly flavour: Flavour;
  /** From 0. */
  readonly step: number;
  /** "value", "state.irr", "ioapic.irr", … */
  readonly paths: readonly string[];
}

export interface VectorResult {
  readonly id: string;
  readonly title: string;
  readonly target: TargetName | X86TargetName;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, else null. */
  readonly reason: string | null;
  readonly difference: Difference | null;
  readonly compared: Readonly<Compared>;
  /** Of calls to /dev/kvm alone. */
  readonly known?: readonly KnownMet[];
}

export interface ConformOptions {
  /** Default: of an x86 vector model, of an Arm vector what its oracle says. */
  readonly target?: TargetName | "model";
  /** Whose rules a controller of KVM's follows; of Arm's there are only newest, linux-6.1 and v5-2017. Default: linux-6.1 where that kernel answered, else newest. */
  readonly compat?: AnyCompat;
}

const KERNEL_ORACLE = "linux-6.1-kvm";

/** Runs one vector on a fresh machine. */
export function runVector(vector: AnyVector, options: ConformOptions = {}): VectorResult {
  const target = options.target ?? targetOf(vector);
  if (target === "model") return isX86(vector) ? runOnModel(vector, options.compat !== undefined && isX86Compat(options.compat) ? options.compat : undefined) : skipped(vector, target, "model is x86's target");
  if (isX86(vector)) return skipped(vector, target, `${target} is Arm's target`);
  return isXics(vector) ? runOnXics(vector, target) : runOnArm(vector, target, options.compat);
}

/** Is this a vector of QEMU's POWER boards? */
const isXics = (vector: AnyVector): vector is XicsVector => isPseries(vector.machine) || isPowernv(vector.machine);

/** Hypercalls are for KVM's XICS, registers for the physical one: what the machine says, not who answered. */
function runOnXics(vector: XicsVector, target: TargetName): VectorResult {
  const own = ownXicsTarget(vector);
  return target === own ? runXicsVector(vector, own) : skipped(vector, target, `vectors of ${vector.machine} run on the ${own} XICS alone`);
}

const ownXicsTarget = (vector: XicsVector): TargetName => (isPseries(vector.machine) ? "virtual" : "physical");

/** Is this a vector of calls to /dev/kvm, or of QEMU's `pc`? */
export const isX86 = (vector: AnyVector): vector is X86Vector | PcVector => isKvmVector(vector) || isPc(vector.machine);

const runOnModel = (vector: X86Vector | PcVector, compat: X86Compat | undefined): VectorResult =>
  isPc(vector.machine) ? runOnPcModel(vector as PcVector, compat) : runOnX86Model(vector as X86Vector, compat);

/** What a vector runs on when nobody says: the model of whoever answered. */
function targetOf(vector: AnyVector): TargetName | "model" {
  if (isX86(vector)) return "model";
  if (isXics(vector)) return ownXicsTarget(vector);
  return isByKernel(vector) ? "virtual" : "physical";
}

const isByKernel = ({ oracle }: AnyVector): boolean => oracle?.includes(KERNEL_ORACLE) ?? oracle === undefined;

/** Is there a controller of KVM's under this vector, whose rules `compat` chooses? */
export function hasCompat(vector: AnyVector, target: TargetName | "model" = targetOf(vector)): boolean {
  return target === "model" ? isX86(vector) : target === "virtual" && isArm(vector.machine);
}

const skipped = ({ id, title }: AnyVector, target: VectorResult["target"], reason: string): VectorResult => ({ id, title, target, outcome: "skipped", reason, difference: null, compared: { answers: 0, kvmAnswers: 0 } });

function runOnArm(vector: AnyVector, target: TargetName, compat: AnyCompat | undefined): VectorResult {
  const reason = reasonToSkip(vector, target);
  if (reason !== null) return skipped(vector, target, reason);
  const compared: Compared = { answers: 0, kvmAnswers: 0 };
  const difference = firstDifference(vector as ArmVector, target, isArmCompat(compat) ? compat : isByKernel(vector) ? "linux-6.1" : "newest", compared);
  return { id: vector.id, title: vector.title, target, outcome: difference === null ? "passed" : "failed", reason: null, difference, compared };
}

function runOnX86Model(vector: X86Vector, compat: X86Compat = "newest"): VectorResult {
  const reason = reasonToSkip(vector, "model");
  if (reason !== null) return skipped(vector, "model", reason);
  const modelWith: ModelMaker = (flipped) => new X86Calls(X86_MODEL(flipped.reduce<Backend>((backend, each) => each.flip(backend), { endsAtAcceptance: false })));
  return runX86Vector(vector, new X86Calls(X86_MODEL({ endsAtAcceptance: false, compat })), "model", { foreign: movedBy(compat), modelWith });
}

/** The recording kernel's machine was an AMD one, where CR8 carries the TPR (x86-irqchip.md 7.3). */
function runOnPcModel(vector: PcVector, compat: X86Compat = "linux-6.1"): VectorResult {
  if (!vector.oracle.includes(KERNEL_ORACLE)) return skipped(vector, "model", "no kernel answered, and the model is one");
  return runPcVector(vector, new X86Calls(X86_MODEL({ endsAtAcceptance: false, actsByItself: true, compat, losesTprLowNibble: true })), "model");
}

function firstDifference(vector: ArmVector, name: TargetName, compat: Compat, compared: Compared): Difference | null {
  const maker = TARGETS[name];
  const target = maker.make(vector, compat);
  for (const [i, step] of vector.steps.entries()) {
    const got = run(target.perform(step));
    const expected = expectationOf(step, maker.answersAs);
    if (expected === undefined) continue;
    compared.answers++;
    if (expected.isKvm) compared.kvmAnswers++;
    if (shown(expected.value) !== shown(got)) return { step: i, text: describeStep(step), expected: shown(expected.value), got: shown(got) };
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

export interface Counts extends Readonly<Compared> {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function count(results: readonly VectorResult[]): Counts {
  const of = (outcome: VectorResult["outcome"]): number => results.filter((result) => result.outcome === outcome).length;
  const sum = (what: keyof Compared): number => results.reduce((all, { compared }) => all + compared[what], 0);
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped"), answers: sum("answers"), kvmAnswers: sum("kvmAnswers") };
}

/** "167 passed, 0 failed, 0 skipped": the last line of `virq conform`. */
export const countsLine = (counts: Counts): string => `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;

/** "512 answers compared, 30 of them recorded as the kernel's own (expectKvm)": the line before it. */
export const comparedLine = ({ answers, kvmAnswers }: Readonly<Compared>): string =>
  `${answers} answer${answers === 1 ? "" : "s"} compared${kvmAnswers === 0 ? "" : `, ${kvmAnswers} of them recorded as the kernel's own, other than QEMU's (expectKvm)`}`;
